"""The machine's clock, in one place, so that a test can set it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The machine's time, UTC."""
    return datetime.now(UTC)
