"""Significance: is a difference between two forecasters more than the luck of the days it was measured on?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np


def newey_west_t(differences: Sequence[float]) -> float:
    """Mean of a series with autocorrelation over its standard error.

    The variance of the mean is estimated with Bartlett weights up to lag floor(4 (n / 100)^(2/9)).

    Args:
        differences: losses of the old minus losses of the new forecaster, equally spaced in time.

    Returns:
        The t statistic; NaN for fewer than 3 values, or where one is not finite; infinite where nothing varies.

    Source: Diebold and Mariano, Comparing Predictive Accuracy (1995); Newey and West (1987, 1994).
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n < 3 or not np.isfinite(values).all():
        return math.nan
    centred = values - values.mean()
    variance = float(centred @ centred) / n
    lags = math.floor(4 * (n / 100) ** (2 / 9))
    for lag in range(1, min(lags, n - 1) + 1):
        weight = 1 - lag / (lags + 1)
        variance += 2 * weight * float(centred[lag:] @ centred[:-lag]) / n
    mean = float(values.mean())
    if variance <= 0:
        return math.inf if mean > 0 else -math.inf
    return mean / math.sqrt(variance / n)


def newey_west_p_value(differences: Sequence[float]) -> float:
    """One-sided p-value of "the mean is not above 0" (see `newey_west_t`), in [0, 1]; 1 where t is NaN."""
    t_statistic = newey_west_t(differences)
    return 1.0 if math.isnan(t_statistic) else 1 - NormalDist().cdf(t_statistic)


def aligned_differences(
    old: tuple[Sequence[int], Sequence[float]], new: tuple[Sequence[int], Sequence[float]]
) -> list[float]:
    """Losses of `old` minus losses of `new` on the days that both have; each is (days, losses)."""
    later = dict(zip(*new, strict=True))
    return [loss - later[day] for day, loss in zip(*old, strict=True) if day in later]
