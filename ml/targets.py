"""Targets: the next candle as three numbers without a unit, and back again.

A label is the logarithm of the next candle's high, low or close over the last close. Prices of any size and any year
become comparable, and a model that knows nothing predicts zero for the close.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LABELS = ("high", "low", "close")
HIGH, LOW, CLOSE = range(3)
#: Candles between a row and the candle that its labels describe.
HORIZON = 1


def to_prices(labels: Floats, last_close: Floats) -> Floats:
    """Labels (n, 3) as prices (n, 3) in quote units, given the last closes (n,)."""
    prices: Floats = last_close[:, None] * np.exp(labels)
    return prices


def coherent(labels: Floats) -> Floats:
    """Labels (n, 3) moved as little as needed so that they describe a candle that can exist.

    The next candle opens at the last close (label 0), so high must be >= max(0, close) and low <= min(0, close).

    >>> coherent(np.array([[-0.01, 0.02, 0.005]]))
    array([[0.005, 0.   , 0.005]])
    """
    close = labels[:, CLOSE]
    high = np.maximum(labels[:, HIGH], np.maximum(close, 0.0))
    low = np.minimum(labels[:, LOW], np.minimum(close, 0.0))
    return np.stack([high, low, close], axis=1)
