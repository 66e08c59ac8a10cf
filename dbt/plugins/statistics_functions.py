"""Statistics of the last n values that need the window itself: trends, places of extremes, strikes.

They start with n - 1 NaN. Each window is computed from its own values, position by position over many windows at once,
so nothing drifts and cost grows with n.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from moving_windows import over_windows

Floats = npt.NDArray[np.float64]
#: A deviation below this share of the value is rounding.
ROUNDING = 1e-10


class Line(NamedTuple):
    """A line fitted to a window: slope per candle, and the share of the variance that it explains."""

    slope: Floats
    r2: Floats


class Moments(NamedTuple):
    """Skewness m3 / m2^1.5 and excess kurtosis m4 / m2^2 - 3 of a population."""

    skew: Floats
    kurtosis: Floats


class Strikes(NamedTuple):
    """Longest runs of values below and above the mean of a window."""

    below: Floats
    above: Floats


def window_moments(values: Floats, rows: int) -> Moments:
    """Shape of the last `rows` values, as scipy.stats.skew and kurtosis; both 0 when all are equal."""

    def shape(window: Floats) -> Floats:
        moved = window - window.mean(axis=0)
        squared = moved * moved
        variance = squared.mean(axis=0)
        still = window.max(axis=0) == window.min(axis=0)
        third, fourth = (squared * moved).mean(axis=0), (squared * squared).mean(axis=0)
        scale = np.where(still, 1.0, variance)
        return np.stack([np.where(still, 0.0, third / scale**1.5), np.where(still, 0.0, fourth / scale**2 - 3)])

    return Moments(*over_windows(values, rows, shape, 2))


def window_rank(values: Floats, rows: int) -> Floats:
    """Share of the other values in the last `rows` that are below the last one (n,); a tie counts half."""

    def rank(window: Floats) -> Floats:
        older, last = window[:-1], window[-1]
        below = (np.count_nonzero(older < last, axis=0) + 0.5 * np.count_nonzero(older == last, axis=0)) / (rows - 1)
        return np.where(np.isnan(window.sum(axis=0)), np.nan, below)

    return over_windows(values, rows, rank)[0]


def window_line(values: Floats, rows: int) -> Line:
    """Least squares of the last `rows` values over time (0, 1, 2 ...); r2 is 0 where no value differs."""
    time = (np.arange(rows) - (rows - 1) / 2)[:, np.newaxis]
    spread = float((time**2).sum())

    def fit(window: Floats) -> Floats:
        moved = window - window[0]
        slope = (time * moved).sum(axis=0) / spread
        variance = ((moved - moved.mean(axis=0)) ** 2).sum(axis=0)
        return np.stack([slope, _share(slope**2 * spread, variance, 0.0)])

    slope, r2 = over_windows(values, rows, fit, 2)
    return Line(slope, np.minimum(r2, 1.0))


def window_area(values: Floats, rows: int) -> Floats:
    """Of the absolute deviations from the first of the last `rows` values, the share above it; 0.5 when flat."""

    def area(window: Floats) -> Floats:
        moved = window - window[0]
        total = np.abs(moved).sum(axis=0)
        return _share((total + moved.sum(axis=0)) / 2, total, 0.5)

    return over_windows(values, rows, area)[0]


def window_first_maximum(values: Floats, rows: int) -> Floats:
    """Place (0, 1 ...) of the first maximum of the last `rows` values / `rows`: tsfresh first_location_of_maximum."""

    def place(window: Floats) -> Floats:
        best, found = window[0], np.zeros(window.shape[1])
        for position, value in enumerate(window):
            found[value > best] = position
            best = np.maximum(best, value)
        return found / rows

    return over_windows(values, rows, place)[0]


def window_strikes(values: Floats, rows: int) -> Strikes:
    """Longest runs below and above the mean of the last `rows` values over `rows`: tsfresh longest_strike_*_mean.

    A value within 1e-10 of the mean is neither, else rounding would decide.
    """

    def longest(is_in: npt.NDArray[np.bool_]) -> Floats:
        run = most = np.zeros(is_in.shape[1], np.int16)
        for now in is_in.astype(np.int16):
            run = (run + 1) * now
            most = np.maximum(most, run)
        return most / rows

    def strikes(window: Floats) -> Floats:
        moved = window - window[0]
        deviation, noise = moved - moved.mean(axis=0), ROUNDING * np.abs(window[0])
        return np.stack([longest(deviation < -noise), longest(deviation > noise)])

    return Strikes(*over_windows(values, rows, strikes, 2))


def window_autocorrelation(values: Floats, rows: int) -> Floats:
    """Autocorrelation at lag 1 of the last `rows` values: tsfresh autocorrelation; 0 where no value differs.

    sum (x_t - m)(x_t+1 - m) / ((rows - 1) variance), m and variance (population) of the whole window.
    """

    def correlate(window: Floats) -> Floats:
        deviation = window - window.mean(axis=0)
        products = (deviation[1:] * deviation[:-1]).sum(axis=0)
        same = (window == window[0]).all(axis=0)
        return np.where(same, 0.0, _share(products / (rows - 1), (deviation**2).mean(axis=0), 0.0))

    return over_windows(values, rows, correlate)[0]


def _share(part: Floats, whole: Floats, neutral: float) -> Floats:
    """part / whole, `neutral` where the whole is 0."""
    zero = whole == 0
    return np.where(zero, neutral, part / np.where(zero, 1.0, whole))
