"""Arithmetic on whole series, for inputs of windows and recursions: `ta_ema(vec_multiply(close, volume), 20)`.

Arithmetic on their outputs is better written in SQL, after unnest: it is as fast and easier to read.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Floats = npt.NDArray[np.float64]


def vec_add(a: Floats, b: Floats) -> Floats:
    """a + b."""
    return a + b


def vec_subtract(a: Floats, b: Floats) -> Floats:
    """a - b."""
    return a - b


def vec_multiply(a: Floats, b: Floats) -> Floats:
    """a * b."""
    return a * b


def vec_divide(a: Floats, b: Floats) -> Floats:
    """a / b, 0 where b is 0."""
    zero = b == 0
    return np.where(zero, 0.0, a / np.where(zero, 1.0, b))


def vec_scale(a: Floats, factor: float) -> Floats:
    """factor * a."""
    return a * factor


def vec_max(a: Floats, b: Floats) -> Floats:
    """The larger of two."""
    return np.maximum(a, b)


def vec_min(a: Floats, b: Floats) -> Floats:
    """The smaller of two."""
    return np.minimum(a, b)


def vec_log(a: Floats) -> Floats:
    """Natural logarithm; of 0 and below NaN."""
    return np.log(np.where(a > 0, a, np.nan))


def vec_abs(a: Floats) -> Floats:
    """Absolute value."""
    return np.abs(a)


def vec_sign(a: Floats) -> Floats:
    """-1, 0 or 1."""
    return np.sign(a)


def vec_positive(a: Floats) -> Floats:
    """a where it is above 0, else 0."""
    return np.where(np.isnan(a), np.nan, np.maximum(a, 0.0))


def vec_lag(a: Floats, rows: int) -> Floats:
    """The value `rows` candles ago; NaN at the start."""
    return np.concatenate([np.full(min(rows, len(a)), np.nan), a[:-rows]]) if rows else a


def vec_difference(a: Floats, rows: int) -> Floats:
    """a - a `rows` candles ago; NaN at the start."""
    return a - vec_lag(a, rows)


def vec_log_return(a: Floats, rows: int) -> Floats:
    """ln(a / a `rows` candles ago); NaN at the start."""
    return np.log(a / vec_lag(a, rows))


def ewm_mean(a: Floats, alpha: float) -> Floats:
    """Exponential mean y += alpha (a - y) that begins with the first value; NaN before it.

    The first value's weight is 1e-9 after ln(1e-9) / ln(1 - alpha) rows: alpha = 1 / n (Wilder) 21 n, 2 / (n + 1) 11 n.
    """
    known = np.flatnonzero(~np.isnan(a))
    result = np.full(len(a), np.nan)
    if len(known):
        first = known[0]
        result[first:], _ = lfilter([alpha], [1.0, alpha - 1.0], a[first:], zi=[(1.0 - alpha) * a[first]])
    return result
