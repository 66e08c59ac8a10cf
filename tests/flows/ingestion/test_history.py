"""What a load asks for and what it says: exchanges that answer windows, late listings, halts, gaps, nothing usable."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.home.installation import Installation
from flows.ingestion.history import Gap, Span, due_spans, joined
from flows.ingestion.ingest import LoadReport, ingest_market
from ml.config import load_settings
from ml.timeframes import DAY_MS, HOUR_MS, utc_ms
from tests.fakes import BinanceFake, BinanceUsdmFake, BitstampFake, BybitFake, CoinbaseFake, Fake, KrakenFake, OkxFake

START = "2024-01-01"


def candles(start: str, n: int, seed: int = 1) -> pd.DataFrame:
    """A seeded random walk of hours."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, n)))
    opens = np.concatenate(([100.0], close[:-1]))
    return pd.DataFrame(
        {
            "open_time": pd.to_datetime(utc_ms(start) + np.arange(n) * HOUR_MS, unit="ms", utc=True),
            "open": opens,
            "high": np.maximum(opens, close) * 1.001,
            "low": np.minimum(opens, close) * 0.999,
            "close": close,
            "volume": rng.lognormal(3, 0.5, n),
        }
    )


def home(
    folder: Path, fake: Fake, exchange: str, symbol: str = "BTC/USD", start: str = START, **changes: Any
) -> Installation:
    settings = {
        "exchange": {"id": exchange, "base_url": fake.url, "retries": 1, "timeout_seconds": 5.0, **changes},
        "markets": {"symbols": [symbol], "timeframes": ["1h"], "history_start": start},
    }
    return Installation(folder, load_settings(None, settings))


def load(installation: Installation, now_ms: int, span: Span | None = None) -> LoadReport:
    return ingest_market(installation, installation.settings.markets.symbols[0], now_ms, span=span)


def stored(installation: Installation) -> list[int]:
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
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
    frame = candles("2024-02-20", 24 * 60)
    halt = (frame["open_time"] >= "2024-03-10") & (frame["open_time"] < "2024-03-24")
    frame = frame[~halt].reset_index(drop=True)
    now_ms = utc_ms("2024-04-15T00:30")
    with fake_type({symbol: frame}, now_ms) as fake:
        installation = home(tmp_path, fake, exchange, symbol)
        report = load(installation, now_ms)
        expected = [one for one in opens(frame) if one + HOUR_MS <= now_ms]
        assert stored(installation) == expected
        assert report.status == "ok", report.message
        assert "history starts at 2024-02-20" in report.message
        assert len(fake.requests) < 40


def test_a_market_listed_years_later_costs_a_dozen_requests(tmp_path: Path) -> None:
    now_ms = utc_ms("2024-04-15T00:30")
    with CoinbaseFake({"BTC/USD": candles("2024-04-01", 24 * 14)}, now_ms) as fake:
        installation = home(tmp_path, fake, "coinbase", start="2016-01-01")
        load(installation, now_ms)
        assert len(stored(installation)) == 24 * 14
        assert sum("candles" in path for path in fake.requests) <= 24


def test_an_exchange_that_keeps_the_newest_720_says_that_history_starts_late(tmp_path: Path) -> None:
    now_ms = utc_ms("2024-04-15T00:30")
    with KrakenFake({"BTC/USD": candles(START, 24 * 110)}, now_ms) as fake:
        report = load(home(tmp_path, fake, "kraken"), now_ms)
    assert report.status == "partial"
    assert "history starts at 2024-03-1" in report.message


def test_a_late_backfill_is_found_weeks_later_and_an_earlier_start_is_loaded(tmp_path: Path) -> None:
    whole = candles(START, 24 * 100)
    holes = whole.drop(index=range(24 * 40, 24 * 42)).reset_index(drop=True)
    now_ms = utc_ms("2024-03-01T00:30")
    with BinanceFake({"BTC/USDT": holes}, now_ms) as fake:
        installation = home(tmp_path, fake, "binance", "BTC/USDT", "2024-01-20")
        assert load(installation, now_ms).missing == 48
    later = utc_ms("2024-03-22T00:30")
    with BinanceFake({"BTC/USDT": whole}, later) as fake:
        report = load(home(tmp_path, fake, "binance", "BTC/USDT"), later)
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        assert connection.execute("select open_time, rule, detail from raw.quarantine").fetchall() == []
    assert report.status == "ok", report.message
    assert stored(installation) == [one for one in opens(whole) if one + HOUR_MS <= later]


