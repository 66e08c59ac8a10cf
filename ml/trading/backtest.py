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
from ml.search.cases import TestCase
from ml.trading.break_even import break_even_fee, equity_at_fee
from ml.trading.daily import daily_log_gains
from ml.trading.intervals import performance_intervals
from ml.trading.ledger import CASH, Costs, run_ledger
from ml.trading.performance import CurveFigures, TradeFigures, buy_and_hold, curve_figures, trade_figures


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
    """The outcome of a rule, with 90 % intervals over days, which are None for fewer than `intervals.FEWEST_DAYS`.

    `over_holding` is the logarithmic gain over holding; `break_even_fee` the fee of each side at which nothing is left
    of the gain, None if nothing is gained without fees.
    """

    start_ms: int
    end_ms: int
    candles: int
    holding_return: float
    over_holding: float
    over_holding_lower: float | None
    over_holding_upper: float | None
    return_lower: float | None
    return_upper: float | None
    sharpe_lower: float | None
    sharpe_upper: float | None
    break_even_fee: float | None


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
    without_fees = run_ledger(candles, times, target, cash=CASH, costs=Costs.flat(0.0, costs.slippage))
    intervals = performance_intervals(ledger.equity, holding.equity, CASH, times)
    over = daily_log_gains(ledger.equity, CASH, times) - daily_log_gains(holding.equity, CASH, times)
    return {
        **curve_figures(ledger.equity, CASH, times),
        **trade_figures(ledger),
        "start_ms": int(times[0]),
        "end_ms": int(times[-1]),
        "candles": len(times),
        "holding_return": float(holding.equity[-1] / CASH - 1),
        "over_holding": float(over.sum()),
        "over_holding_lower": intervals.over_holding.lower,
        "over_holding_upper": intervals.over_holding.upper,
        "return_lower": intervals.total_return.lower,
        "return_upper": intervals.total_return.upper,
        "sharpe_lower": intervals.sharpe.lower,
        "sharpe_upper": intervals.sharpe.upper,
        "break_even_fee": break_even_fee(lambda fee: float(equity_at_fee(without_fees, fee)[-1]), CASH),
    }
