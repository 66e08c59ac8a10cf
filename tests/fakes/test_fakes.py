"""Each fake as ccxt's own client of the exchange sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ccxt
import numpy as np
import pandas as pd
import pytest

from ml.timeframes import HOUR_MS
from tests.fakes import (
    BinanceFake,
    BinanceUsdmFake,
    BitstampFake,
    BybitFake,
    CoinbaseFake,
    Fake,
    KrakenFake,
    OkxFake,
    connected,
)

START = pd.Timestamp("2024-01-01", tz="UTC")
START_MS = int(START.timestamp() * 1000)
ROWS = 1_000
NOW_MS = START_MS + (ROWS - 1) * HOUR_MS + HOUR_MS // 2  # the last row is unfinished

FAKES: list[tuple[Callable[..., Fake], str]] = [
    (BinanceFake, "BTC/USDT"),
    (BinanceFake, "BTC/USDT:USDT"),
    (BinanceUsdmFake, "BTC/USDT:USDT"),
    (BinanceFake, "BTC/USD:BTC"),
    (CoinbaseFake, "BTC/USD"),
    (KrakenFake, "BTC/USD"),
    (KrakenFake, "ADA/USD"),
    (BitstampFake, "BTC/USD"),
    (OkxFake, "BTC/USDT"),
    (OkxFake, "BTC/USDT:USDT"),
    (BybitFake, "BTC/USDT"),
    (BybitFake, "BTC/USDT:USDT"),
    (BybitFake, "BTC/USD:BTC"),
]


def walk(n: int = ROWS, seed: int = 0, scale: float = 40_000.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = scale * np.exp(np.cumsum(rng.normal(0, 0.005, n)))
    opening = np.append(scale, close[:-1])
    top, bottom = np.maximum(opening, close), np.minimum(opening, close)
    return pd.DataFrame(
        {
            "open_time": pd.date_range(START, periods=n, freq="h"),
            "open": opening,
            "high": top * (1 + rng.uniform(0, 0.01, n)),
            "low": bottom * (1 - rng.uniform(0, 0.01, n)),
            "close": close,
            "volume": rng.uniform(1, 1000, n),
        }
    )


def expected(frame: pd.DataFrame, first: int, last: int) -> list[list[float]]:
    rows = frame.iloc[first:last]
    values = rows[["open", "high", "low", "close", "volume"]].to_numpy().tolist()
    return [[START_MS + (first + i) * HOUR_MS, *row] for i, row in enumerate(values)]


def since(row: int) -> int:
    return START_MS + row * HOUR_MS


@pytest.fixture
def frame() -> pd.DataFrame:
    return walk()


@pytest.mark.parametrize(("make", "symbol"), FAKES, ids=[f"{make.__name__} {symbol}" for make, symbol in FAKES])
def test_candles_arrive_as_they_are_in_the_frame(make: Callable[..., Fake], symbol: str, frame: pd.DataFrame) -> None:
    with make({symbol: frame}, NOW_MS) as fake:
        client = connected(fake)
        assert list(client.load_markets()) == [symbol]
        assert client.fetch_ohlcv(symbol, "1h", since(700), 100) == expected(frame, 700, 800)
        last = client.fetch_ohlcv(symbol, "1h", since(ROWS - 5), 100)
        assert last[:4] == expected(frame, ROWS - 5, ROWS - 1)
        if not isinstance(fake, OkxFake):  # its old candles are finished ones
            [unfinished] = last[4:]
            assert unfinished[0] == since(ROWS - 1)
            assert unfinished != expected(frame, ROWS - 1, ROWS)[0]
        assert any(path.count("/") >= 3 for path in fake.requests)


@pytest.mark.parametrize(
    ("make", "symbol", "resolution"),
    [
        (BinanceFake, "BTC/USDT", 1),
        (BinanceUsdmFake, "BTC/USDT:USDT", 1),
        (CoinbaseFake, "BTC/USD", 1000),
        (KrakenFake, "BTC/USD", 1000),
        (OkxFake, "BTC/USDT", 1),
        (BybitFake, "BTC/USDT", 1),
    ],
)
def test_the_clock_is_the_fakes(make: Callable[..., Fake], symbol: str, resolution: int, frame: pd.DataFrame) -> None:
    with make({symbol: frame}, NOW_MS) as fake:
        client = connected(fake)
        assert client.fetch_time() == NOW_MS
        fake.now_ms += 3_600_123
        assert client.fetch_time() == (NOW_MS + 3_600_123) // resolution * resolution


def test_bitstamp_has_no_clock(frame: pd.DataFrame) -> None:
    with BitstampFake({"BTC/USD": frame}, NOW_MS) as fake, pytest.raises(ccxt.NotSupported):
        connected(fake).fetch_time()


@pytest.mark.parametrize(
    ("make", "symbol", "page"),
    [
        (BinanceFake, "BTC/USDT", 900),
        (CoinbaseFake, "BTC/USD", 300),
        (BitstampFake, "BTC/USD", 900),
        (lambda *args: OkxFake(*args, history_limit=300), "BTC/USDT", 300),
        (BybitFake, "BTC/USDT", 900),
    ],
)
def test_pages_are_as_long_as_the_exchange_allows(
    make: Callable[..., Fake], symbol: str, page: int, frame: pd.DataFrame
) -> None:
    with make({symbol: frame}, NOW_MS) as fake:
        assert connected(fake).fetch_ohlcv(symbol, "1h", since(50), 900) == expected(frame, 50, 50 + page)


def test_a_page_of_old_candles_of_okx_skips_what_does_not_fit(frame: pd.DataFrame) -> None:
    with OkxFake({"BTC/USDT": frame}, NOW_MS) as fake:
        client = connected(fake)
        assert client.fetch_ohlcv("BTC/USDT", "1h", since(50), 300) == expected(frame, 250, 350)
        assert client.fetch_ohlcv("BTC/USDT", "1h", since(50), 100) == expected(frame, 50, 150)


def test_kraken_keeps_the_newest_720(frame: pd.DataFrame) -> None:
    with KrakenFake({"BTC/USD": frame}, NOW_MS) as fake:
        client = connected(fake)
        assert client.fetch_ohlcv("BTC/USD", "1h", since(0), 100) == expected(frame, ROWS - 720, ROWS - 620)
        # Nothing is left of this window but the unfinished candle, which is always there.
        raw = client.publicGetOHLC({"pair": "XXBTZUSD", "interval": 60, "since": NOW_MS // 1000 + 86_400})
        assert [row[0] for row in raw["result"]["XXBTZUSD"]] == [since(ROWS - 1) // 1000]
        assert int(raw["result"]["last"]) == since(ROWS - 2) // 1000


@pytest.mark.parametrize(
    ("make", "symbol", "count"),
    [
        (BinanceFake, "BTC/USDT", 50),
        (CoinbaseFake, "BTC/USD", 0),
        (KrakenFake, "BTC/USD", 50),
        (BitstampFake, "BTC/USD", 0),
        (OkxFake, "BTC/USDT", 0),
        (BybitFake, "BTC/USDT", 0),
        (lambda *args: BybitFake(*args, forward_window=False), "BTC/USDT", 50),
    ],
)
def test_a_window_before_the_listing(make: Callable[..., Fake], symbol: str, count: int, frame: pd.DataFrame) -> None:
    with make({symbol: frame[600:]}, NOW_MS) as fake:
        page = connected(fake).fetch_ohlcv(symbol, "1h", since(100), 50)
        assert page == expected(frame, 600, 600 + count)


@pytest.mark.parametrize(("make", "symbol"), FAKES, ids=[f"{make.__name__} {symbol}" for make, symbol in FAKES])
def test_a_market_without_a_candle_is_listed_and_empty(
    make: Callable[..., Fake], symbol: str, frame: pd.DataFrame
) -> None:
    with make({symbol: frame[:0]}, NOW_MS) as fake:
        client = connected(fake)
        assert list(client.load_markets()) == [symbol]
        assert client.fetch_ohlcv(symbol, "1h", since(0), 100) == []
        fake.put(symbol, frame)
        assert len(client.fetch_ohlcv(symbol, "1h", since(700), 100)) == 100


@pytest.mark.parametrize(("make", "symbol"), FAKES, ids=[f"{make.__name__} {symbol}" for make, symbol in FAKES])
def test_days_are_put_together_from_hours(make: Callable[..., Fake], symbol: str, frame: pd.DataFrame) -> None:
    with make({symbol: frame}, NOW_MS) as fake:
        [day] = connected(fake).fetch_ohlcv(symbol, "1d", since(24 * 20), 1)
    hours = frame[24 * 20 : 24 * 21]
    assert day[:5] == [since(24 * 20), hours.open.iloc[0], hours.high.max(), hours.low.min(), hours.close.iloc[-1]]
    assert day[5] == pytest.approx(hours.volume.sum())


@pytest.mark.parametrize("number", [1e-12, 2.5e-8, 3.1e-11, 1 / 3, 0.1 + 0.2, 1.6e9, 123456789012.34567, 1e12])
def test_small_and_large_numbers_read_back_exactly(number: float) -> None:
    frame = walk(5).assign(open=number, high=number, low=number, close=number, volume=number)
    for make, symbol in ((BinanceFake, "BTC/USDT"), (CoinbaseFake, "BTC/USD"), (BybitFake, "BTC/USDT")):
        with make({symbol: frame}, since(6)) as fake:
            page = connected(fake).fetch_ohlcv(symbol, "1h", since(0), 5)
        assert [row[1:] for row in page] == [[number] * 5] * 5


@pytest.mark.parametrize(
    ("make", "symbol", "call", "error"),
    [
        (BinanceFake, "BTC/USDT", lambda c: c.publicGetKlines({"symbol": "NO", "interval": "1h"}), ccxt.BadSymbol),
        (
            BinanceUsdmFake,
            "BTC/USDT:USDT",
            lambda c: c.fapiPublicGetKlines({"symbol": "BTCUSDT", "interval": "1h", "limit": 1501}),
            ccxt.BadRequest,
        ),
        (
            CoinbaseFake,
            "BTC/USD",
            lambda c: c.fetch_ohlcv("BTC/USD", "1h", since(0), 300, {"until": since(350)}),
            ccxt.BaseError,
        ),
        (KrakenFake, "BTC/USD", lambda c: c.publicGetOHLC({"pair": "NO", "interval": 60}), ccxt.ExchangeError),
        (
            BitstampFake,
            "BTC/USD",
            lambda c: c.publicGetOhlcPair({"pair": "btcusd", "step": 3600, "limit": 1001}),
            ccxt.BaseError,
        ),
        (OkxFake, "BTC/USDT", lambda c: c.publicGetMarketCandles({"instId": "NO", "bar": "1H"}), ccxt.BadSymbol),
        (
            BybitFake,
            "BTC/USDT",
            lambda c: c.publicGetV5MarketKline({"category": "spot", "symbol": "NO", "interval": "60"}),
            ccxt.BaseError,
        ),
    ],
)
def test_wrong_requests_are_turned_down(
    make: Callable[..., Fake], symbol: str, call: Callable[[Any], Any], error: type[Exception], frame: pd.DataFrame
) -> None:
    with make({symbol: frame}, NOW_MS) as fake:
        client = connected(fake)
        client.load_markets()
        with pytest.raises(error):
            call(client)


def test_a_hook_spoils_single_answers(frame: pd.DataFrame) -> None:
    spoiled = iter([(429, {"Retry-After": "7"}, b'{"code":-1003,"msg":"slow"}'), (200, {}, b"[[1,"), (0, {}, b"")])

    def hook(path: str, parameters: Any) -> tuple[int, dict[str, str], bytes] | None:
        return next(spoiled, None) if path.endswith("klines") else None

    with BinanceFake({"BTC/USDT": frame}, NOW_MS, hook) as fake:
        client = connected(fake)
        with pytest.raises(ccxt.DDoSProtection):
            client.fetch_ohlcv("BTC/USDT", "1h", since(0), 5)
        assert client.last_response_headers["Retry-After"] == "7"
        # ccxt takes a body that is no JSON for an empty list: callers cannot tell it from a window without a candle.
        assert client.fetch_ohlcv("BTC/USDT", "1h", since(0), 5) == []
        with pytest.raises(ccxt.NetworkError):
            client.fetch_ohlcv("BTC/USDT", "1h", since(0), 5)
        assert client.fetch_ohlcv("BTC/USDT", "1h", since(0), 5) == expected(frame, 0, 5)
