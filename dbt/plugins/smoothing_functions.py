"""Means of the last n values with other weights than equal ones, and the place of a value among the last n.

Each result is a sum over its own window (no running sums), so values that have left the window have no effect.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import talib

Floats = npt.NDArray[np.float64]


def window_linear(values: Floats, rows: int) -> Floats:
    """Weighted moving average (WMA): weights 1..rows, the newest value the heaviest; NaN until there are `rows`."""
    return _weighted_mean(values, np.arange(1.0, rows + 1))


def window_triangular(values: Floats, rows: int) -> Floats:
    """Triangular moving average (TRIMA): weights rise to the middle and fall again; NaN until there are `rows`."""
    place = np.arange(1.0, rows + 1)
    return _weighted_mean(values, np.minimum(place, rows + 1 - place))


def window_hann(values: Floats, rows: int) -> Floats:
    """Hann-weighted mean (Ehlers, "Windowing", TASC 9/2021): 1 - cos(2 pi k / (rows + 1)), k = 1..rows; NaN before."""
    return _weighted_mean(values, 1 - np.cos(2 * np.pi * np.arange(1, rows + 1) / (rows + 1)))


def window_position(values: Floats, rows: int) -> Floats:
    """Place of a value from the smallest (0) to the largest (1) of the last `rows`; 0.5 where they differ by rounding.

    Rounding: less than 1e-9 of the larger of the two. NaN until there are `rows` values.
    """
    low, high = talib.MIN(values, rows), talib.MAX(values, rows)
    span = high - low
    flat = span <= 1e-9 * np.maximum(np.abs(low), np.abs(high))
    return np.where(flat, 0.5, (values - low) / np.where(flat, 1.0, span))


def _weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Mean of the last len(weights) values; the last weight belongs to the newest one."""
    before = len(weights) - 1
    result = np.full(len(values), np.nan)
    if len(values) > before:
        result[before:] = np.correlate(values, weights) / weights.sum()
    return result
