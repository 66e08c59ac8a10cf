"""Intervals of the performance: how far luck alone would have moved it, by resampled days.

Days are drawn in blocks, because volatile days cluster, and the same days for a rule and for holding. The length of the
blocks is that of the absolute differences of their daily gains.

Source: Politis and Romano, The Stationary Bootstrap (1994).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.promotion.significance import RESAMPLES, block_length, resampled_days
from ml.timeframes import YEAR_MS
from ml.trading.daily import daily_log_gains, last_of_days

#: With fewer days the length of the blocks cannot be estimated.
FEWEST_DAYS = 10
LEVEL = 0.9


class Interval(NamedTuple):
    """The ends of a percentile interval; None where it has no meaning."""

    lower: float | None
    upper: float | None


UNKNOWN = Interval(None, None)


class Intervals(NamedTuple):
    """90 % intervals; unknown if there are fewer than `FEWEST_DAYS` days.

    Attributes:
        total_return: of the rule, as a fraction.
        sharpe: annualised, of the returns per candle; unknown where a resample has none.
        difference: return of the rule minus that of holding, as a fraction.
        over_holding: logarithmic gain of the rule minus that of holding.
    """

    total_return: Interval
    sharpe: Interval
    difference: Interval
    over_holding: Interval


def performance_intervals(
    equity: Floats,
    holding: Floats,
    cash: float,
    open_time_ms: npt.NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """Intervals of an equity curve (n,) and of its difference to holding (n,), from blocks of days.

    Args:
        equity: of the rule at the closes, in quote units.
        holding: of holding with the same cash.
        cash: at the start.
        open_time_ms: (n,) of the candles.
        resamples: of the days.
        seed: of the resamples; equal arguments give equal intervals.
    """
    gains, held = (daily_log_gains(curve, cash, open_time_ms) for curve in (equity, holding))
    days = len(gains)
    if days < FEWEST_DAYS:
        return Intervals(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
    weights = days * resampled_days(days, block_length(np.abs(gains - held)), resamples, seed)
    ours, theirs = weights @ gains, weights @ held
    ends = last_of_days(open_time_ms)
    sharpe = _sharpe(equity, ends, open_time_ms, weights)
    return Intervals(
        total_return=_interval(np.expm1(ours)),
        sharpe=_interval(sharpe) if np.isfinite(sharpe).all() else UNKNOWN,
        difference=_interval(np.exp(ours) - np.exp(theirs)),
        over_holding=_interval(ours - theirs),
    )


def _interval(values: Floats) -> Interval:
    lower, upper = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(lower), float(upper))


def _sharpe(
    equity: Floats, ends: npt.NDArray[np.int64], open_time_ms: npt.NDArray[np.int64], weights: Floats
) -> Floats:
    """(B,) Sharpe ratios of the returns per candle of resampled days, as `curve_figures` has it; NaN without one."""
    if (equity <= 0).any():
        return np.full(len(weights), math.nan)
    returns = np.concatenate([[0.0], np.diff(equity) / equity[:-1]])  # the first candle has none
    starts = np.concatenate([[0], ends[:-1] + 1])
    known = np.ones(len(equity))
    known[0] = 0.0
    count, total, squares = (weights @ np.add.reduceat(values, starts) for values in (known, returns, returns**2))
    mean = total / count
    variance = (squares - count * mean**2) / (count - 1)
    per_year = YEAR_MS / float(np.median(np.diff(open_time_ms)))
    ratios = np.full(len(weights), math.nan)
    varies = variance > 0
    ratios[varies] = mean[varies] / np.sqrt(variance[varies]) * math.sqrt(per_year)
    return ratios
