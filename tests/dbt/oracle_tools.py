"""What the oracles share: windows of the last n values, plainly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: open, high, low, close, volume as floats (n,), open_time as datetime64 (n,).
Candles = dict[str, npt.NDArray[np.generic]]


def past(values: Floats, rows: int) -> Floats:
    """Windows of the last `rows` values (n, rows), the latest last; NaN before the start."""
    padded = np.concatenate([np.full(rows - 1, np.nan), values])
    return np.lib.stride_tricks.sliding_window_view(padded, rows)


def mean(values: Floats, rows: int) -> Floats:
    """Mean of the last `rows` values."""
    return past(values, rows).mean(axis=1)


def std(values: Floats, rows: int, ddof: int = 0) -> Floats:
    """Standard deviation of the last `rows` values."""
    return past(values, rows).std(axis=1, ddof=ddof)


def before(values: Floats, rows: int = 1) -> Floats:
    """The value `rows` candles ago."""
    return np.concatenate([np.full(min(rows, len(values)), np.nan), values[: max(0, len(values) - rows)]])


def recursive_mean(values: Floats, alpha: float) -> Floats:
    """y += alpha (x - y), begun with the first value that is known, step by step."""
    result = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        last = result[row - 1] if row else np.nan
        result[row] = value if np.isnan(last) else last + alpha * (value - last)
    return result