def test_a_range_is_read_again_and_nothing_else(tmp_path: Path) -> None:
    frame = candles(START, 24 * 30)
    now_ms = utc_ms("2024-01-31T00:30")
    with BinanceFake({"BTC/USDT": frame}, now_ms) as fake:
        load(home(tmp_path, fake, "binance", "BTC/USDT"), now_ms)
    revised = frame.assign(close=frame["close"] * 0.9999, low=frame["low"] * 0.9998)
    with BinanceFake({"BTC/USDT": revised}, now_ms) as fake:
        span = Span(utc_ms("2024-01-05"), utc_ms("2024-01-06"))
        report = load(home(tmp_path, fake, "binance", "BTC/USDT"), now_ms, span)
    assert (report.received, report.revised, report.inserted, report.status) == (24, 24, 0, "ok")


def test_gaps_are_asked_for_again_more_and_more_rarely() -> None:
    span = Span(0, HOUR_MS)
    young = Gap(span, 1, 2 * HOUR_MS)
    assert not young.is_due(2 * HOUR_MS + HOUR_MS - 1)
    assert young.is_due(3 * HOUR_MS)
    old = Gap(span, 9, 1000 * DAY_MS)
    assert not old.is_due(1006 * DAY_MS)
    assert old.is_due(1007 * DAY_MS)
    assert due_spans([Gap(span), old, Gap(Span(2 * HOUR_MS, 3 * HOUR_MS))], 1001 * DAY_MS, 5 * HOUR_MS) == [
        Span(0, 3 * HOUR_MS)
    ]
    assert joined([Span(5, 9), Span(0, 2), Span(2, 4)]) == [Span(0, 4), Span(5, 9)]


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
        {"BTC/USDT": candles(START, 24)}, now_ms, hook=lambda path, _: (200, {}, body) if "klines" in path else None
    ) as fake:
        report = load(home(tmp_path, fake, "binance", "BTC/USDT"), now_ms)
    assert report.status == "failed"
    assert words in report.message
    assert "\n" not in report.message


def test_candles_that_are_due_and_do_not_come_are_told(tmp_path: Path) -> None:
    now_ms = utc_ms("2024-01-11T00:30")
    with BinanceFake({"BTC/USDT": candles(START, 24 * 10)}, now_ms) as fake:
        installation = home(tmp_path, fake, "binance", "BTC/USDT")
        assert load(installation, now_ms).status == "ok"
        fake.now_ms = now_ms + 3 * HOUR_MS
        report = load(installation, now_ms + 3 * HOUR_MS)
    assert report.status == "partial"
    assert "3 candles are due since 2024-01-11T00:00:00" in report.message


def test_a_clock_before_the_last_load_stops_the_load(tmp_path: Path) -> None:
    now_ms = utc_ms("2024-01-11T00:30")
    with BinanceFake({"BTC/USDT": candles(START, 24 * 12)}, now_ms) as fake:
        installation = home(tmp_path, fake, "binance", "BTC/USDT")
        load(installation, now_ms)
        report = load(installation, now_ms - 20 * HOUR_MS)
    assert report.status == "failed"
    assert "last load was at" in report.message


@pytest.mark.parametrize("text", ["2024-01-01T00:00:00", "2024-01-01", "2024-01-01T02:00:00+02:00"])
def test_times_without_a_zone_are_utc_whatever_the_machine_says(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    settings = load_settings(None, {"markets": {"history_start": text}})
    assert settings.markets.history_start == datetime.fromisoformat("2024-01-01T00:00:00+00:00")
