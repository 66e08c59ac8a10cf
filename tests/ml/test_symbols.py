"""Names of markets: which are taken, and what their files are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.settings import load_settings
from ml.errors import ConfigurationError
from ml.series import Series
from ml.symbols import MarketName, file_name, of_folder, problem

GOOD = (
    "BTC/USDT",
    "BTC/USDT:USDT",
    "1000SHIB/USDT:USDT",
    "BTC/USD:BTC",
    "$MYRO/USDT",
    "BRK.B/USD",
    "币安人生/USDT",
    "æther/USDT",
    "BTC/USDT:USDT-240329",
    "A_B/USDT",
    "A-B/USDT",
    "A%2DB/USDT",
)
PART = st.text(st.characters(exclude_characters="/:\\", exclude_categories=("C", "Z")), min_size=1, max_size=6).filter(
    lambda part: any(map(str.isalnum, part))
)
SYMBOL = st.builds(lambda b, q, s: f"{b}/{q}:{s}" if s else f"{b}/{q}", PART, PART, st.just("") | PART).filter(
    lambda symbol: ".." not in symbol
)


@pytest.mark.parametrize("symbol", GOOD)
def test_symbols_of_spot_markets_and_perpetuals_are_taken(symbol: str) -> None:
    settings = load_settings(None, {"markets": {"symbols": [symbol]}})
    assert [series.symbol for series in settings.series()] == [symbol] * 3


@pytest.mark.parametrize(
    ("symbol", "said"),
    [
        ("", "BASE/QUOTE"),
        ("BTCUSDT", "is not of the form BASE/QUOTE, such as BTC/USDT, or BASE/QUOTE:SETTLE"),
        ("/USDT", "BASE/QUOTE"),
        ("BTC/", "BASE/QUOTE"),
        ("BTC/USDT:", "BASE/QUOTE:SETTLE"),
        ("BTC:USDT", "BASE/QUOTE"),
        ("BTC/USDT/X", "BASE/QUOTE"),
        ("BTC/USDT:USDT:X", "BASE/QUOTE:SETTLE"),
        ("BTC/USDT:US/DT", "BASE/QUOTE:SETTLE"),
        ("BTC/ USDT", "a space"),
        ("BTC/USDT ", "a space"),
        ("BTC/USDT\n", "a space or an unprintable character"),
        ("BTC\u200b/USDT", "a space or an unprintable character"),
        ("BTC\x00/USDT", "a space or an unprintable character"),
        ("../USDT", "two dots in a row"),
        ("A..B/USDT", "two dots in a row"),
        ("A\\B/USDT", "a backslash"),
        ("./USDT", "BASE/QUOTE"),
        ("-/USDT", "BASE/QUOTE"),
    ],
)
def test_others_are_refused_in_one_line(symbol: str, said: str) -> None:
    assert said in problem(symbol) and "\n" not in problem(symbol)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(None, {"markets": {"symbols": [symbol]}})
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_slugs_of_homes_that_exist_stay() -> None:
    assert Series(exchange="binance", symbol="BTC/USDT", timeframe="1h").slug == "binance_BTC-USDT_1h"
    assert Series(exchange="my exchange-2", symbol="BTC/USDT", timeframe="1d").slug == "my exchange-2_BTC-USDT_1d"


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("BTC/USDT:USDT", "BTC-USDT%3AUSDT"),
        ("BTC/USD:BTC", "BTC-USD%3ABTC"),
        ("$MYRO/USDT", "%24MYRO-USDT"),
        ("BRK.B/USD", "BRK.B-USD"),
        ("A-B/USDT", "A%2DB-USDT"),
        ("A%2DB/USDT", "A%252DB-USDT"),
        ("A_B/USDT", "A%5FB-USDT"),
        ("币/USDT", "%E5%B8%81-USDT"),
    ],
)
def test_names_of_files(symbol: str, name: str) -> None:
    assert file_name(symbol) == name
    assert of_folder(name) == symbol


@given(SYMBOL)
def test_a_symbol_comes_back_from_its_file_name_so_no_two_share_one(symbol: str) -> None:
    name = file_name(symbol)
    assert of_folder(name) == symbol
    assert name.isascii() and not set(name) & set('/\\:*?"<>|$ _') and name not in (".", "..")


@given(*[st.tuples(st.sampled_from(["a", "a_b", "a_B-USD", "x/y", "x%2Fy", "é"]), SYMBOL)] * 2)
def test_no_two_series_share_a_slug(one: tuple[str, str], other: tuple[str, str]) -> None:
    slugs = [Series(exchange=exchange, symbol=symbol, timeframe="1h").slug for exchange, symbol in (one, other)]
    assert (slugs[0] == slugs[1]) == (one == other)
    assert all(Path(slug).name == slug for slug in slugs)


def test_the_parts_of_a_symbol() -> None:
    assert MarketName.of("BTC/USDT:USDT") == MarketName("BTC", "USDT", "USDT")
    assert MarketName.of("BTC/USDT") == MarketName("BTC", "USDT", "")


@pytest.mark.parametrize("names", [{"BTC/USDT": "BTCUSD"}, {"BTC": "BTC/USD"}, {"BTC/USDT": "BTC/../USD"}])
def test_names_of_markets_at_other_sources_are_checked_as_well(names: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="symbol "):
        load_settings(None, {"combine": {"sources": [{"id": "coinbase", "symbols": names}]}})
