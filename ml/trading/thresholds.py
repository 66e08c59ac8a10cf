"""Targets from a score by two thresholds."""

from __future__ import annotations

import math

import numpy as np

from ml.data.targets import Floats


def threshold_targets(score: Floats, buy: Floats | float, sell: Floats | float, *, long_only: bool = False) -> Floats:
    """Long where the score is at least `buy`, short where it is at most `sell`, as before between them.

    Args:
        score: (n,) NaN leaves the position as it is.
        buy: least score of a long position, or (n,) one per candle.
        sell: largest score of a short one, or (n,).
        long_only: flat in place of short.

    Returns:
        (n,) 1, 0, -1 or NaN.

    Raises:
        ValueError: `sell` is not below `buy`.

    >>> threshold_targets(np.array([0.3, 0.0, -0.2]), 0.2, -0.2).tolist()
    [1.0, nan, -1.0]
    """
    check_thresholds(buy, sell)
    short = 0.0 if long_only else -1.0
    targets: Floats = np.where(score >= buy, 1.0, np.where(score <= sell, short, math.nan))
    return targets


def check_thresholds(buy: Floats | float, sell: Floats | float) -> None:
    """Refuse a pair at which a score could be for both sides.

    Raises:
        ValueError: `sell` is not below `buy`.
    """
    if not np.all(sell < buy):
        raise ValueError(f"the threshold to sell, {sell}, is not below the one to buy, {buy}")
