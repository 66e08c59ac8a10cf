"""Performance: months, fees' share, slippage, intervals and the break-even fee, against values worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.data.targets import Floats
from ml.promotion.significance import block_length, resampled_days
from ml.timeframes import DAY_MS, HOUR_MS
from ml.trading.break_even import break_even_fee, equity_at_fee
from ml.trading.daily import daily_log_gains, last_of_days
from ml.trading.intervals import FEWEST_DAYS, UNKNOWN, performance_intervals
from ml.trading.ledger import Costs, Ledger, run_ledger
from ml.trading.performance import curve_figures, trade_figures
from tests.trading import CASH, MARKETS, RULES, Rule, market, times_of


def days_from(day: str, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return pd.Timestamp(day).value // 10**6 + DAY_MS * np.arange(count, dtype=np.int64)


def simple(exit_price: float, costs: Costs) -> Ledger:
    """2 units bought @ 100 in bar 1 and sold @ the price in bar 2; the last candle is quiet."""
    close = np.array([100.0, 100.0, exit_price, exit_price])
    candles = np.column_stack([close, close, close, close, np.ones(4)])
    target = np.array([1.0, 0.0, np.nan, np.nan])
    return run_ledger(candles, times_of(candles), target, cash=1000.0, costs=costs, quantity=np.full(4, 2.0))


def test_an_account_that_was_ruined_has_no_ratios_of_returns() -> None:
    # From -10 to -20 the equity "gains" 100 %.
    equity, times = np.array([100.0, 50.0, 0.0, -10.0, -20.0]), np.arange(5, dtype=np.int64) * DAY_MS
    figures = curve_figures(equity, 100.0, times)
    assert (figures["volatility"], figures["sharpe"], figures["sortino"]) == (None, None, None)
    assert (figures["total_return"], figures["max_drawdown"]) == pytest.approx((-1.2, 1.2))
    # Ruin at the last close is a return of -100 %.
    assert curve_figures(equity[:3], 100.0, times[:3])["sharpe"] is not None


def test_fees_are_a_share_of_the_gain_before_them_and_slippage_is_summed() -> None:
    # 200 -> 220 before costs; fees .2 + .22 of a gain of 20; mean equity (1000 + 999.8 + 1019.58 x 2) / 4.
    figures = trade_figures(simple(110, Costs.flat(0.001)))
    assert figures["fees"] == pytest.approx(0.42)
    assert figures["fees_share"] == pytest.approx(0.42 / 20)
    assert figures["turnover"] == pytest.approx(420 / ((1000 + 999.8 + 2 * 1019.58) / 4))
    # Slippage 1 %: 2 x 1 at the entry, 2 x 1.1 at the exit.
    assert trade_figures(simple(110, Costs.flat(0.0, 0.01)))["slippage"] == pytest.approx(4.2)
    assert trade_figures(simple(90, Costs.flat(0.001)))["fees_share"] is None


def test_the_break_even_fee_of_one_trade_is_known_in_closed_form() -> None:
    # 1000 f: one long trade from 100 to 110 keeps (1 - f) / (1 + f) x 1.1 = 1, so f = .1 / 2.1.
    close = np.array([100.0, 100.0, 110.0])
    candles = np.column_stack([close, close, close, close, np.ones(3)])
    target = np.array([1.0, 0.0, np.nan])

    def final(fee: float) -> float:
        return float(run_ledger(candles, times_of(candles), target, cash=CASH, costs=Costs.flat(fee)).equity[-1])

    without = run_ledger(candles, times_of(candles), target, cash=CASH, costs=Costs.flat(0.0))
    for equity in (final, lambda fee: float(equity_at_fee(without, fee)[-1])):
        assert break_even_fee(equity, CASH) == pytest.approx(0.1 / 2.1, abs=1e-11)


def test_the_break_even_fee_of_a_fixed_quantity_is_the_gain_over_the_value_of_all_fills() -> None:
    # 200 -> 220: 20 - f x 420 = 0.
    assert break_even_fee(lambda fee: float(simple(110, Costs.flat(fee)).equity[-1]), 1000.0) == pytest.approx(20 / 420)


def test_without_a_gain_no_fee_breaks_even_and_with_a_huge_one_every_fee_leaves_some() -> None:
    assert break_even_fee(lambda fee: float(simple(90, Costs.flat(fee)).equity[-1]), 1000.0) is None
    assert break_even_fee(lambda _: 1000.0, 1000.0) is None  # no trade
    assert break_even_fee(lambda fee: 3000.0 / (1 + fee), 1000.0) == 1.0


@settings(max_examples=60, deadline=None)
@given(rule=RULES, candles=MARKETS, fee=st.floats(0, 0.05))
def test_the_curve_of_another_fee_follows_from_the_one_without_fees(rule: Rule, candles: Floats, fee: float) -> None:
    # With stops, targets, horizon and delay, long and short: all of the equity each time, fills whole.
    slippage = rule.costs.slippage

    def run(rate: float) -> Ledger:
        return Rule(
            rule.threshold, rule.long_only, stop=rule.stop, take_profit=rule.take_profit, horizon=rule.horizon,
            delay=rule.delay, costs=Costs.flat(rate, slippage),
        ).run(candles)  # fmt: skip

    np.testing.assert_allclose(equity_at_fee(run(0.0), fee), run(fee).equity, rtol=1e-9)
    broken_even = break_even_fee(lambda rate: float(equity_at_fee(run(0.0), rate)[-1]), CASH)
    if broken_even is not None and broken_even < 1:
        assert run(broken_even).equity[-1] == pytest.approx(CASH, rel=1e-9)


def test_a_curve_with_fees_is_not_bent_again() -> None:
    with pytest.raises(ValueError, match="run it with a fee of 0"):
        equity_at_fee(simple(110, Costs.flat(0.001)), 0.002)
    assert equity_at_fee(simple(110, Costs.flat(0.0)), 0.0)[-1] == 1020  # the remedy


def test_gains_per_day_are_between_the_last_candles_of_the_days() -> None:
    # Two candles on day 0, one on day 1, none on day 2, one on day 3; the account is ruined on the last.
    times = np.array([0, 12 * HOUR_MS, DAY_MS, 3 * DAY_MS])
    assert last_of_days(times).tolist() == [1, 2, 3]
    found = daily_log_gains(np.array([110.0, 120, 60, -1]), 100.0, times)
    assert found == pytest.approx([math.log(1.2), math.log(0.5), math.log(1e-9) - math.log(0.6)])


def hourly(days: int, drift: float, seed: int) -> tuple[Floats, Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Equity of a rule that gains `drift` an hour over holding, holding, and times."""
    random = np.random.default_rng(seed)
    moves = random.normal(0, 0.005, 24 * days)
    holding = CASH * np.exp(np.cumsum(moves))
    own = CASH * np.exp(np.cumsum(0.5 * moves + random.normal(drift, 0.002, 24 * days)))
    return own, holding, np.arange(24 * days, dtype=np.int64) * HOUR_MS


