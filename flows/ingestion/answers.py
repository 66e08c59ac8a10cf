"""Candle rows of an exchange's answer, checked for being candle rows at all.

Whether the candles are good is for the quality gate to decide; here an answer is refused that cannot be candles of the
requested time: not a list, rows that are too short, timestamps in another unit.
"""

from __future__ import annotations

import math
from typing import Any

from ml.errors import ExchangeError
from ml.timeframes import DAY_MS, utc_text

FIRST_PLAUSIBLE_MS = 1_230_940_800_000
"""2009-01-03, the first block of Bitcoin: no exchange has older candles."""

_UNITS = (("seconds", 1000.0), ("microseconds", 1e-3), ("nanoseconds", 1e-6))


def candle_rows(page: Any, now_ms: int) -> list[list[float]]:
    """Rows [open time ms, open, high, low, close, volume], ascending; a value that is not a number becomes NaN.

    Args:
        page: the answer, as ccxt parsed it.
        now_ms: the exchange's time; timestamps more than two days later are in another unit.

    Raises:
        ExchangeError: the answer is not a list of candles, or its timestamps are not in milliseconds.
    """
    if not isinstance(page, list):
        raise ExchangeError(f"the answer is not a list of candles: {page!r:.60}")
    rows = []
    for row in page:
        if not isinstance(row, list | tuple) or len(row) < 6:
            raise ExchangeError(f"an entry of the answer is not a candle: {row!r:.60}")
        rows.append([_stamp(row[0], now_ms), *(_number(value) for value in row[1:6])])
    return sorted(rows, key=lambda row: row[0])


def _stamp(value: Any, now_ms: int) -> int:
    number = _number(value)
    if math.isfinite(number):
        if FIRST_PLAUSIBLE_MS <= number <= now_ms + 2 * DAY_MS:
            return int(number)
        for unit, factor in _UNITS:
            if FIRST_PLAUSIBLE_MS <= number * factor <= now_ms + 2 * DAY_MS:
                raise ExchangeError(f"the timestamps are {unit}, not milliseconds: {value!r:.40}")
    raise ExchangeError(f"a timestamp is not a time in milliseconds up to {utc_text(now_ms)}: {value!r:.40}")


def _number(value: Any) -> float:
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
