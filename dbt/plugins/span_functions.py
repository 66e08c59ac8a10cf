"""Means over spans of time that tolerate gaps, and the season of the hour and the weekend.

A span of n rows is the last n candles of the time grid, whether they are there or not: a mean is taken over those that
are, and is NaN where too few of them are. `candle_id` gives the places on the grid.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from window_functions import window_sum

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
#: Share of a span that must be known, and fewest candles of a season: a market has features from its second day on.
MINIMAL_SHARE = 1 / 24
MINIMAL_SEASON = 24
#: A factor of a season begins as this many candles of the mean (the shrinkage of Bühlmann 1967).
CANDLES_OF_THE_MEAN = 10
HOUR_MS = 3_600_000
#: 1970-01-01 was a Thursday.
DAYS_FROM_MONDAY = 3
#: Digits of candle_id that hold the open time in milliseconds.
_TIME_DIGITS = 10_000_000_000_000


class Season(NamedTuple):
    """Mean of a group of candles over the mean of all: of this candle's hour, of the next one's, of its weekend."""

    hour: Floats
    next_hour: Floats
    next_weekend: Floats


def span_mean(values: Floats, candle_id: Floats, timeframe_ms: int, rows: int) -> Floats:
    """Mean of the values (n,) in the last `rows` places of the grid, NaN where less than a 24th of them is known.

    Source of the means as features: Corsi, A Simple Approximate Long-Memory Model of Realized Volatility (2009).
    """
    places = _places(candle_id, timeframe_ms)
    total, count = _span_sums(*_on_grid(values, places), rows)
    return _mean(total, count, math.ceil(rows * MINIMAL_SHARE))[places]


def season(values: Floats, candle_id: Floats, timeframe_ms: int, rows: int) -> Season:
    """Causal multiplicative season of positive values (n,), learnt from the last `rows` places of the grid.

    Hours are of the day, a weekend is Saturday and Sunday, both in UTC and by the time when a candle opens. NaN where
    fewer than `MINIMAL_SEASON` candles are known.
    """
    places = _places(candle_id, timeframe_ms)
    grid, known = _on_grid(values, places)
    opens_ms = int(candle_id[0]) % _TIME_DIGITS + np.arange(len(grid) + 1) * timeframe_ms
    hours = opens_ms // HOUR_MS % 24
    weekends = (opens_ms // (24 * HOUR_MS) + DAYS_FROM_MONDAY) % 7 >= 5
    overall = _mean(*_span_sums(grid, known, rows), MINIMAL_SEASON)
    hour, next_hour = _factors(grid, known, hours, overall, rows)
    _, next_weekend = _factors(grid, known, weekends, overall, rows)
    return Season(hour[places], next_hour[places], next_weekend[places])


def _places(candle_id: Floats, timeframe_ms: int) -> Places:
    """Places (n,) of candles on the time grid, from 0."""
    places: Places = ((candle_id - candle_id[0]) // timeframe_ms).astype(np.int64)
    return places


def _on_grid(values: Floats, places: Places) -> tuple[Floats, Floats]:
    """Values on the grid (m,), 0 where unknown, and 1 or 0 where they are known or not."""
    grid, known = np.zeros(places[-1] + 1), np.zeros(places[-1] + 1)
    finite = np.isfinite(values)
    grid[places] = np.where(finite, values, 0.0)
    known[places] = finite
    return grid, known


def _span_sums(grid: Floats, known: Floats, rows: int) -> tuple[Floats, Floats]:
    """Sum and number of the known values in the last `rows` places (m,); a span may begin before the grid."""
    before = np.zeros(rows - 1)
    total, count = (window_sum(np.concatenate([before, part]), rows)[rows - 1 :] for part in (grid, known))
    return total, count


def _mean(total: Floats, count: Floats, least: int) -> Floats:
    enough = count >= least
    return np.where(enough, total / np.where(enough, count, 1.0), np.nan)


def _factors(
    grid: Floats, known: Floats, groups: npt.NDArray[np.generic], overall: Floats, rows: int
) -> tuple[Floats, Floats]:
    """Factors (m,) of the group of each place, and of the place after it; `groups` (m + 1,) has both."""
    own, following = np.empty(len(grid)), np.empty(len(grid))
    for group in np.unique(groups):
        mask = groups[:-1] == group
        total, count = _span_sums(grid * mask, known * mask, rows)
        factor = (total + CANDLES_OF_THE_MEAN * overall) / (count + CANDLES_OF_THE_MEAN) / overall
        own[mask] = factor[mask]
        after = groups[1:] == group
        following[after] = factor[after]
    return own, following
