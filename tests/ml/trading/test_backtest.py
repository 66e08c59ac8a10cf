"""Backtests of the direction of a case."""

from __future__ import annotations

import numpy as np
import pytest

from ml.data.targets import CLOSE
from ml.errors import CaseError
from ml.evaluation.evaluate import evaluate_prepared
from ml.evaluation.preparation import prepare
from ml.trading.backtest import DirectionRule, backtest
from ml.trading.ledger import CASH, Costs
from tests.synthetic import HOUR_MS, make_case, make_dataset

FREE = Costs.flat(0.0)


def test_a_rule_is_long_or_short_beyond_its_threshold() -> None:
    moves = np.log1p(np.array([0.02, -0.02, 0.001, 0.0]))
    np.testing.assert_array_equal(DirectionRule(0.5).targets(moves), [1, -1, np.nan, np.nan])
    np.testing.assert_array_equal(DirectionRule(0.5, long_only=True).targets(moves), [1, 0, np.nan, np.nan])


def test_without_costs_a_backtest_gains_what_its_calls_gain_from_the_next_open_on() -> None:
    dataset, case = make_dataset(1500, edge=0.5), make_case()
    figures = backtest(case, dataset, DirectionRule(), FREE)
    _, walk = evaluate_prepared(prepare(case, dataset))
    calls, rows = np.sign(walk.predicted[:, CLOSE]), walk.rows
    # Every call of consecutive rows is held from the open of the next candle to the open of the one after it.
    opens = dataset.candles[:, 0]
    gains = calls[:-1] * (opens[rows[1:] + 1] / opens[rows[1:]] - 1)
    last = calls[-1] * (dataset.candles[rows[-1] + 1, 3] / opens[rows[-1] + 1] - 1)
    np.testing.assert_array_equal(np.diff(rows), 1)
    assert figures["total_return"] == pytest.approx(_compounded(calls, gains, last), rel=0.02)
    assert figures["total_return"] > figures["holding_return"]
    assert figures["over_holding_lower"] > 0
    assert figures["candles"] == len(rows) + 1
    assert (figures["start_ms"], figures["end_ms"]) == (
        dataset.open_time_ms[rows[0]],
        dataset.open_time_ms[rows[-1]] + HOUR_MS,
    )


def _compounded(calls: np.ndarray, gains: np.ndarray, last: float) -> float:
    """The gain of all calls, of which a short keeps its quantity until it is turned."""
    equity, start = CASH, 0
    for stop in [*(np.flatnonzero(np.diff(calls)) + 1), len(calls)]:
        held = gains[start:stop] if stop < len(calls) else np.append(gains[start:], last)
        side = calls[start]
        equity *= 1 + side * (np.prod(1 + side * held) - 1)
        start = stop
    return equity / CASH - 1


def test_on_a_market_without_an_edge_costs_eat_the_account_and_nothing_is_shown() -> None:
    dataset = make_dataset(1500)
    free, costly = (backtest(make_case(), dataset, DirectionRule(), costs) for costs in (FREE, Costs.flat(0.001)))
    assert costly["total_return"] < free["total_return"]
    assert costly["over_holding_lower"] < 0
    assert costly["fees"] > 0 == free["fees"]


def test_a_case_that_keeps_the_close_has_no_direction() -> None:
    with pytest.raises(CaseError, match='Use one with close = "learnt"'):
        backtest(make_case(close=None), make_dataset(1500), DirectionRule(), FREE)
