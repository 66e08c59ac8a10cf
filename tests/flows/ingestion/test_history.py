"""What a load asks for and what it says: exchanges that answer windows, late listings, halts, gaps, nothing usable."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.ingestion.ingest import LoadReport, ingest_market
from flows.settings import load_settings
from flows.workspace.workspace import Workspace
from ml.timeframes import DAY_MS, HOUR_MS, utc_ms
from tests.fakes import BinanceFake, BinanceUsdmFake, BitstampFake, BybitFake, CoinbaseFake, Fake, KrakenFake, OkxFake
from tests.flows.ingestion.walks import walk

pytestmark = pytest.mark.usefixtures("plain_gate", "warehouses_kept_open")

START = "2024-01-01"


def home(
    folder: Path, fake: Fake, exchange: str, symbol: str = "BTC/USD", start: str = START, **changes: Any
) -> Workspace:
    settings = {
        "exchange": {"id": exchange, "base_url": fake.url, "retries": 1, "timeout_seconds": 5.0, **changes},
        "markets": {"symbols": [symbol], "timeframes": ["1h"], "history_start": start},
    }
    return Workspace(folder, load_settings(None, settings))


def load(workspace: Workspace, now_ms: int) -> LoadReport:
    return ingest_market(workspace, workspace.settings.markets.symbols[0], now_ms)


def stored(workspace: Workspace) -> list[int]:
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        rows = connection.execute("select distinct epoch_ms(open_time) from raw.candles order by 1").fetchall()
    return [int(row[0]) for row in rows]


def opens(frame: pd.DataFrame) -> list[int]:
    return [int(value) for value in frame["open_time"].astype("datetime64[ms, UTC]").astype("int64")]


@pytest.mark.parametrize(
    ("fake_type", "exchange", "symbol"),
    [
        (BinanceFake, "binance", "BTC/USDT"),
        (BinanceUsdmFake, "binanceusdm", "BTC/USDT:USDT"),
        (CoinbaseFake, "coinbase", "BTC/USD"),
        (BitstampFake, "bitstamp", "BTC/USD"),
        (OkxFake, "okx", "BTC/USDT"),
        (BybitFake, "bybit", "BTC/USDT"),
    ],
)
def test_every_family_of_exchange_gives_all_candles_behind_a_late_listing_and_a_halt(
    tmp_path: Path, fake_type: type[Fake], exchange: str, symbol: str
) -> None:
    frame = walk("2024-02-20", 24 * 60)
    halt = (frame["open_time"] >= "2024-03-10") & (frame["open_time"] < "2024-03-24")
    frame = frame[~halt].reset_index(drop=True)
    now_ms = utc_ms("2024-04-15T00:30")
    with fake_type({symbol: frame}, now_ms) as fake:
        workspace = home(tmp_path, fake, exchange, symbol)
        report = load(workspace, now_ms)
        expected = [one for one in opens(frame) if one + HOUR_MS <= now_ms]
        assert stored(workspace) == expected
        assert report.status == "ok", report.message
        assert "history starts at 2024-02-20" in report.message
        assert len(fake.requests) < 40


def test_a_market_listed_years_later_costs_a_dozen_requests(tmp_path: Path) -> None:
    now_ms = utc_ms("2024-04-15T00:30")
    with CoinbaseFake({"BTC/USD": walk("2024-04-01", 24 * 14)}, now_ms) as fake:
        workspace = home(tmp_path, fake, "coinbase", start="2016-01-01")
        load(workspace, now_ms)
        assert len(stored(workspace)) == 24 * 14
        assert sum("candles" in path for path in fake.requests) <= 16


def test_an_exchange_that_keeps_the_newest_720_says_that_history_starts_late(tmp_path: Path) -> None:
    now_ms = utc_ms("2024-04-15T00:30")
    with KrakenFake({"BTC/USD": walk(START, 24 * 110)}, now_ms) as fake:
        report = load(home(tmp_path, fake, "kraken"), now_ms)
    assert report.status == "partial"
    assert "history starts at 2024-03-1" in report.message


def test_a_late_backfill_is_found_weeks_later_and_an_earlier_start_is_loaded(tmp_path: Path) -> None:
    whole = walk(START, 24 * 100)
    holes = whole.drop(index=range(24 * 40, 24 * 42)).reset_index(drop=True)
    now_ms = utc_ms("2024-03-01T00:30")
    with BinanceFake({"BTC/USDT": holes}, now_ms) as fake:
        workspace = home(tmp_path, fake, "binance", "BTC/USDT", "2024-01-20")
        assert load(workspace, now_ms).missing == 48
    later = utc_ms("2024-03-22T00:30")
    with BinanceFake({"BTC/USDT": whole}, later) as fake:
        report = load(home(tmp_path, fake, "binance", "BTC/USDT"), later)
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        assert connection.execute("select open_time, rule, detail from raw.quarantine").fetchall() == []
    assert report.status == "ok", report.message
    assert stored(workspace) == [one for one in opens(whole) if one + HOUR_MS <= later]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"null", "no candle of BTC/USDT at all"),
        (b"[]", "no candle of BTC/USDT at all"),
        (b"42", "the answer began with"),
        (b"<html><body>hello</body></html>", "the answer began with"),
        (b'"text"', "the answer began with"),
        (json.dumps([[1704067200, "1", "1", "1", "1", "1", 0, "0", 0, "0", "0", "0"]]).encode(), "BTC/USDT"),
        (
            json.dumps([[1704067200000000, "1", "1", "1", "1", "1", 0, "0", 0, "0", "0", "0"]]).encode(),
            "stamps are microseconds",
        ),
        (b"[[null, null, null, null, null, null]]", "BTC/USDT"),
        (b'{"a": NaN}', "the answer began with"),
    ],
)
def test_an_answer_that_is_no_candles_fails_the_load_in_one_line(tmp_path: Path, body: bytes, words: str) -> None:
    now_ms = utc_ms("2024-01-31T00:30")
    with BinanceFake(
        {"BTC/USDT": walk(START, 24)}, now_ms, hook=lambda path, _: (200, {}, body) if "klines" in path else None
    ) as fake:
        report = load(home(tmp_path, fake, "binance", "BTC/USDT"), now_ms)
    assert report.status == "failed"
    assert words in report.message
    assert "\n" not in report.message


def test_candles_that_are_due_and_do_not_come_are_told(tmp_path: Path) -> None:
    now_ms = utc_ms("2024-01-11T00:30")
    with BinanceFake({"BTC/USDT": walk(START, 24 * 10)}, now_ms) as fake:
        workspace = home(tmp_path, fake, "binance", "BTC/USDT")
        assert load(workspace, now_ms).status == "ok"
        fake.now_ms = now_ms + 3 * HOUR_MS
        report = load(workspace, now_ms + 3 * HOUR_MS)
    assert report.status == "partial"
    assert "3 candles are due since 2024-01-11T00:00:00" in report.message


def test_a_clock_before_the_last_load_stops_the_load(tmp_path: Path) -> None:
    now_ms = utc_ms("2024-01-11T00:30")
    with BinanceFake({"BTC/USDT": walk(START, 24 * 12)}, now_ms) as fake:
        workspace = home(tmp_path, fake, "binance", "BTC/USDT")
        load(workspace, now_ms)
        report = load(workspace, now_ms - 20 * HOUR_MS)
    assert report.status == "failed"
    assert "last load was at" in report.message


@pytest.mark.parametrize("text", ["2024-01-01T00:00:00", "2024-01-01", "2024-01-01T02:00:00+02:00"])
def test_times_without_a_zone_are_utc_whatever_the_machine_says(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    settings = load_settings(None, {"markets": {"history_start": text}})
    assert settings.markets.history_start == datetime.fromisoformat("2024-01-01T00:00:00+00:00")


def test_the_type_of_market_decides_between_a_pair_and_its_perpetual(tmp_path: Path) -> None:
    now_ms = utc_ms("2024-01-11T00:30")
    spot, perpetual = walk(START, 24 * 12, seed=1), walk(START, 24 * 12, seed=2)
    with BybitFake({"BTC/USDT": spot, "BTC/USDT:USDT": perpetual}, now_ms) as fake:
        for kind, truth in (("", spot), ("spot", spot), ("linear", perpetual)):
            workspace = home(tmp_path / f"home {kind}", fake, "bybit", "BTC/USDT", market_type=kind)
            assert load(workspace, now_ms).status == "ok"
            with workspace.warehouse.connect() as connection:
                closes = connection.execute("select close from raw.candles order by open_time").df()["close"]
            assert closes.tolist() == truth["close"].tolist()[: 24 * 10]


def test_candles_of_another_market_do_not_go_on_under_the_same_name(tmp_path: Path) -> None:
    """Every such change is refused before anything is stored; put back, or under another name, it goes on."""
    now_ms = utc_ms("2024-01-11T00:30")
    frames = {"BTC/USDT": walk(START, 24 * 14, seed=1), "BTC/USDT:USDT": walk(START, 24 * 14, seed=2)}
    with BybitFake(frames, now_ms) as bybit, OkxFake({"BTC/USDT": frames["BTC/USDT"]}, now_ms) as okx:
        settings: dict[str, Any] = {"name": "mine", "symbol": "BTC/USDT"}
        before = home(tmp_path, bybit, "bybit", **settings)
        assert load(before, now_ms).status == "ok"
        stored_before = stored(before)
        bybit.now_ms = okx.now_ms = now_ms + 24 * HOUR_MS
        for changed in (
            home(tmp_path, bybit, "bybit", market_type="linear", **settings),
            home(tmp_path, okx, "okx", **settings),
        ):
            report = load(changed, now_ms + 24 * HOUR_MS)
            assert report.status == "failed"
            assert "are spot candles of bybit, but the settings name" in report.message
            assert stored(before) == stored_before
        apart = home(tmp_path, bybit, "bybit", market_type="linear", symbol="BTC/USDT", name="perpetuals")
        assert load(apart, now_ms + 24 * HOUR_MS).status == "ok"
        assert load(before, now_ms + 24 * HOUR_MS).inserted == 24


def test_a_lone_candle_behind_a_leap_of_the_clock_waits_for_the_next_load_and_that_is_said(tmp_path: Path) -> None:
    now_ms = utc_ms("2024-01-02T00:30")
    with BinanceFake({"BTC/USDT": walk(START, 1)[:0]}, now_ms) as fake:
        workspace = home(tmp_path, fake, "binance", "BTC/USDT")
        assert load(workspace, now_ms).status == "failed"
        fake.put("BTC/USDT", walk(START, 1))
        fake.now_ms = later = now_ms + 5 * DAY_MS
        report = load(workspace, later)
        assert (report.status, stored(workspace)) == ("partial", [])
        assert "opens at 2024-01-01T00:00:00+00:00 and may still be open" in report.message
        load(workspace, later)
        assert stored(workspace) == [utc_ms(START)]
