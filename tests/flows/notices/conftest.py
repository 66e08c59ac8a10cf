"""Rows, events, settings and stores for the tests of notices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.notices.events import Event
from flows.notices.rows import FillRow, SignalRow
from flows.settings import NoticeSettings
from ml.store import Store
from tests.flows.hooks import Hook, running_hook

T0 = datetime(2024, 1, 1, tzinfo=UTC)
SERIES = {"exchange": "binance", "symbol": "BTC/USDT", "timeframe": "1h"}


def at(hours: float) -> datetime:
    return T0 + timedelta(hours=hours)


def signal_row(hour: int, steps: int | None, **changed: Any) -> SignalRow:
    """The signal of the candle that opens at an hour; times without a zone, as in the warehouse."""
    opens = at(hour).replace(tzinfo=None)
    row: dict[str, Any] = {
        **SERIES, "signal": "trend", "open_time": opens, "close_time": opens + timedelta(hours=1), "score": 0.05,
        "side": 0, "band": steps, "signs": "▲" * max(steps or 0, 0) + "▼" * max(-(steps or 0), 0), "price": 43210.5,
        **changed,
    }  # fmt: skip
    return row  # type: ignore[return-value]


def fill_row(hour: int, **changed: Any) -> FillRow:
    row: dict[str, Any] = {
        **SERIES, "hash": f"f{hour}", "signal": "trend", "time": at(hour).replace(tzinfo=None), "side": "buy",
        "price": 43210.5, "quantity": 0.25, "fee": 10.8, "reason": "signal", "balance": 9989.2, **changed,
    }  # fmt: skip
    return row  # type: ignore[return-value]


def fill_event(name: str, hour: int = 1, symbol: str = "BTC/USDT") -> Event:
    """An event without an order of its own: each has another topic."""
    fields = {**SERIES, "symbol": symbol, "signal": name, "price": 1.0, "side": "buy"}
    return Event("transaction", name, at(hour), fields)


def notice_settings(*targets: dict[str, Any], **changed: Any) -> NoticeSettings:
    return NoticeSettings(targets=targets, **changed)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def hook() -> Iterator[Hook]:
    with running_hook() as hook:
        yield hook
