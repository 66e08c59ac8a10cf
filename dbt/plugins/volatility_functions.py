"""The variance of single candles, and prices as whole numbers for exact comparisons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Sums of some hundred whole numbers with this number of digits are exact in a double; no exchange quotes more.
_DIGITS = 13


def whole_prices(prices: Floats, highs: Floats) -> Floats:
    """Prices as whole numbers, times the power of ten that gives the largest of `highs` (n,) 13 digits.

    Decimal prices are not exact in a double, so which of two equal sums or ranges is larger is left to rounding; of
    whole numbers it is not. Give all prices of a series the same `highs`; the power itself then makes no difference.
    """
    return np.rint(prices * 10.0 ** (_DIGITS - np.ceil(np.log10(highs.max()))))


def rogers_satchell_variance(open: Floats, high: Floats, low: Floats, close: Floats) -> Floats:
    """Variance of the log price within each candle, free of drift (Rogers and Satchell 1991)."""
    return np.log(high / close) * np.log(high / open) + np.log(low / close) * np.log(low / open)