def test_intervals_are_those_of_days_that_are_drawn_again() -> None:
    # The same weights, applied to curves that are rebuilt day by day from the candles of the drawn days.
    equity, holding, times = hourly(30, 0.0002, 1)
    found = performance_intervals(equity, holding, CASH, times, resamples=60, seed=3)
    gains, held = (daily_log_gains(curve, CASH, times) for curve in (equity, holding))
    counts = np.rint(30 * resampled_days(30, block_length(np.abs(gains - held)), 60, 3)).astype(int)
    returns = np.concatenate([[np.nan], np.diff(equity) / equity[:-1]]).reshape(30, 24)
    totals, sharpes, differences, over = [], [], [], []
    for times_drawn in counts:
        drawn = np.repeat(np.arange(30), times_drawn)
        totals.append(np.exp(gains[drawn].sum()) - 1)
        differences.append(totals[-1] - (np.exp(held[drawn].sum()) - 1))
        over.append((gains - held)[drawn].sum())
        sample = returns[drawn].ravel()
        sample = sample[np.isfinite(sample)]
        sharpes.append(sample.mean() / sample.std(ddof=1) * math.sqrt(365 * 24))
    for interval, values in zip(found, (totals, sharpes, differences, over), strict=True):
        assert interval == pytest.approx(np.quantile(values, [0.05, 0.95]), rel=1e-9)


def test_an_edge_is_above_holding_and_luck_is_not() -> None:
    strong = performance_intervals(*hourly(200, 0.0005, 2)[:2], CASH, hourly(200, 0.0005, 2)[2])
    assert strong.over_holding.lower is not None and strong.over_holding.lower > 0
    assert strong.sharpe.lower is not None and strong.sharpe.lower > 0
    inside = 0
    for seed in range(40):
        equity, holding, times = hourly(120, 0.0, seed)
        interval = performance_intervals(equity, holding, CASH, times, resamples=200).over_holding
        assert interval.lower is not None and interval.upper is not None
        inside += interval.lower <= 0.0 <= interval.upper
    # The true difference is 0. Of 40 intervals of 90 %, 36 hold it on average; fewer than 31 are 0.5 % likely.
    assert inside >= 31


def test_intervals_without_a_meaning_are_unknown() -> None:
    equity, holding, times = hourly(FEWEST_DAYS - 1, 0.0, 1)
    assert set(performance_intervals(equity, holding, CASH, times)) == {UNKNOWN}
    idle = np.full(24 * 30, CASH)
    found = performance_intervals(idle, hourly(30, 0.0, 1)[1], CASH, hourly(30, 0.0, 1)[2])
    assert found.total_return == (0.0, 0.0)
    assert found.sharpe == UNKNOWN
    assert curve_figures(idle, CASH, hourly(30, 0.0, 1)[2])["sharpe"] is None


def test_slippage_and_fees_of_trades_are_those_of_fills() -> None:
    ledger = Rule(stop=0.01, horizon=3).run(market(60, 5))
    figures = trade_figures(ledger)
    assert figures["fees"] == pytest.approx(sum(trade.fees for trade in ledger.trades))
    assert figures["slippage"] == pytest.approx(sum(trade.slippage for trade in ledger.trades))
    assert figures["slippage"] == pytest.approx(
        sum(fill.qty * fill.price * 0.0005 / (1 + math.copysign(0.0005, 1 if fill.side == "buy" else -1))
            for fill in ledger.fills)
    )  # fmt: skip
