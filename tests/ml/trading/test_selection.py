"""Selection of a rule: thresholds from validation alone, one report on the holdout, a gain beyond luck."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml.data.datasets import Dataset
from ml.errors import CaseError
from ml.search.cases import TestCase
from ml.trading.break_even import equity_at_fee
from ml.trading.costs import Costs
from ml.trading.ledger import CASH
from ml.trading.scores import CaseForecasts, score_history
from ml.trading.selection import Reports, Selected, Trader, select_rule
from ml.trading.signals import Signal, read_signals
from tests.synthetic import make_case, make_dataset, with_all_kinds

REPORTS = Reports(openings=4, now_ms=1_700_000_000_000)


def signal(**changes: object) -> Signal:
    return Signal.model_validate({"name": "one", "sources": [{}], **changes})


def selected(dataset: Dataset, one: Signal | None = None, fee: float = 0.001, case: TestCase | None = None) -> Selected:
    forecasts = CaseForecasts.of(case or make_case(), dataset)
    return select_rule(Trader(one or signal(), Costs.flat(fee)), [forecasts], REPORTS)


@pytest.fixture(scope="module")
def null() -> Dataset:
    return make_dataset(rows=4000, clustered=False)


@pytest.fixture(scope="module")
def planted() -> Dataset:
    """Returns follow the return before them by .6: a move of a candle pays the fees many times."""
    return make_dataset(rows=6000, clustered=False, edge=0.6)


def test_nothing_is_shown_where_there_is_nothing(null: Dataset) -> None:
    for one in read_signals(()):
        record = selected(null, one).record
        assert not record["is_shown"], one.name
        assert record["trials"] > 20 and record["p_value"] is not None


def test_an_edge_larger_than_the_fees_is_shown_on_both_parts(planted: Dataset) -> None:
    found = selected(planted)
    record = found.record
    assert record["is_shown"] and record["p_value"] is not None and record["p_value"] < 0.01
    assert record["level"] == 0.05 / 4 and record["deflated_sharpe"] is not None and record["deflated_sharpe"] > 0.95
    for part in (record["validation"], record["holdout"]):
        assert part["over_holding_pct"] > 50 and part["return_pct"] > 50 and part["trades"] > 100
        assert part["lower_pct"] is not None and part["lower_pct"] > 0
        assert part["break_even_fee_pct"] is not None and part["break_even_fee_pct"] > 0.1
    # ... and not by a rule that the fees eat.
    dear = selected(planted, fee=0.02).record
    assert not dear["is_shown"]


def test_thresholds_and_validation_do_not_depend_on_the_holdout(planted: Dataset) -> None:
    found = selected(planted)
    start = int(len(planted) * 0.8) + 2
    moved = planted.candles.copy()
    moved[start:, :4] *= np.linspace(1, 3, len(moved) - start)[:, None]
    other = selected(replace(planted, candles=moved))
    same = ("buy", "sell", "p_value", "deflated_sharpe", "trials", "validation", "units")
    assert {name: found.record[name] for name in same} == {name: other.record[name] for name in same}  # type: ignore[literal-required]
    assert found.record["holdout"] != other.record["holdout"]


def test_a_selection_is_the_same_each_time(planted: Dataset) -> None:
    first, second = selected(planted), selected(planted)
    assert first.record == second.record
    assert first.holdout.trades == second.holdout.trades and first.holdout.equity == second.holdout.equity


def test_rows_of_a_part_are_those_of_its_ledger(planted: Dataset) -> None:
    part = selected(planted).holdout
    ledger, times = part.ledger, part.part.open_time_ms
    assert len(part.trades) == len(ledger.trades)
    closed = [row for row in part.trades if row["exit_time"]]
    assert sum(row["pnl"] for row in part.trades) == pytest.approx(ledger.equity[-1] - CASH)
    assert closed[-1]["balance"] == pytest.approx(CASH + sum(row["pnl"] for row in closed))
    assert part.equity[-1]["equity"] == pytest.approx(ledger.equity[-1] / CASH)
    assert len(part.equity) == len(np.unique(times // 86_400_000))
    assert part.figures["return_pct"] == pytest.approx(100 * (part.equity[-1]["equity"] - 1))
    assert part.equity[-1]["gross"] > part.equity[-1]["equity"]


def test_each_kind_of_signal_is_traded(planted: Dataset) -> None:
    dataset = with_all_kinds(planted)
    cases = {
        "next_candle": make_case(),
        "highlow2": make_case(model="logistic", target="highlow2", close=None),
        "trade": make_case(model="logistic", target="trade", close=None),
    }
    forecasts = {name: CaseForecasts.of(case, dataset) for name, case in cases.items()}
    kinds = [
        signal(sources=[{"target": "highlow2"}]),
        signal(sources=[{"target": "trade"}], combine="relative"),
        signal(sources=[{}, {"target": "trade", "weight": 2.0}], smooth="mean", span=2),
        signal(rule="two_scores", second=[{"target": "trade"}]),
        signal(sources=[{"quantity": "range"}], grid={"buy": [0.1, 0.3], "sell": [-0.3, -0.1]}),
        signal(horizon=5, grid={"quantiles": [0.6, 0.9]}),
        signal(sizing={"kind": "volatility", "target_volatility": 0.5, "span": 24}, grid={"quantiles": [0.6, 0.9]}),
        signal(sizing={"kind": "confidence", "amount": 1.0}, grid={"quantiles": [0.6, 0.9]}),
        signal(stops=2.0, long_only=True),
    ]
    for one in kinds:
        used = [forecasts[source.target] for source in one.all_sources]
        record = select_rule(Trader(one, Costs.flat(0.001, 0.0002)), used, REPORTS).record
        assert record["holdout"]["candles"] > 500, one
        scores = score_history(one, used).scores.score
        assert np.isnan(scores[: int(len(dataset) * 0.6) - 60]).all()
        known = scores[np.isfinite(scores)]
        assert len(known) > 1000 and np.abs(known).max() <= 1


def test_keys_of_a_trader_tell_signals_and_costs_apart() -> None:
    keys = {
        Trader(one, Costs.flat(fee, slippage)).key
        for one in (signal(), signal(long_only=True))
        for fee in (0.001, 0.002)
        for slippage in (0.0, 0.001)
    }
    assert len(keys) == 8


def test_scores_that_do_not_differ_leave_no_choice(null: Dataset) -> None:
    with pytest.raises(CaseError, match="the scores do not differ"):
        selected(null, case=make_case(close=None))


def test_with_slippage_the_curve_before_fees_leads_to_the_one_after_them(planted: Dataset) -> None:
    """What the fee slider of the page Trading relies on."""
    part = select_rule(Trader(signal(), Costs.flat(0.001, 0.0005)), [CaseForecasts.of(make_case(), planted)], REPORTS)
    np.testing.assert_allclose(equity_at_fee(part.holdout.gross, 0.001)[-1], part.holdout.ledger.equity[-1], rtol=1e-9)
    assert sum(row["slippage"] for row in part.holdout.trades) > 0
