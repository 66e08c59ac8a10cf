"""Targets: the next candle as three numbers without a unit, and back again.

A label is the logarithm of the next candle's high, low or close over the last close. Prices of any size and any year
become comparable, and a model that knows nothing predicts zero for the close.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LABELS = ("high", "low", "close")
HIGH, LOW, CLOSE = range(3)
NEXT_CANDLE = "next_candle"


@dataclass(frozen=True)
class Target:
    """What a test case is to predict: high, low and close of one future candle.

    Attributes:
        columns: their columns in `fct_labels`, as log of the price over the row's close.
        horizon: candles from the row to the candle that the labels describe; splits keep so much distance.
    """

    columns: tuple[str, str, str]
    horizon: int


#: What can be predicted. A new target is a line here and its columns in dbt. Only `next_candle` is promoted and served.
TARGETS: dict[str, Target] = {
    NEXT_CANDLE: Target(("label_high", "label_low", "label_close"), horizon=1),
}


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
