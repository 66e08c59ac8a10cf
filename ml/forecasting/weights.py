"""Weights of the contenders of a series over live rounds: recent accuracy, in which volatile candles count more.

A round is one scored forecast: its contenders are all baselines and, if one served, the champion. After a round

    w <- w + (2 / 49) ((w + s g) / (1 + g) - w)

with s the contender's score in the round (`round_scores`) and g the round's volatility weight: an exponential moving
average of s over 48 rounds whose step is scaled by g / (1 + g), so that calm rounds move the weights less.

Source: the weights of Taoshi's time-series subnet, in relative units instead of USD.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ml.data.targets import Floats

#: 2 / (span + 1) of a moving average over 48 rounds.
ALPHA = 2 / 49
#: Initial weight of the first contenders of a series: the middle of the range of round scores.
FIRST_WEIGHT = 0.5


def round_scores(errors: Mapping[str, float]) -> dict[str, float]:
    """Errors of a round's contenders as scores: 1 for the smallest, 0 for the largest, linear between; 1 if all equal.

    >>> round_scores({"a": 1.0, "b": 3.0, "c": 2.0})
    {'a': 1.0, 'b': 0.0, 'c': 0.5}
    """
    best, worst = min(errors.values()), max(errors.values())
    return {name: (worst - error) / (worst - best) if worst > best else 1.0 for name, error in errors.items()}


def volatility_weight(ratios: Floats, returns: Floats) -> float:
    """g of the last candle: root of (percentile of its high / low x percentile of its return's deviation).

    Args:
        ratios: (n,) high / low of the series' candles of the last year, the round's candle last.
        returns: (n,) their log returns; NaN after a gap. The deviation is the distance from their mean.

    Returns:
        0 to 1; percentiles are shares of the year's candles that are not above this one. A candle after a gap has no
        return: only its high / low is used. Invariant to the price scale.
    """
    deviations = np.abs(returns - np.nanmean(returns)) if np.isfinite(returns).any() else returns
    by_ratio = _percentile(ratios)
    by_return = _percentile(deviations[np.isfinite(deviations)]) if np.isfinite(deviations[-1]) else by_ratio
    return math.sqrt(by_ratio * by_return)


def _percentile(values: Floats) -> float:
    return float(np.mean(values <= values[-1]))


def next_weights(weights: Mapping[str, float], scores: Mapping[str, float], g: float) -> dict[str, float]:
    """The weights after a round.

    Args:
        weights: before the round, by contender.
        scores: `round_scores` of its contenders; an absent contender scores 0, a new one starts at the mean weight.
        g: the round's `volatility_weight`.
    """
    start = sum(weights.values()) / len(weights) if weights else FIRST_WEIGHT
    before = {**dict.fromkeys(scores, start), **weights}
    return {
        name: weight + ALPHA * ((weight + scores.get(name, 0.0) * g) / (1 + g) - weight)
        for name, weight in before.items()
    }
