"""The compiled grid of thresholds against the ledger."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.timeframes import HOUR_MS
from ml.trading import grid as grid_module
from ml.trading.daily import daily_log_gains
from ml.trading.grid import equity_of_grid
from ml.trading.ledger import Costs, run_ledger
from ml.trading.thresholds import threshold_targets
from tests.trading import market

CASH = 1000.0
PAIRS = np.array([[0.1, -0.1], [0.5, -0.5], [0.9, -0.2], [0.2, 0.0], [5.0, -5.0]])
#: Hours of five days, with a gap of a day and a half.
TIMES = np.delete(np.arange(120, dtype=np.int64), slice(50, 86)) * HOUR_MS


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    long_only=st.booleans(),
    delay=st.integers(0, 3),
    costs=st.sampled_from([Costs.flat(0.0), Costs.flat(0.001), Costs.flat(0.002, 0.001)]),
)
def test_each_pair_equals_its_ledger(seed: int, long_only: bool, delay: int, costs: Costs) -> None:
    candles = market(len(TIMES), seed)
    score = np.random.default_rng(seed).normal(0, 0.5, len(TIMES))
    score[seed % 7 :: 11] = np.nan
    options: dict[str, Any] = {"cash": CASH, "costs": costs, "delay": delay}
    grid = equity_of_grid(candles, TIMES, score, PAIRS, long_only=long_only, **options)
    assert grid.days.tolist() == [0, 1, 2, 3, 4]
    for number, (buy, sell) in enumerate(PAIRS):
        ledger = run_ledger(candles, TIMES, threshold_targets(score, buy, sell, long_only=long_only), **options)
        assert grid.equity[number] == pytest.approx(ledger.equity[-1], rel=1e-12)
        np.testing.assert_allclose(grid.gains[number], daily_log_gains(ledger.equity, CASH, TIMES), atol=1e-11)
        assert grid.trades[number] == sum(trade.exit_bar is not None for trade in ledger.trades)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    width=st.floats(0.001, 0.08),
    volatility=st.sampled_from([0.02, 0.35]),
    costs=st.sampled_from([Costs.flat(0.0), Costs.flat(0.002, 0.001)]),
)
def test_stops_and_targets_are_those_of_the_ledger(seed: int, width: float, volatility: float, costs: Costs) -> None:
    candles, rng = market(len(TIMES), seed, volatility), np.random.default_rng(seed)
    score = rng.normal(0, 0.5, len(TIMES))
    levels = candles[:, [3]] * np.exp(width * rng.uniform(0.2, 1, (len(TIMES), 2)) * [-1, 1])
    levels[rng.random(len(TIMES)) < 0.2] = np.nan
    grid = equity_of_grid(candles, TIMES, score, PAIRS, cash=CASH, costs=costs, levels=levels)
    for number, (buy, sell) in enumerate(PAIRS):
        target = threshold_targets(score, buy, sell)
        low, high = (
            np.where(target == 1, levels[:, i], np.where(target == -1, levels[:, 1 - i], np.nan)) for i in (0, 1)
        )
        ledger = run_ledger(candles, TIMES, target, cash=CASH, costs=costs, stop=low, take_profit=high)
        np.testing.assert_allclose(grid.gains[number], daily_log_gains(ledger.equity, CASH, TIMES), atol=1e-9)
        assert grid.equity[number] == pytest.approx(ledger.equity[-1], rel=1e-9, abs=1e-6)
        assert grid.trades[number] == sum(trade.exit_bar is not None for trade in ledger.trades)


def test_liquidations_are_those_of_the_ledger() -> None:
    liquidated = 0
    for seed in range(30):
        candles, rng = market(len(TIMES), seed, volatility=0.35), np.random.default_rng(seed)
        score = rng.normal(-0.2, 0.5, len(TIMES))
        for costs, delay in ((Costs.flat(0.0), 0), (Costs.flat(0.002, 0.001), 1)):
            grid = equity_of_grid(candles, TIMES, score, PAIRS, cash=CASH, costs=costs, delay=delay)
            for number, (buy, sell) in enumerate(PAIRS):
                target = threshold_targets(score, buy, sell)
                ledger = run_ledger(candles, TIMES, target, cash=CASH, costs=costs, delay=delay)
                assert grid.equity[number] == pytest.approx(ledger.equity[-1], rel=1e-9, abs=1e-6)
                assert grid.trades[number] == sum(trade.exit_bar is not None for trade in ledger.trades)
                liquidated += any(fill.reason == "liquidation" for fill in ledger.fills)
    assert liquidated > 50


def test_a_ruined_pair_ends_as_in_the_ledger_and_its_gains_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    # Short at 100, the price is 250 before the turn: debts, and nothing to trade with.
    close = np.array([100.0, 100, 250, 250, 100])
    candles = np.column_stack([close, close, close, close, np.ones(5)])
    score = np.array([-1.0, 1.0, -1.0, np.nan, np.nan])
    times = np.arange(5, dtype=np.int64) * 24 * HOUR_MS
    for compiled in (True, False):
        if not compiled:  # the Python that the machine code is made from
            monkeypatch.setattr(grid_module, "machine_code", lambda function, *_: function)
        grid = equity_of_grid(candles, times, score, PAIRS[:1], cash=CASH, costs=Costs.flat(0.0))
        ledger = run_ledger(candles, times, threshold_targets(score, 0.1, -0.1), cash=CASH, costs=Costs.flat(0.0))
        assert grid.equity[0] == ledger.equity[-1] == -500
        assert grid.trades.tolist() == [1]
        assert np.isfinite(grid.gains).all() and grid.gains[0, 2] == pytest.approx(np.log(1e-9))


def test_a_score_is_for_one_side_at_most() -> None:
    score = np.array([0.2, 0.19, -0.1, -0.2, np.nan])
    np.testing.assert_array_equal(threshold_targets(score, 0.2, -0.1), [1, np.nan, -1, -1, np.nan])
    np.testing.assert_array_equal(threshold_targets(score, 0.2, -0.1, long_only=True), [1, np.nan, 0, 0, np.nan])
    with pytest.raises(ValueError, match=r"to sell, 0\.2, is not below the one to buy, 0\.2"):
        threshold_targets(score, 0.2, 0.2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": np.zeros(2)}, "different lengths"),
        ({"candles": np.full((3, 5), np.nan)}, "a price is not above 0"),
        ({"open_time_ms": np.array([0, 2, 1])}, "is not later than the one before"),
        ({"pairs": np.array([[0.1, 0.1]])}, "is not below the one to buy"),
        ({"cash": 0.0}, "is not above 0"),
        ({"delay": -1}, "below 0"),
        ({"delay": 1, "levels": np.full((3, 2), np.nan)}, "use run_ledger for both"),
        ({"costs": Costs(((0.0, 0.1), (1.0, 0.0)))}, "use run_ledger for tiers and volume shares"),
        ({"costs": Costs(volume_share=0.1)}, "use run_ledger for tiers and volume shares"),
    ],
)
def test_nonsense_is_refused_by_the_grid(changes: dict[str, Any], message: str) -> None:
    given_ = {
        "candles": market(3, 1),
        "open_time_ms": np.arange(3, dtype=np.int64),
        "score": np.zeros(3),
        "pairs": PAIRS,
        "cash": CASH,
        "costs": Costs.flat(0.0),
    }
    with pytest.raises(ValueError, match=message):
        equity_of_grid(**given_ | changes)
