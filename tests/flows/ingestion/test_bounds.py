"""Bounds of a load: size, time and host of an answer, the exchange's clock, and what a load that ends early keeps."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows.ingestion import client as bounded
from flows.ingestion.client import market_type
from flows.ingestion.exchange import Exchange
from flows.settings import ExchangeSettings
from ml.errors import ExchangeError
from ml.timeframes import DAY_MS, HOUR_MS, utc_ms
from tests.fakes import BinanceFake, CoinbaseFake, OkxFake
from tests.fakes.exchange import Hook
from tests.flows.ingestion.test_history import START, home, load, opens, stored
from tests.flows.ingestion.walks import walk

pytestmark = pytest.mark.usefixtures("plain_gate", "warehouses_kept_open")

NOW_MS = utc_ms("2024-01-31T00:30")
SPAN = (utc_ms(START), NOW_MS)


@contextmanager
def binance(hook: Hook | None = None) -> Iterator[BinanceFake]:
    with BinanceFake({"BTC/USDT": walk(START, 24 * 30)}, NOW_MS, hook=hook) as fake:
        yield fake


def _exchange(fake: BinanceFake, retries: int = 1, our_time_ms: int = NOW_MS) -> Exchange:
    settings = ExchangeSettings(base_url=fake.url, retries=retries, timeout_seconds=2.0)
    return Exchange(settings, sleep=lambda _: None, clock=lambda: our_time_ms / 1000)


def _ask(exchange: Exchange) -> None:
    exchange.check_market("BTC/USDT", "1h")
    list(exchange.closed_candles("BTC/USDT", "1h", *SPAN, 1000))


def test_an_answer_that_is_too_large_ends_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LARGEST_ANSWER_BYTES", 1_000_000)
    large = b"[" + b" " * 3_000_000 + b"]"
    with (
        binance(lambda path, _: (200, {}, large) if "klines" in path else None) as fake,
        pytest.raises(ExchangeError, match="larger than") as caught,
    ):
        _ask(_exchange(fake))
    assert "\n" not in str(caught.value)


def test_a_redirect_to_another_host_is_not_followed() -> None:
    with binance() as other, binance() as fake:
        other_url = other.url.replace("127.0.0.1", "localhost")
        fake.hook = lambda path, _: (302, {"Location": other_url + path}, b"") if "klines" in path else None
        with pytest.raises(ExchangeError, match="redirects to another host"):
            _ask(_exchange(fake))
        assert other.requests == []


def test_an_answer_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LONGEST_ANSWER_SECONDS", 0.5)
    dripped: list[int] = []

    class Dripping(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _ in range(100):
                try:
                    self.wfile.write(b" ")
                    dripped.append(1)
                    self.wfile.flush()
                except OSError:
                    return
                time.sleep(0.1)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = ExchangeSettings(base_url=f"http://127.0.0.1:{server.server_port}", retries=0, timeout_seconds=2.0)
        with pytest.raises(ExchangeError, match="not complete after"):
            Exchange(settings, sleep=lambda _: None).now_ms()
        assert len(dripped) < 100
        server.shutdown()


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_a_retry_after_that_is_a_date_counts_too(retries: int) -> None:
    headers = {"Retry-After": "Sat, 03 Feb 2024 00:30:00 GMT"}
    with (
        binance(lambda path, _: (429, headers, b"{}") if "klines" in path else None) as fake,
        pytest.raises(ExchangeError, match="refuses requests until 2024-02-03 00:30 UTC"),
    ):
        _ask(_exchange(fake, retries))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("9" * 400, "refuses requests until 2025-01-31 00:30 UTC"),
        ("999999999999", "refuses requests until 2025-01-31 00:30 UTC"),
        ("Fri, 31 Dec 9999 23:59:59 -2300", "refuses requests until 2025-01-31 00:30 UTC"),
        ("\u00b2", "failed at candles of BTC/USDT 1h 1 times"),
        ("soon", "failed at candles of BTC/USDT 1h 1 times"),
    ],
)
def test_a_retry_after_that_no_clock_reaches_is_no_traceback(header: str, words: str) -> None:
    with (
        binance(lambda path, _: (429, {"Retry-After": header}, b"{}") if "klines" in path else None) as fake,
        pytest.raises(ExchangeError, match=words),
    ):
        _ask(_exchange(fake, 0))


def test_a_market_that_is_listed_as_another_kind_is_not_read() -> None:
    with OkxFake({"BTC/USDT": walk(START, 24)}, NOW_MS) as fake:
        listed = fake.answer("/api/v5/public/instruments", {"instType": "SPOT"}).body["data"]
        body = json.dumps({"code": "0", "msg": "", "data": [listed[0] | {"instType": "x"}]}).encode()
        fake.hook = lambda path, _: (200, {}, body) if path.endswith("instruments") else None
        exchange = Exchange(ExchangeSettings(id="okx", base_url=fake.url, retries=0), clock=lambda: NOW_MS / 1000)
        with pytest.raises(ExchangeError, match="which its name contradicts"):
            exchange.check_market("BTC/USDT", "1h")


def test_what_a_terminal_would_obey_is_left_out_of_a_message() -> None:
    with (
        binance(lambda path, _: (504, {}, b"\x1b[31m\x7f bad\nmore") if "klines" in path else None) as fake,
        pytest.raises(ExchangeError, match="bad") as caught,
    ):
        _ask(_exchange(fake, 0))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("hours", [20, -20, 1])
def test_a_clock_that_disagrees_with_ours_is_not_believed(hours: int) -> None:
    with binance() as fake, pytest.raises(ExchangeError, match="ours 2024-01-"):
        _exchange(fake, our_time_ms=NOW_MS - hours * HOUR_MS).now_ms()


@pytest.mark.parametrize("seconds", [-50, 0, 50])
def test_of_two_clocks_that_agree_to_a_minute_the_earlier_counts(seconds: int) -> None:
    ours = NOW_MS + seconds * 1000
    with binance() as fake:
        exchange = _exchange(fake, our_time_ms=ours)
        assert exchange.now_ms() == min(NOW_MS, ours)


def test_one_wrong_reading_of_a_recorded_clock_is_not_believed() -> None:
    answers = iter([NOW_MS + 20 * HOUR_MS, NOW_MS])
    body = b'{"serverTime": %d}'
    with (
        binance(lambda path, _: (200, {}, body % next(answers)) if path.endswith("/time") else None) as fake,
        pytest.raises(ExchangeError, match="ran backwards"),
    ):
        _exchange(fake, our_time_ms=NOW_MS + 900 * DAY_MS).now_ms()


def test_a_load_that_breaks_off_keeps_what_came(tmp_path: Path) -> None:
    frame = walk(START, 24 * 60)
    now_ms = utc_ms("2024-03-01T00:30")
    served = 0

    def second_page_fails(path: str, _: object) -> tuple[int, dict[str, str], bytes] | None:
        nonlocal served
        served += "klines" in path
        return (500, {}, b"") if "klines" in path and served > 1 else None

    with BinanceFake({"BTC/USDT": frame}, now_ms, hook=second_page_fails) as fake:
        workspace = home(tmp_path, fake, "binance", "BTC/USDT", retries=0)
        report = load(workspace, now_ms)
        assert report.status == "failed"
        assert stored(workspace) == opens(frame)[:1000]
        fake.hook = None
        assert load(workspace, now_ms).status == "ok"
    assert stored(workspace) == opens(frame)


def test_spans_that_a_stopped_load_did_not_reach_are_asked_for_again(tmp_path: Path) -> None:
    frame = walk(START, 24 * 60)
    holes = frame.drop(index=[*range(48, 60), *range(1300, 1310)]).reset_index(drop=True)
    now_ms = utc_ms("2024-03-01T00:30")
    with BinanceFake({"BTC/USDT": holes}, now_ms) as fake:
        workspace = home(tmp_path, fake, "binance", "BTC/USDT")
        load(workspace, now_ms)
        later = now_ms + 8 * DAY_MS
        bad = frame.assign(high=frame["low"], low=frame["high"])
        fake.put("BTC/USDT", bad)
        fake.now_ms = later
        assert load(workspace, later).status == "stopped"
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        rows = connection.execute(
            "select epoch_ms(last_requested_at) from raw.gaps order by first_open_time"
        ).fetchall()
    assert [row[0] for row in rows] == [later, now_ms]


def test_a_hole_elsewhere_is_no_proof_of_a_late_listing() -> None:
    frame = walk(START, 24 * 30)
    hole = (frame["open_time"] >= "2024-01-10") & (frame["open_time"] < "2024-01-20")
    with CoinbaseFake({"BTC/USD": frame[~hole]}, NOW_MS) as fake:
        settings = ExchangeSettings(id="coinbase", base_url=fake.url, retries=0)
        exchange = Exchange(settings, clock=lambda: NOW_MS / 1000)
        exchange.check_market("BTC/USD", "1h")
        pages = list(exchange.closed_candles("BTC/USD", "1h", utc_ms("2024-01-12"), NOW_MS, 24))
        assert pages[0][0][0] == utc_ms("2024-01-20")
        assert exchange.first_day_ms("BTC/USD", utc_ms(START), NOW_MS) == utc_ms(START)


@pytest.mark.parametrize(
    ("exchange", "symbol", "expected"),
    [
        ("binance", "", "spot"),
        ("bybit", "", "spot"),
        ("binanceusdm", "", "linear"),
        ("binancecoinm", "", "inverse"),
        ("krakenfutures", "", "linear"),
        ("binance", "BTC/USDT:USDT", "linear"),
        ("binance", "BTC/USD:BTC", "inverse"),
    ],
)
def test_the_type_of_a_market_follows_its_symbol_or_the_exchange(exchange: str, symbol: str, expected: str) -> None:
    assert market_type(ExchangeSettings(id=exchange), symbol) == expected
