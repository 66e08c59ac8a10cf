"""The server itself: its clock, its control endpoints, its limits, its port."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import ccxt
import pytest

from flows.replay import RecordedCandles, ReplayClock, ReplayServer, SimulatedCandles, serve_forever
from flows.replay.limits import RateLimiter
from ml.errors import CandleDataError, ConfigurationError, ServiceError


def call(server: ReplayServer, method: str, path: str, body: object = None) -> tuple[int, Any]:
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=5)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_a_frozen_clock_stands_still_and_adds_up_steps() -> None:
    clock = ReplayClock(1_000)
    assert clock.advance(500) == 1_500
    clock.advance(1)
    assert clock.now_ms() == 1_501
    clock.set(10)
    assert clock.now_ms() == 10


def test_a_running_clock_runs_at_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [100.0]
    monkeypatch.setattr("flows.replay.clock.time.monotonic", lambda: seconds[0])
    clock = ReplayClock(0, speed=3_600)
    seconds[0] += 2.5
    assert clock.now_ms() == 9_000_000  # 2.5 s x 3,600 = 2.5 hours
    clock.set_speed(0)
    seconds[0] += 10
    assert clock.now_ms() == 9_000_000


@pytest.mark.parametrize("speed", [-1.0, float("nan"), float("inf")])
def test_clocks_that_cannot_be_are_refused(speed: float) -> None:
    with pytest.raises(ConfigurationError):
        ReplayClock(0, speed)
    with pytest.raises(ConfigurationError):
        ReplayClock(0).advance(-1)


def test_drivers_of_another_process_steer_the_clock(server: ReplayServer) -> None:
    now_ms = server.clock.now_ms()
    assert call(server, "GET", "/replay/clock") == (200, {"now_ms": now_ms, "speed": 0.0})
    assert call(server, "POST", "/replay/clock", {"advance_ms": 5}) == (200, {"now_ms": now_ms + 5, "speed": 0.0})
    assert call(server, "POST", "/replay/clock", {"now_ms": 7}) == (200, {"now_ms": 7, "speed": 0.0})
    status, answer = call(server, "POST", "/replay/clock", {"tomorrow": 1})
    assert status == 400 and "tomorrow" in answer["error"]
    assert call(server, "POST", "/replay/clock", {"speed": 2.0})[0] == 200
    assert server.clock.speed == 2.0


def test_drivers_of_another_process_queue_and_clear_faults(server: ReplayServer) -> None:
    status, queue = call(server, "POST", "/replay/faults", [{"kind": "gap"}, {"kind": "stall"}])
    assert status == 200 and [fault["kind"] for fault in queue] == ["gap", "stall"]
    assert call(server, "POST", "/replay/faults", {"kind": "truncate"})[0] == 200
    assert len(call(server, "GET", "/replay/faults")[1]) == 3
    assert call(server, "POST", "/replay/faults", {"kind": "flood"})[0] == 400
    assert call(server, "DELETE", "/replay/faults") == (200, [])
    assert server.faults.report() == []


def test_one_connection_carries_many_requests(server: ReplayServer) -> None:
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=5)
    for _ in range(3):
        connection.request("GET", "/api/v3/ping")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"{}")
        assert answer.version == 11 and not answer.will_close
    connection.close()


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_paths_are_not_found(server: ReplayServer, method: str) -> None:
    assert call(server, method, "/nowhere")[0] == 404


def test_endpoints_that_are_not_recorded_are_not_available(client: Any) -> None:
    client.load_markets()
    with pytest.raises(ccxt.ExchangeNotAvailable):
        client.fetch_ticker("BTC/USDT")


def test_a_port_in_use_is_one_line_with_the_port_and_the_remedy(server: ReplayServer, source: SimulatedCandles) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(ServiceError) as caught:
        ReplayServer(source, ReplayClock(0), port=port).start()
    assert str(port) in str(caught.value) and "--port" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_stopped_server_frees_its_port_and_has_no_address(source: SimulatedCandles) -> None:
    server = ReplayServer(source, ReplayClock(0)).start()
    port = int(server.url.rsplit(":", 1)[1])
    server.stop()
    server.stop()
    with pytest.raises(ServiceError):
        _ = server.url
    with ReplayServer(source, ReplayClock(0), port=port) as again:
        assert again.url.endswith(f":{port}")


def test_the_limiter_counts_in_fixed_minutes() -> None:
    now = [0.0]
    limiter = RateLimiter(5, seconds=lambda: now[0])
    assert limiter.use(4) == (4, None)
    assert limiter.use(1) == (5, None)
    now[0] = 50.5
    assert limiter.use(1) == (6, 10)  # 9.5 seconds are left, rounded up
    now[0] = 60.0
    assert limiter.use(1) == (1, None)


def test_a_broken_file_tells_the_client_why(tmp_path: Path, connect: Callable[[str], Any]) -> None:
    file = tmp_path / "binance" / "BTC-USDT" / "1h.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no candles")
    with (
        ReplayServer(RecordedCandles(tmp_path, "binance"), ReplayClock(0)) as server,
        pytest.raises(ccxt.OperationFailed, match=r"1h\.parquet is not a readable Parquet file"),
    ):
        connect(server.url).fetch_ohlcv("BTC/USDT", "1h")


def test_the_command_serves_simulated_markets_until_interrupted(connect: Callable[[str], Any]) -> None:
    lines: list[str] = []
    seen: list[Any] = []

    def driver() -> None:
        deadline = time.monotonic() + 20
        while not lines and time.monotonic() < deadline:
            time.sleep(0.01)
        address = next(word for word in lines[0].split() if word.startswith("http"))
        client = connect(address)
        seen.extend([client.fetch_ohlcv("BTC/USDT", "1h"), client.fetch_time()])
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=driver)
    now = datetime(2024, 1, 1, 0, 30, tzinfo=UTC)
    # A shell starts what it puts in the background with interrupts ignored, and Python keeps to that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        serve_forever(None, "binance", now, speed=0, port=0, announce=lines.append)
    finally:
        signal.signal(signal.SIGINT, before)
    thread.join()
    assert "BTC/USDT 1h" in lines[0] and lines[-1].endswith("stopped.")
    assert len(seen[0]) == 500 and seen[1] == int(now.timestamp() * 1000)


def test_the_command_refuses_a_time_without_zone_and_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        serve_forever(None, "binance", datetime(2024, 1, 1))  # noqa: DTZ001 - the mistake under test
    with pytest.raises(CandleDataError, match="--candles"):
        serve_forever(tmp_path / "none", "binance", datetime(2024, 1, 1, tzinfo=UTC))
