"""The exchange client against the recorded exchange: patience, limits, and closed candles only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import ccxt
import pytest

from flows.ingestion.exchange import Exchange
from flows.replay import Fault, RecordedCandles, ReplayClock, ReplayServer
from flows.settings import ExchangeSettings
from ml.errors import ConfigurationError, ExchangeError
from tests.flows.conftest import hours
from tests.flows.ingestion.walks import walk


@pytest.fixture
def server(recorded: Path) -> Iterator[ReplayServer]:
    with ReplayServer(RecordedCandles(recorded, "binance"), ReplayClock(hours(2600))) as running:
        yield running


def _exchange(server: ReplayServer, pauses: list[float], **changes: object) -> Exchange:
    settings = ExchangeSettings(base_url=server.url, retries=2, timeout_seconds=1.0, **changes)  # type: ignore[arg-type]
    return Exchange(settings, sleep=pauses.append)


def _pages(exchange: Exchange, since_ms: int, now_ms: int) -> list[list[list[float]]]:
    return list(exchange.closed_candles("BTC/USDT", "1h", since_ms, now_ms, 1000))


def test_2500_candles_arrive_in_pages_of_1000_without_the_unfinished_one(server: ReplayServer) -> None:
    server.clock.set(hours(2500) + 1_800_000)  # half past: candle 2500 is in the making
    exchange = _exchange(server, [])
    pages = _pages(exchange, hours(0), exchange.now_ms())
    assert [len(page) for page in pages] == [1000, 1000, 500]
    times = [row[0] for page in pages for row in page]
    assert len(set(times)) == 2500
    assert times[-1] == hours(2499)


def test_the_pause_after_a_429_is_the_one_that_the_exchange_names(server: ReplayServer) -> None:
    pauses: list[float] = []
    server.faults.add(Fault(kind="rate_limit", count=1, retry_after_seconds=7))
    assert len(_pages(_exchange(server, pauses), hours(2590), hours(2600))[0]) == 10
    assert pauses == [7.0]


def test_a_ban_of_days_is_an_error_that_says_until_when_and_nobody_sleeps_it_out(server: ReplayServer) -> None:
    pauses: list[float] = []
    server.faults.add(Fault(kind="rate_limit", endpoint="*", retry_after_seconds=259_200, count=50))
    with pytest.raises(ExchangeError, match=r"refuses requests until \d{4}-\d\d-\d\d \d\d:\d\d UTC"):
        _exchange(server, pauses).now_ms()
    assert sum(pauses) <= 300


def test_exchanges_without_a_clock_lend_ours() -> None:
    clients = {name: getattr(ccxt, name)().has for name in ccxt.exchanges}
    without = [name for name, has in clients.items() if has.get("fetchOHLCV") is True and not has.get("fetchTime")]
    assert {"bitstamp", "bitfinex", "gemini", "upbit", "cryptocom"} <= set(without)
    for name in without:
        now_ms = Exchange(ExchangeSettings(id=name, retries=0), sleep=lambda _: None).now_ms()
        assert abs(now_ms - time.time() * 1000) < 60_000, name


@pytest.mark.parametrize("symbol", ["XBT/USD", "BCC/USDT", "YOYO/BTC", "BCHSV/USDT", "ETH/USD"])
def test_a_market_whose_code_ccxt_renames_is_loaded_under_its_own(tmp_path: Path, symbol: str) -> None:
    folder = tmp_path / "binance" / symbol.replace("/", "-")
    folder.mkdir(parents=True)
    walk("2024-01-01", 48).to_parquet(folder / "1h.parquet")
    with ReplayServer(RecordedCandles(tmp_path, "binance"), ReplayClock(hours(40))) as running:
        exchange = _exchange(running, [])
        name = exchange.check_market(symbol, "1h")
        pages = list(exchange.closed_candles(name, "1h", hours(0), exchange.now_ms(), 1000))
    assert sum(map(len, pages)) == 40


@pytest.mark.parametrize("kind", ["server_error", "truncate", "stall"])
def test_a_passing_failure_is_tried_again_with_growing_pauses(server: ReplayServer, kind: str) -> None:
    pauses: list[float] = []
    server.faults.add(Fault(kind=kind, count=2, stall_seconds=5))  # type: ignore[arg-type]
    assert len(_pages(_exchange(server, pauses), hours(2590), hours(2600))[0]) == 10
    assert len(pauses) == 2
    assert pauses[1] > pauses[0]


def test_an_exchange_that_stays_down_is_an_error_with_the_remedy(server: ReplayServer) -> None:
    server.faults.add(Fault(kind="server_error", count=50))
    with pytest.raises(ExchangeError, match=r"3 times, last with ExchangeNotAvailable.*run again"):
        _pages(_exchange(server, []), hours(2590), hours(2600))


def test_an_unknown_market_and_an_unknown_exchange_are_named(server: ReplayServer) -> None:
    with pytest.raises(ConfigurationError, match="no market 'DOGE/EUR'"):
        _exchange(server, []).check_market("DOGE/EUR", "1h")
    with pytest.raises(ConfigurationError, match="Unknown exchange 'mtgox'"):
        _exchange(server, [], id="mtgox")
