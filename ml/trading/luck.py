"""Luck: how much of a rule's gain may be chance, given the days that were sampled and the rules that were tried.

All figures are of the logarithmic gains per day, which add up over days and are resampled in blocks.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from ml.data.targets import Floats
from ml.promotion.significance import FEWEST_DAYS, block_length, resampled_days, spa_p_value

#: Resamples in the tail below a level, so that its quantile is not that of one resample.
TAIL_RESAMPLES = 20
#: Level at which trading is shown to be better than holding and than nothing, before it is divided by the reports.
SHOWN_LEVEL = 0.05
_EULER = 0.5772156649015329


def gain_quantiles(gains: Floats, levels: list[float]) -> list[float] | None:
    """Quantiles of the sum of daily gains (T,) over resampled days; None for fewer than `FEWEST_DAYS` days.

    Source: Politis and Romano, The Stationary Bootstrap (1994).
    """
    if len(gains) < FEWEST_DAYS:
        return None
    smallest = min(*levels, *(1 - one for one in levels))
    resamples = max(1000, math.ceil(TAIL_RESAMPLES / smallest))
    weights = resampled_days(len(gains), block_length(np.abs(gains)), resamples)
    return [float(one) for one in np.quantile(weights @ gains * len(gains), levels)]


def unproved(own: Floats, held: Floats, level: float) -> str:
    """The reason why days do not show a gain, and one over holding, at a level; empty if they do.

    Args:
        own: (T,) logarithmic gains per day.
        held: (T,) those of holding.
        level: of each of the two one-sided tests.
    """
    for gains, named in ((own, "nothing"), (own - held, "holding")):
        lowest = gain_quantiles(gains, [level])
        if lowest is None:
            return f"too few days: {len(gains)}"
        if not lowest[0] > 0:
            return f"it is not shown to gain more than {named}"
    return ""


def grid_p_value(gains: Floats, holding: Floats) -> float | None:
    """Hansen's SPA p-value of "no rule of the grid gains more than holding"; None for fewer than `FEWEST_DAYS` days.

    Args:
        gains: (T, k) daily gains of every rule that was compared.
        holding: (T,) those of holding.
    """
    if len(gains) < FEWEST_DAYS:
        return None
    weights = resampled_days(len(gains), block_length(np.abs(holding)))
    return spa_p_value(-gains, np.broadcast_to(-holding[:, None], gains.shape), weights)


def best_by_luck(trials: int) -> float:
    """Expected maximum of independent standard normal figures, one per trial; 0 for a single one.

    Correlated trials reach less, so it is an upper bound for those of a search.

    Source: Bailey and López de Prado, The Deflated Sharpe Ratio (2014).
    """
    if trials < 2:
        return 0.0
    normal = NormalDist()
    return (1 - _EULER) * normal.inv_cdf(1 - 1 / trials) + _EULER * normal.inv_cdf(1 - 1 / (trials * math.e))


def deflated_sharpe(gains: Floats, chosen: int) -> float | None:
    """Probability that the Sharpe ratio of the chosen rule is above the one that luck gives the best of all.

    Args:
        gains: (T, k) daily gains of every rule that was compared.
        chosen: place of the chosen one.

    Returns:
        In [0, 1]; None where it never traded, or for fewer than `FEWEST_DAYS` days.

    Source: Bailey and López de Prado, The Deflated Sharpe Ratio (2014).
    """
    days, trials = gains.shape
    deviations = gains.std(axis=0, ddof=1) if days >= FEWEST_DAYS else np.zeros(trials)
    if not deviations[chosen] > 0:
        return None
    ratios = np.divide(gains.mean(axis=0), deviations, out=np.zeros(trials), where=deviations > 0)
    own, centred = float(ratios[chosen]), gains[:, chosen] - gains[:, chosen].mean()
    skewness = float(np.mean(centred**3) / np.mean(centred**2) ** 1.5)
    kurtosis = float(np.mean(centred**4) / np.mean(centred**2) ** 2)
    normal = NormalDist()
    luck = float(ratios.std(ddof=1)) * best_by_luck(trials) if trials > 1 else 0.0
    variance = 1 - skewness * own + (kurtosis - 1) / 4 * own**2
    return normal.cdf((own - luck) * math.sqrt((days - 1) / variance)) if variance > 0 else None
