"""Statistics of the last n values that need the window itself: trends, places of extremes, strikes.

They start with n - 1 NaN. Each window is computed from its own values, position by position over many windows at once,
so nothing drifts and cost grows with n.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: Windows at once: their values stay in the processor's cache.
MANY = 4096
#: A deviation below this share of the value is rounding.
ROUNDING = 1e-10


class Line(NamedTuple):
    """A line fitted to a window: slope a candle, and the share of the variance that it explains."""

    slope: Floats
    r2: Floats


class Strikes(NamedTuple):
    """Longest runs of values below and above the mean of a window."""

    below: Floats
    above: Floats


def _over_windows(values: Floats, rows: int, compute: Callable[[Floats], Floats], outputs: int = 1) -> list[Floats]:
    """Series (n,) of what `compute` says, (m,) or (outputs, m), of windows (rows, m): a column each, oldest first."""
    result = np.full((outputs, len(values)), np.nan)
    for first in range(0, len(values) - rows + 1, MANY):
        part = values[first : first + MANY + rows - 1]
        result[:, first + rows - 1 : first + len(part)] = compute(
            np.lib.stride_tricks.sliding_window_view(part, rows).T
        )
    return list(result)


def window_line(values: Floats, rows: int) -> Line:
    """Least squares of the last `rows` values over time (0, 1, 2 ...); r2 is 0 where no value differs."""
    time = (np.arange(rows) - (rows - 1) / 2)[:, np.newaxis]
    spread = float((time**2).sum())

    def fit(window: Floats) -> Floats:
        moved = window - window[0]
        slope = (time * moved).sum(axis=0) / spread
        variance = ((moved - moved.mean(axis=0)) ** 2).sum(axis=0)
        return np.stack([slope, _share(slope**2 * spread, variance, 0.0)])

    slope, r2 = _over_windows(values, rows, fit, 2)
    return Line(slope, np.minimum(r2, 1.0))


def window_area(values: Floats, rows: int) -> Floats:
    """Of the absolute deviations from the first of the last `rows` values, the share above it; 0.5 when flat."""

    def area(window: Floats) -> Floats:
        moved = window - window[0]
        total = np.abs(moved).sum(axis=0)
        return _share((total + moved.sum(axis=0)) / 2, total, 0.5)

    return _over_windows(values, rows, area)[0]


def window_first_maximum(values: Floats, rows: int) -> Floats:
    """Place (0, 1 ...) of the first maximum of the last `rows` values / `rows`: tsfresh first_location_of_maximum."""

    def place(window: Floats) -> Floats:
        best, found = window[0], np.zeros(window.shape[1])
        for position, value in enumerate(window):
            found[value > best] = position
            best = np.maximum(best, value)
        return found / rows

    return _over_windows(values, rows, place)[0]


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

    return Strikes(*_over_windows(values, rows, strikes, 2))


def window_autocorrelation(values: Floats, rows: int) -> Floats:
    """Autocorrelation at lag 1 of the last `rows` values: tsfresh autocorrelation; 0 where no value differs.

    sum (x_t - m)(x_t+1 - m) / ((rows - 1) variance), m and variance (population) of the whole window.
    """

    def correlate(window: Floats) -> Floats:
        deviation = window - window.mean(axis=0)
        products = (deviation[1:] * deviation[:-1]).sum(axis=0)
        same = (window == window[0]).all(axis=0)
        return np.where(same, 0.0, _share(products / (rows - 1), (deviation**2).mean(axis=0), 0.0))

    return _over_windows(values, rows, correlate)[0]


def _share(part: Floats, whole: Floats, neutral: float) -> Floats:
    """part / whole, `neutral` where the whole is 0."""
    zero = whole == 0
    return np.where(zero, neutral, part / np.where(zero, 1.0, whole))
