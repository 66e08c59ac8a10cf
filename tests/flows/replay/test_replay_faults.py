"""Each fault as the ccxt exception, or the candles, that it becomes for a client."""

from __future__ import annotations

import time
from typing import Any

import ccxt
import pytest
from pydantic import ValidationError

from flows.replay import Fault, Faults, ReplayServer
from ml.timeframes import HOUR_MS

START_MS = 1_600_041_600_000


def hours(page: list[list[float]]) -> list[int]:
    return [int(row[0] - START_MS) // HOUR_MS for row in page]


def fetch(client: Any, limit: int = 5, symbol: str = "BTC/USDT") -> list[list[float]]:
    page: list[list[float]] = client.fetch_ohlcv(symbol, "1h", START_MS, limit)
    return page


def test_a_429_names_the_seconds_to_wait_and_strikes_once(client: Any, server: ReplayServer) -> None:
    server.faults.add(Fault(kind="rate_limit", retry_after_seconds=7))
    with pytest.raises(ccxt.DDoSProtection):
        fetch(client)
    assert client.last_response_headers["Retry-After"] == "7"
    assert len(fetch(client)) == 5


def test_a_500_is_an_exchange_that_is_not_available(client: Any, server: ReplayServer) -> None:
    server.faults.add(Fault(kind="server_error", count=2))
    for _ in range(2):
        with pytest.raises(ccxt.ExchangeNotAvailable, match="500"):
            fetch(client)
    assert len(fetch(client)) == 5


def test_a_stalled_answer_is_a_time_out(client: Any, server: ReplayServer) -> None:
    client.load_markets()
    client.timeout = 200
    server.faults.add(Fault(kind="stall"))
    with pytest.raises(ccxt.RequestTimeout):
        fetch(client)
    client.timeout = 5_000
    assert len(fetch(client)) == 5


def test_a_server_that_stops_does_not_wait_for_its_stalled_answers(client: Any, server: ReplayServer) -> None:
    client.load_markets()
    client.timeout = 100
    server.faults.add(Fault(kind="stall", stall_seconds=60))
    with pytest.raises(ccxt.RequestTimeout):
        fetch(client)
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 5


def test_a_stall_that_ends_cuts_the_line(client: Any, server: ReplayServer) -> None:
    server.faults.add(Fault(kind="stall", stall_seconds=0))
    with pytest.raises(ccxt.NetworkError):
        fetch(client)


def test_a_truncated_body_is_a_network_error(client: Any, server: ReplayServer) -> None:
    server.faults.add(Fault(kind="truncate"))
    with pytest.raises(ccxt.NetworkError) as caught:
        fetch(client)
    assert not isinstance(caught.value, ccxt.RequestTimeout)
    assert len(fetch(client)) == 5


def test_faults_reach_other_endpoints_only_when_told(client: Any, server: ReplayServer) -> None:
    server.faults.add(Fault(kind="server_error"), Fault(kind="rate_limit", endpoint="time"))
    with pytest.raises(ccxt.DDoSProtection):
        client.fetch_time()
    assert sorted(client.load_markets()) == ["BTC/USDT", "ETH/USDT"]
    with pytest.raises(ccxt.ExchangeNotAvailable):
        fetch(client)


def test_a_fault_can_be_kept_for_one_market_and_a_later_page(client: Any, server: ReplayServer) -> None:
    server.faults.add(Fault(kind="server_error", symbol="ETH/USDT", after=1))
    assert len(fetch(client)) == 5
    assert len(fetch(client, symbol="ETH/USDT")) == 5
    with pytest.raises(ccxt.ExchangeNotAvailable):
        fetch(client, symbol="ETH/USDT")


def test_a_gap_takes_candles_out_and_pages_stay_full(client: Any, server: ReplayServer) -> None:
    server.faults.add(Fault(kind="gap", start_ms=START_MS + 2 * HOUR_MS, end_ms=START_MS + 4 * HOUR_MS))
    assert hours(fetch(client)) == [0, 1, 4, 5, 6]
    assert hours(fetch(client)) == [0, 1, 4, 5, 6]


def test_duplicated_rows_come_twice(client: Any, server: ReplayServer) -> None:
    server.faults.add(Fault(kind="duplicate", start_ms=START_MS + HOUR_MS, end_ms=START_MS + 2 * HOUR_MS, count=1))
    page = client.publicGetKlines({"symbol": "BTCUSDT", "interval": "1h", "startTime": START_MS, "limit": 5})
    assert [(int(row[0]) - START_MS) // HOUR_MS for row in page] == [0, 1, 1, 2, 3]
    assert page[1] == page[2]
    assert hours(fetch(client)) == [0, 1, 2, 3, 4]


def test_revised_candles_change_from_a_replay_time_on_and_stay_coherent(client: Any, server: ReplayServer) -> None:
    before = fetch(client)
    moment = server.clock.now_ms() + HOUR_MS
    server.faults.add(
        Fault(kind="revise", from_ms=moment, start_ms=START_MS + 3 * HOUR_MS, end_ms=START_MS + 4 * HOUR_MS, factor=1.5)
    )
    assert fetch(client) == before
    server.clock.set(moment)
    after = fetch(client)
    assert [row for row in range(5) if after[row] != before[row]] == [3]
    # Close x 1.5 lies above the old high and becomes the high; open and low stay.
    close = pytest.approx(before[3][4] * 1.5, abs=1e-8)
    assert after[3] == [before[3][0], before[3][1], close, before[3][3], close, pytest.approx(before[3][5] * 1.5)]


def test_the_unfinished_candle_is_never_revised(client: Any, server: ReplayServer) -> None:
    before = client.fetch_ohlcv("BTC/USDT", "1h", None, 2)
    server.faults.add(Fault(kind="revise", factor=2))
    after = client.fetch_ohlcv("BTC/USDT", "1h", None, 2)
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_the_first_fault_that_fits_strikes_and_the_report_counts() -> None:
    faults = Faults()
    faults.add(Fault(kind="rate_limit", until_ms=100), Fault(kind="server_error"), Fault(kind="gap", count=1))
    first, second, third = (faults.strike_answer("klines", "BTC/USDT", now_ms=50) for _ in range(3))
    assert first is not None and first.kind == "rate_limit"
    assert second is not None and second.kind == "server_error"
    assert third is None
    assert [fault.kind for fault in faults.strike_data("BTC/USDT", 50)] == ["gap"]
    assert faults.strike_data("BTC/USDT", 50) == []
    assert [entry.struck for entry in faults.report()] == [1, 1, 1]
    faults.clear()
    assert faults.report() == []


@pytest.mark.parametrize("wrong", [{"kind": "earthquake"}, {"kind": "gap", "count": 0}, {"kind": "gap", "form": 1}])
def test_faults_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Fault.model_validate(wrong)
