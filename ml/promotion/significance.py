"""Significance: is a difference between forecasters more than the luck of the sampled days?

The tests of a whole field work on the aligned mean losses per day: days are resampled in blocks, because volatile days
cluster, and the same days for all cases, because all forecast the same candles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats

#: Fewest days for the tests of a field.
FEWEST_DAYS = 30
RESAMPLES = 1000
#: Cases resampled at once: 8 MB per matrix of 1,000 resamples.
_COLUMNS = 1000


def newey_west_t(differences: Sequence[float]) -> float:
    """Mean of an autocorrelated series over its standard error.

    The variance of the mean is estimated with Bartlett weights up to lag floor(4 (n / 100)^(2/9)).

    Args:
        differences: losses of the old minus losses of the new forecaster, equally spaced in time.

    Returns:
        The t statistic; NaN for fewer than 3 values, or if one is not finite; infinite if the values are constant.

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
    """One-sided p-value of "the mean is not above 0" (see `newey_west_t`), in [0, 1]; 1 if t is NaN."""
    t_statistic = newey_west_t(differences)
    return 1.0 if math.isnan(t_statistic) else 1 - NormalDist().cdf(t_statistic)


def aligned_differences(
    old: tuple[Sequence[int], Sequence[float]], new: tuple[Sequence[int], Sequence[float]]
) -> list[float]:
    """Losses of `old` minus losses of `new` on their common days; each is (days, losses)."""
    later = dict(zip(*new, strict=True))
    return [loss - later[day] for day, loss in zip(*old, strict=True) if day in later]


def block_length(losses: Floats) -> int:
    """Mean block length in days for the bootstrap of a series of losses (T,).

    The losses of a baseline are used for a whole field, since all cases share the clustering of volatility.

    Source: Politis and White (2004), with the correction of Patton, Politis and White (2009).
    """
    from arch.bootstrap import optimal_block_length  # noqa: PLC0415 - arch takes seconds to load

    if np.ptp(losses) == 0:
        return 1
    length = float(optimal_block_length(losses)["stationary"].iloc[0])
    return max(1, math.ceil(length)) if math.isfinite(length) else 1


def resampled_days(n_days: int, block: int, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Weight of each day in each resample of a stationary bootstrap.

    Args:
        n_days: T.
        block: mean length of the blocks, in days.
        resamples: B.
        seed: of the generator; equal arguments give equal resamples.

    Returns:
        (B, T) weights; each row sums to 1, so `weights @ losses` are the means of resampled losses.

    Source: Politis and Romano, The Stationary Bootstrap (1994).
    """
    from arch.bootstrap import StationaryBootstrap  # noqa: PLC0415 - arch takes seconds to load

    bootstrap = StationaryBootstrap(block, np.arange(n_days), seed=seed)
    counts = [np.bincount(days, minlength=n_days) for (days,), _ in bootstrap.bootstrap(resamples)]
    return np.array(counts) / n_days


def skill_interval(losses: Floats, baselines: Floats, weights: Floats, level: float = 0.9) -> Floats:
    """Percentile interval of the skill 1 - sqrt(mean loss / mean loss of the baseline) of every case.

    Args:
        losses: (T, k) mean squared losses per day.
        baselines: (T, k) those of the baseline of each case.
        weights: (B, T) of `resampled_days`.
        level: nominal coverage of the true skill.

    Returns:
        (2, k) lower and upper ends; NaN if the loss of the baseline is 0.
    """
    interval = np.full((2, losses.shape[1]), np.nan)
    ends = [(1 - level) / 2, (1 + level) / 2]
    for columns in _chunks(losses.shape[1]):
        against = weights @ baselines[:, columns]
        ratio = np.divide(weights @ losses[:, columns], against, out=np.full_like(against, np.nan), where=against > 0)
        interval[:, columns] = np.quantile(1 - np.sqrt(ratio), ends, axis=0)
    return interval


def spa_p_value(losses: Floats, baselines: Floats, weights: Floats) -> float:
    """Consistent p-value of "no case of the field is better than its baseline": Hansen's test of superior ability.

    The statistic is the largest mean gain of a case in units of the deviation of its daily gains; the resamples give
    its distribution under the null for this number of cases. Cases that are clearly worse than the baseline do not
    raise the p-value. Each case is paired with its baseline on its own rows, which may differ from those of others
    within a day.

    Args:
        losses: (T, k) mean losses per day of all cases that were tried.
        baselines: (T, k) those of the baseline of each case.
        weights: (B, T) of `resampled_days`.

    Returns:
        (1 + resamples that reach the statistic) / (1 + B); 1 if no case differs from its baseline.

    Source: Hansen, A Test for Superior Predictive Ability (2005). It is `arch.bootstrap.SPA` on gains in those units,
    as one matrix product instead of a loop over resamples: 10,000 cases take a second. The units are not the standard
    errors of the resamples: with few blocks those are so uncertain that among many cases some gain looks large only
    because its estimated error is small; on noise p < .1 was then four times as frequent as nominal.
    """
    n_days, n_cases = losses.shape
    statistic, luck = 0.0, np.zeros(len(weights))
    bound = -math.sqrt(2 * math.log(math.log(n_days)))
    for columns in _chunks(n_cases):
        gains = baselines[:, columns] - losses[:, columns]
        mean, unit = gains.mean(axis=0), gains.std(axis=0)
        # A case with the same forecasts as its baseline differs from it by rounding only.
        rounding = 1e-12 * baselines.mean()
        differs = unit > rounding
        if (mean[~differs] > rounding).any():  # better by the same amount every day
            statistic = math.inf
        if not differs.any():
            continue
        mean, unit, resampled = mean[differs], unit[differs], weights @ gains[:, differs]
        statistic = max(statistic, float((mean / unit).max()))
        centre = np.where(mean >= bound * resampled.std(axis=0), mean, 0.0)
        luck = np.maximum(luck, ((resampled - centre) / unit).max(axis=1))
    return float((1 + np.count_nonzero(luck >= statistic)) / (1 + len(weights)))


def confidence_set(
    losses: Floats, block: int, size: float = 0.1, resamples: int = RESAMPLES, seed: int = 0
) -> npt.NDArray[np.bool_]:
    """The model confidence set of a few forecasters, which contains the best one with probability 1 - `size`.

    Args:
        losses: (T, k) mean losses per day; columns that are equal to 9 digits are treated as one.
        block: mean length of the blocks, in days.
        size: of the test.
        resamples: B.
        seed: of the generator.

    Returns:
        (k,) whether a forecaster is in the set.

    Source: Hansen, Lunde and Nason, The Model Confidence Set (2011), with the statistic T_max.
    """
    from arch.bootstrap import MCS  # noqa: PLC0415 - arch takes seconds to load

    # With two columns that are equal up to rounding arch does not terminate: the difference and its error are 0.
    relative = np.round(losses / (losses.mean() or 1.0), 9)
    distinct, which = np.unique(relative, axis=1, return_inverse=True)
    if distinct.shape[1] == 1:
        return np.ones(losses.shape[1], dtype=np.bool_)
    test = MCS(distinct, size, reps=resamples, block_size=block, method="max", seed=seed)
    test.compute()
    included: npt.NDArray[np.bool_] = np.isin(which.ravel(), test.included)
    return included


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _COLUMNS, n)) for start in range(0, n, _COLUMNS))
