"""Metrics of forecast prices, in percent of the last close so that markets and years are comparable.

Predictions and truth are labels (n, k) (see `ml.data.targets`): logarithms of a price over the last close. The error of
a row and label is (predicted price - actual price) / last close = exp(predicted) - exp(actual).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.timeframes import DAY_MS

RECENCY_DECAY = 0.001
#: Fee and spread of each side of a trade, as a fraction: Binance's fee for takers without a discount.
TRADING_COST = 0.001
#: Standard errors of a one-sided test at 5 %.
BEYOND_LUCK = 1.645


def relative_errors(predicted: Floats, actual: Floats) -> Floats:
    """(predicted price - actual price) / last close, (n, k), as a fraction."""
    errors: Floats = np.exp(predicted) - np.exp(actual)
    return errors


def rmse_pct(errors: Floats) -> float:
    """100 x root of the mean squared relative error over all rows and labels.

    >>> rmse_pct(np.array([[0.03, 0.0, 0.04]]))  # 100 * sqrt((9 + 16) / 3) / 100
    2.886751345948129
    """
    return float(100 * np.sqrt(np.mean(np.square(errors))))


def rmse_quote(errors: Floats, last_close: Floats) -> float:
    """Root mean squared error in quote units; errors (n, k) are fractions of the last closes (n,)."""
    return float(np.sqrt(np.mean(np.square(errors * last_close[:, None]))))


def mae_pct(errors: Floats) -> float:
    """100 x mean absolute relative error."""
    return float(100 * np.mean(np.abs(errors)))


def exponentially_weighted_rmse(errors: Floats, decay: float = RECENCY_DECAY) -> float:
    """Root of the weighted mean of squared errors with weights w_i = exp(-decay i), i = 0 for the first row.

    Units are those of `errors`. Source: the scoring rule of Taoshi's time-series subnet.

    >>> round(exponentially_weighted_rmse(np.full(100, 0.05)), 12)
    0.05
    """
    weights = _decaying(len(errors), decay)
    squared = np.square(errors).reshape(len(errors), -1).mean(axis=1)
    return float(np.sqrt(np.average(squared, weights=weights)))


@lru_cache(maxsize=8)  # the cases of a series have the same rows
def _decaying(rows: int, decay: float) -> Floats:
    """(rows,) exp(-decay i)."""
    weights: Floats = np.exp(-decay * np.arange(rows))
    return weights


def skill(error: float, baseline_error: float) -> float:
    """1 - error / error of the baseline: 1 is perfect, 0 equals the baseline, below 0 is worse."""
    return 1.0 - error / baseline_error if baseline_error > 0 else 0.0


def direction_accuracy(predicted: Floats, actual: Floats, horizon: int = 1) -> tuple[float, float]:
    """Share of rows (n,) whose price moves in the predicted direction, and its standard error.

    Rows in which the prediction or the truth does not move have no direction and are left out; (nan, nan) if none is
    left. Standard error of a proportion: sqrt(p (1 - p) / n), with the effective sample size n / horizon for n, since
    rows with overlapping horizons are correlated.
    """
    sides = np.sign(predicted) * np.sign(actual)
    n = int(np.count_nonzero(sides))
    if n == 0:
        return math.nan, math.nan
    share = float(np.count_nonzero(sides > 0) / n)
    return share, math.sqrt(share * (1 - share) * horizon / n)


def direction_gains(predicted: Floats, actual: Floats, cost: float = TRADING_COST) -> Floats:
    """Gains (n,), as fractions, of holding one unit in each predicted direction until the next row, after costs.

    They are what a perfect trader of the direction keeps: one that trades every call at the close, without slippage.

    Args:
        predicted: (n,) logarithmic moves; a row without one keeps no position.
        actual: (n,) the moves that followed.
        cost: of each side of a trade, as a fraction; a turn from long to short has two.
    """
    position = np.sign(predicted)
    gains: Floats = position * np.expm1(actual) - cost * np.abs(np.diff(position, prepend=0.0))
    return gains


def direction_net_pct(predicted: Floats, actual: Floats, cost: float = TRADING_COST) -> float:
    """The mean of `direction_gains` in percent; NaN if no row has a direction."""
    return float(100 * direction_gains(predicted, actual, cost).mean()) if predicted.any() else math.nan


def pinball_pct(predicted: Floats, actual: Floats, quantile: float) -> float:
    """100 x mean quantile loss: quantile x (actual - predicted) where too low, (1 - quantile) x excess where too high.

    Arguments are fractions (n,). Source: Koenker and Bassett, Regression Quantiles (1978).
    """
    short = actual - predicted
    return float(100 * np.mean(np.maximum(quantile * short, (quantile - 1) * short)))


class Days:
    """The UTC days of rows, for means and sums per day.

    Args:
        time_ms: (n,) milliseconds since 1970-01-01 UTC.
    """

    def __init__(self, time_ms: npt.NDArray[np.int64]) -> None:
        days, self._position = np.unique(time_ms // DAY_MS, return_inverse=True)
        #: Days since 1970-01-01, in time order.
        self.numbers: list[int] = days.tolist()
        self._counts = np.bincount(self._position)

    def means(self, losses: Floats) -> Floats:
        """Mean loss per day (days,), from losses (n,)."""
        means: Floats = self.sums(losses) / self._counts
        return means

    def sums(self, values: Floats) -> Floats:
        """Sum per day (days,), from values (n,)."""
        sums: Floats = np.bincount(self._position, weights=values).astype(np.float64)
        return sums
