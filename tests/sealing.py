"""Sealers with fixed keys and clocks, and records of a home, for tests of signed chains."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.workspace.workspace import Workspace
from ml.forecasting.trust import AcceptedHead, Sealer, Trust
from ml.signatures import SigningKey

SINCE = "2026-01-01T00:00:00+00:00"
WALL_TIME = datetime(2026, 1, 1, tzinfo=UTC)
START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def key_of(number: int) -> SigningKey:
    """The n-th test key."""
    return SigningKey(base64.b64encode(bytes([number]) * 32).decode())


def sealer_of(number: int = 1, replayed: bool = False, **accepted: AcceptedHead) -> Sealer:
    """Seals with the n-th test key, after the accepted heads by chain."""
    key = key_of(number)
    return Sealer(key, Trust(key.public, SINCE, accepted), replayed, lambda: WALL_TIME)


def times_of(hour: int) -> dict[str, str]:
    """The times of a forecast of an hour, as an hourly run seals them."""
    opens = START + hour * HOUR
    times = {
        "information_time": opens, "target_open_time": opens, "deadline": opens + HOUR / 10,
        "issued_at": opens + timedelta(seconds=40), "target_close_time": opens + HOUR,
    }  # fmt: skip
    return {name: time.isoformat() for name, time in times.items()}


def scored_at(hour: int) -> str:
    """When that forecast is scored."""
    return (START + (hour + 1) * HOUR + timedelta(seconds=30)).isoformat()


def seal_hour(workspace: Workspace, hour: int) -> None:
    """A forecast and its score, as an hourly run seals them."""
    series = {"exchange": "e", "symbol": "A/USDT", "timeframe": "1h"}
    body: Any = {**series, **times_of(hour), "late": False, "high": hour + 0.5}
    sealed = workspace.chain("forecasts").append(body)
    score: Any = {**series, "forecast_hash": sealed["hash"], "scored_at": scored_at(hour), "revision": 0}
    workspace.chain("scores").append(score)
