"""The load plan: which spans are asked for again and when, and a range that somebody asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.ingestion.history import Gap, Span, due_spans, joined
from flows.ingestion.ingest import ingest_market
from ml.timeframes import DAY_MS, HOUR_MS, utc_ms
from tests.fakes import BinanceFake, BybitFake
from tests.flows.ingestion.test_history import START, home, load
from tests.flows.ingestion.walks import walk

pytestmark = pytest.mark.usefixtures("plain_gate", "warehouses_kept_open")


def test_a_range_is_read_again_and_nothing_else(tmp_path: Path) -> None:
    frame = walk(START, 24 * 30)
    now_ms = utc_ms("2024-01-31T00:30")
    with BinanceFake({"BTC/USDT": frame}, now_ms) as fake:
        load(home(tmp_path, fake, "binance", "BTC/USDT"), now_ms)
    revised = frame.assign(close=frame["close"] * 0.9999, low=frame["low"] * 0.9998)
    with BinanceFake({"BTC/USDT": revised}, now_ms) as fake:
        span = Span(utc_ms("2024-01-05"), utc_ms("2024-01-06"))
        report = ingest_market(home(tmp_path, fake, "binance", "BTC/USDT"), "BTC/USDT", now_ms, span=span)
    assert (report.received, report.revised, report.inserted, report.status) == (24, 24, 0, "ok")


def test_a_range_that_does_not_come_is_told(tmp_path: Path) -> None:
    frame = walk(START, 24 * 30)
    now_ms = utc_ms("2024-01-31T00:30")
    with BybitFake({"BTC/USDT": frame}, now_ms) as fake:
        workspace = home(tmp_path, fake, "bybit", "BTC/USDT")
        ingest_market(workspace, "BTC/USDT", now_ms, span=Span(utc_ms("2024-01-10"), utc_ms("2024-01-11")))
        fake.put("BTC/USDT", frame[:0])
        span = Span(utc_ms("2024-01-09T12:00"), utc_ms("2024-01-11T06:00"))
        report = ingest_market(workspace, "BTC/USDT", now_ms, span=span)
    assert report.status == "partial"
    assert "18 candles from 2024-01-09T12:00:00+00:00 to 2024-01-11T06:00:00+00:00 did not come" in report.message


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
