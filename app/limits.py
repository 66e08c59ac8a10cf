"""One rule for few data: below `ENOUGH_LIVE` scored forecasts a live figure is luck, and none is shown."""

from __future__ import annotations

from typing import Any

from app import formats
from ml.forecasting.scoring import ENOUGH_LIVE

__all__ = ["ENOUGH_LIVE", "few", "unless_few"]


def few(scored: Any) -> str:
    """Why no live figure is shown; empty where there are enough.

    >>> few(2), few(20), few(None)
    ('2 of 20 scored, too few', '', '0 of 20 scored, too few')
    """
    number = 0 if formats.is_missing(scored) else int(scored)
    return "" if number >= ENOUGH_LIVE else f"{number} of {ENOUGH_LIVE} scored, too few"


def unless_few(scored: Any, text: str) -> str:
    """A live figure; a dash where it rests on too few forecasts."""
    return formats.DASH if few(scored) else text
