"""Backtest: what trading the direction of a case would have gained on its validation rows, against holding.

The case is refitted on the way, as in service, and each call is made from the candles up to its close. The rows are
those on which cases are selected, so that the figures of a selected one flatter it; the holdout is not read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.data.datasets import Dataset
from ml.data.targets import CLOSE, Floats
from ml.errors import CaseError
from ml.evaluation.evaluate import evaluate_prepared
from ml.evaluation.preparation import prepare
from ml.metrics.prices import Days
from ml.promotion.significance import block_length, resampled_days
from ml.search.cases import TestCase
from ml.trading.ledger import Costs, Ledger, run_ledger
from ml.trading.performance import CurveFigures, TradeFigures, buy_and_hold, curve_figures, trade_figures

CASH = 10_000.0


@dataclass(frozen=True)
class DirectionRule:
    """Long where the close is forecast to rise by more than a threshold, short (or flat) where it is to fall.

    Attributes:
        threshold_pct: least predicted move in percent; a smaller one leaves the position as it is.
        long_only: never short.
    """

    threshold_pct: float = 0.0
    long_only: bool = False

    def targets(self, predicted: Floats) -> Floats:
        """Sides (m,) for predicted moves (m,) of the close in log units; NaN leaves the position."""
        moves = 100 * np.expm1(predicted)
        sides = np.where(np.abs(moves) > self.threshold_pct, np.sign(moves), np.nan)
        return np.maximum(sides, 0.0) if self.long_only else sides


class BacktestFigures(CurveFigures, TradeFigures):
    """The outcome of a rule; `over_holding` is its logarithmic gain over holding, with a 90 % interval over days."""

    start_ms: int
    end_ms: int
    candles: int
    holding_return: float
    over_holding: float
    over_holding_lower: float
    over_holding_upper: float


def backtest(case: TestCase, dataset: Dataset, rule: DirectionRule, costs: Costs) -> BacktestFigures:
    """Trade the direction of a case on its validation rows.

    Raises:
        CaseError: the case forecasts the close as the last close, or too few rows are usable.
    """
    if case.keeps_close:
        raise CaseError('The case forecasts the close as the last close. Use one with close = "learnt".')
    _, walk = evaluate_prepared(prepare(case, dataset))
    first, last = int(walk.rows[0]), int(walk.rows[-1]) + 1  # the last call fills at the open of the next candle
    target = np.full(last - first + 1, np.nan)
    target[walk.rows - first] = rule.targets(walk.predicted[:, CLOSE])
    candles = np.asarray(dataset.candles[first : last + 1], dtype=np.float64)
    times = np.asarray(dataset.open_time_ms[first : last + 1])
    ledger = run_ledger(candles, times, target, cash=CASH, costs=costs)
    holding = buy_and_hold(candles, times, CASH, costs)
    over, lower, upper = _over(ledger, holding, Days(times))
    return {
        **curve_figures(ledger.equity, CASH, times),
        **trade_figures(ledger),
        "start_ms": int(times[0]),
        "end_ms": int(times[-1]),
        "candles": len(times),
        "holding_return": float(holding.equity[-1] / CASH - 1),
        "over_holding": over,
        "over_holding_lower": lower,
        "over_holding_upper": upper,
    }


def _over(ledger: Ledger, holding: Ledger, days: Days) -> tuple[float, float, float]:
    """The logarithmic gain of a rule over holding, with the ends of its 90 % interval (stationary block bootstrap)."""
    gains = np.diff(np.log(np.stack([ledger.equity, holding.equity])), axis=1, prepend=np.log(CASH))
    daily = days.sums(gains[0] - gains[1])
    weights = resampled_days(len(daily), block_length(np.abs(daily)))
    lower, upper = np.quantile(weights @ daily * len(daily), [0.05, 0.95])
    return float(daily.sum()), float(lower), float(upper)
