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

from ml.models.base import Floats
from ml.timeframes import DAY_MS
from ml.trading.ledger import Costs, Ledger, run_ledger
from ml.trading.performance import buy_and_hold, curve_figures, trade_figures
from tests.trading import market

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


def test_a_signal_of_the_last_candle_never_fills_and_holding_has_the_same_costs() -> None:
    candles, costs = market(5, 1), Costs.flat(0.001)
    times = np.arange(5, dtype=np.int64) * DAY_MS
    assert not run_ledger(candles, times, np.array([np.nan] * 4 + [1.0]), cash=1000.0, costs=costs).fills
    (fill,) = buy_and_hold(candles, times, 1000.0, costs).fills
    assert fill.bar == 1
    assert fill.qty == pytest.approx(1000 / (candles[1, 0] * 1.001))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": np.array([1.0, 2.0])}, "none of -1, 0, 1"),
        ({"target": np.array([1.0])}, "different lengths"),
        ({"target": np.array([1.0, 0.0]), "quantity": np.full(2, np.nan)}, "has no quantity above 0"),
        ({"stop": np.full(3, np.nan)}, "different lengths"),
        ({"candles": np.zeros((2, 5))}, "a price is not above 0"),
        ({"open_time_ms": np.array([1, 1])}, "is not later than the one before"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any], message: str) -> None:
    given_ = {"candles": market(2, 1), "open_time_ms": np.arange(2), "target": np.zeros(2)} | changes
    with pytest.raises(ValueError, match=message):
        run_ledger(**given_, cash=1000.0, costs=Costs.flat(0.001))
