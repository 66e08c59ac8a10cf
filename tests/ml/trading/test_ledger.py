"""The ledger against hand-worked cases, and what holds of every rule."""

from __future__ import annotations

import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.models.base import Floats
from ml.timeframes import DAY_MS
from ml.trading.ledger import Costs, Ledger, run_ledger
from ml.trading.performance import buy_and_hold, curve_figures, trade_figures

COUNT = 10


@pytest.fixture
def cases(candles_dir: Path) -> dict[str, dict[str, Any]]:
    folder = candles_dir.parent / "ledger" / "cases"
    if not folder.exists():
        pytest.skip(f"no hand-worked ledger cases in {folder}")
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


def worked(case: dict[str, Any]) -> tuple[Ledger, Floats, np.ndarray, Costs]:
    """The ledger of a hand-worked case, with its candles, times and costs."""
    bars = case["bars"]
    candles = np.array([[bar[name] for name in ("open", "high", "low", "close", "volume")] for bar in bars], float)
    times = np.array([pd.Timestamp(bar["time"]).value // 10**6 for bar in bars])
    tiers = case.get("tiers") or [[0, case["fee"]]]
    share = case.get("max_volume_share")
    costs = Costs(
        tuple((float(least), float(Fraction(rate))) for least, rate in tiers),
        float(Fraction(case["slippage"])),
        None if share is None else float(Fraction(share)),
    )
    target = np.array([np.nan if one is None else one for one in case["target"]], float)
    sizing, quantity = case["sizing"], None
    if sizing != "all_in":
        sizes = sizing if isinstance(sizing, list) else [sizing] * len(bars)
        quantity = np.array([np.nan if one is None else one for one in sizes], float)
    ledger = run_ledger(candles, times, target, cash=float(Fraction(case["cash"])), costs=costs, quantity=quantity)
    return ledger, candles, times, costs


def same(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether texts and nulls that are wanted are equal, and numbers to 1e-9."""
    return found.keys() >= wanted.keys() and all(
        found[name] == (pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value)
        for name, value in wanted.items()
    )


def test_the_ledger_equals_all_cases_worked_by_hand(cases: dict[str, dict[str, Any]]) -> None:
    checked = 0
    for name, case in cases.items():
        if "bars" not in case:
            continue
        checked += 1
        ledger, *_ = worked(case)
        expected = case["expected"]
        assert len(ledger.fills) == len(expected["fills"]) and len(ledger.trades) == len(expected["trades"]), name
        for fill, wanted in zip(ledger.fills, expected["fills"], strict=True):
            assert same(asdict(fill), wanted), name
        for trade, wanted in zip(ledger.trades, expected["trades"], strict=True):
            assert same(asdict(trade), wanted), name
        np.testing.assert_allclose(ledger.equity, expected["equity"], rtol=1e-9, err_msg=name)
    assert checked == COUNT


def test_the_figures_equal_those_worked_by_hand(cases: dict[str, dict[str, Any]]) -> None:
    for name, case in cases.items():
        if "bars" not in case:
            continue
        ledger, _, times, _ = worked(case)
        wanted, curve, trades = case["expected"]["metrics"], *_figures(ledger, times)
        assert curve["total_return"] == pytest.approx(wanted["total_return"], rel=1e-9, abs=1e-12), name
        assert curve["max_drawdown"] == pytest.approx(wanted["max_drawdown"], rel=1e-9), name
        assert (trades["trades"], trades["win_rate"]) == (wanted["trades"], wanted["win_rate"]), name
        assert same({"profit_factor": trades["profit_factor"]}, {"profit_factor": wanted["profit_factor"]}), name
        assert trades["fees"] == pytest.approx(wanted["fees"], rel=1e-9), name
        assert trades["exposure"] * len(times) == pytest.approx(wanted["exposure_bars"]), name


def _figures(ledger: Ledger, times: np.ndarray) -> tuple[Any, Any]:
    return curve_figures(ledger.equity, ledger.cash, times), trade_figures(ledger)


def test_the_ratios_of_a_known_curve(cases: dict[str, dict[str, Any]]) -> None:
    case = cases["11_known_equity_curve"]
    equity, wanted = np.array(case["equity"]), case["expected"]
    found = curve_figures(equity, float(equity[0]), np.arange(len(equity), dtype=np.int64) * DAY_MS)
    assert found["sharpe"] == pytest.approx(wanted["sharpe_365"], rel=1e-9)
    assert found["sortino"] == pytest.approx(wanted["sortino_365"], rel=1e-9)
    assert found["cagr"] == pytest.approx(wanted["cagr_365"], rel=1e-9)
    assert found["calmar"] == pytest.approx(wanted["calmar_365"], rel=1e-9)
    assert found["volatility"] == pytest.approx(wanted["volatility_bar"], rel=1e-9)
    assert found["max_drawdown_candles"] == wanted["max_drawdown_days"]


def walk(rows: int, seed: int) -> Floats:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.02, rows)))
    opens = np.concatenate([[100.0], close[:-1]]) * np.exp(random.normal(0, 0.002, rows))
    high, low = np.maximum(opens, close) * 1.001, np.minimum(opens, close) / 1.001
    return np.column_stack([opens, high, low, close, np.full(rows, 50.0)])


def traded(
    candles: Floats, target: Floats, costs: Costs, cash: float = 1000.0, quantity: float | None = None
) -> Ledger:
    times = np.arange(len(candles), dtype=np.int64) * DAY_MS
    given = None if quantity is None else np.full(len(candles), quantity)
    return run_ledger(candles, times, target, cash=cash, costs=costs, quantity=given)


SIDES = st.lists(st.sampled_from([1.0, 0.0, -1.0, float("nan")]), min_size=40, max_size=40)


@settings(max_examples=60, deadline=None)
@given(sides=SIDES, seed=st.integers(0, 1000), share=st.sampled_from([None, 0.01, 0.1]))
def test_what_was_gained_is_what_the_trades_gained(sides: list[float], seed: int, share: float | None) -> None:
    costs = Costs(((0.0, 0.001), (5000.0, 0.0005)), 0.0005, share)
    for quantity in (None, 3.0):
        ledger = traded(walk(40, seed), np.array(sides), costs, quantity=quantity)
        assert ledger.equity[-1] - ledger.cash == pytest.approx(sum(one.pnl for one in ledger.trades), abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(sides=SIDES, seed=st.integers(0, 1000), cut=st.integers(2, 39))
def test_the_past_does_not_know_the_future(sides: list[float], seed: int, cut: int) -> None:
    candles, target, costs = walk(40, seed), np.array(sides), Costs.flat(0.001, 0.0005)
    whole, early = traded(candles, target, costs), traded(candles[:cut], target[:cut], costs)
    np.testing.assert_array_equal(early.equity, whole.equity[:cut])
    assert early.fills == [fill for fill in whole.fills if fill.bar < cut]


@settings(max_examples=40, deadline=None)
@given(sides=SIDES, seed=st.integers(0, 1000))
def test_ten_times_the_price_and_the_cash_are_ten_times_the_equity(sides: list[float], seed: int) -> None:
    candles, target, costs = walk(40, seed), np.array(sides), Costs.flat(0.001, 0.0005)
    plain = traded(candles, target, costs)
    dear = traded(candles * [10, 10, 10, 10, 1], target, costs, cash=10_000.0)
    np.testing.assert_allclose(dear.equity, 10 * plain.equity, rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(sides=SIDES, seed=st.integers(0, 1000))
def test_a_higher_fee_never_leaves_more(sides: list[float], seed: int) -> None:
    candles, target = walk(40, seed), np.array(sides)
    ends = [traded(candles, target, Costs.flat(fee), quantity=1.0).equity[-1] for fee in (0.0, 0.001, 0.01)]
    assert ends == sorted(ends, reverse=True)


@settings(max_examples=40, deadline=None)
@given(sides=SIDES, seed=st.integers(0, 1000))
def test_without_costs_short_is_the_mirror_of_long(sides: list[float], seed: int) -> None:
    candles, target, costs = walk(40, seed), np.array(sides), Costs.flat(0.0)
    long, short = (traded(candles, side * target, costs, quantity=1.0) for side in (1, -1))
    np.testing.assert_allclose(long.equity - 1000, 1000 - short.equity, atol=1e-9)


def test_a_signal_of_the_last_candle_never_fills_and_holding_has_the_same_costs() -> None:
    candles, costs = walk(5, 1), Costs.flat(0.001)
    assert not traded(candles, np.array([np.nan] * 4 + [1.0]), costs).fills
    times = np.arange(5, dtype=np.int64) * DAY_MS
    (fill,) = buy_and_hold(candles, times, 1000.0, costs).fills
    assert fill.bar == 1
    assert fill.qty == pytest.approx(1000 / (candles[1, 0] * 1.001))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": np.array([1.0, 2.0])}, "none of -1, 0, 1"),
        ({"target": np.array([1.0])}, "different lengths"),
        ({"target": np.array([1.0, 0.0]), "quantity": np.full(2, np.nan)}, "has no quantity above 0"),
        ({"candles": np.zeros((2, 5))}, "a price is not above 0"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any], message: str) -> None:
    given_ = {"candles": walk(2, 1), "open_time_ms": np.arange(2), "target": np.zeros(2)} | changes
    with pytest.raises(ValueError, match=message):
        run_ledger(**given_, cash=1000.0, costs=Costs.flat(0.001))
