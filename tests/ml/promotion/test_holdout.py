"""The sealed holdout: opened once, and only rows that no earlier opening of the series saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.data.datasets import Dataset
from ml.evaluation.evaluate import fit_rows
from ml.evaluation.preparation import PreparedCase, prepare
from ml.metrics.scorer import Rows
from ml.promotion import gate
from ml.promotion.gate import decide_promotion
from ml.promotion.holdout import errors_with_incumbent, fresh_rows, target_times_ms, walk_holdout
from ml.promotion.rules import PromotionContext
from ml.store import Store
from tests.synthetic import make_case
from tests.trials import GOOD, REAL, WORSE, market_with_edge, result


@pytest.fixture(scope="module")
def market() -> Dataset:
    return market_with_edge()


@pytest.fixture(scope="module")
def prepared(market: Dataset) -> PreparedCase:
    return prepare(GOOD, market)


def test_only_rows_whose_candle_no_opening_saw_are_fresh(market: Dataset, prepared: PreparedCase) -> None:
    rows = prepared.rows("holdout")
    assert list(fresh_rows(prepared, None)) == list(rows)
    seen_until = int(market.open_time_ms[4000])  # as the target of row 3999
    fresh = fresh_rows(prepared, seen_until)
    assert list(fresh) == list(range(4000, 4199))
    assert target_times_ms(prepared, fresh)[0] == market.open_time_ms[4001]


def test_the_next_opening_goes_on_where_the_last_one_ended_on_whatever_dataset(tmp_path: Path, market: Dataset) -> None:
    store = Store(tmp_path)
    first = decide_promotion(store, market, result(GOOD, market, store), None, REAL)
    assert first.holdout_span_ms is not None
    longer = market_with_edge(4400, "d2")
    context = PromotionContext(seen_until_ms=first.holdout_span_ms[1])
    second = decide_promotion(store, longer, result(GOOD, longer, store), None, REAL, context)
    assert second.holdout_span_ms == (longer.open_time_ms[4200], longer.open_time_ms[4399])
    assert second.holdout_rows == 200


def test_a_used_up_holdout_stays_shut_and_says_how_many_candles_are_missing(
    tmp_path: Path, market: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "open_holdout", lambda *_: pytest.fail("nothing may be opened"))
    context = PromotionContext(seen_until_ms=int(market.open_time_ms[4139]))
    store = Store(tmp_path)
    verdict = decide_promotion(store, market, result(GOOD, market, store), None, REAL, context)
    assert (verdict.decision, verdict.rule, verdict.holdout) == ("refused", "holdout_used_up", None)
    assert (
        "only 60 of its usable candles were never opened (the last one opened is of 2021-03-04T23:00)" in verdict.reason
    )
    assert "100 are needed; wait for 40 more" in verdict.reason
    assert store.list("models") == []


def test_figures_of_an_opening_are_those_of_the_fresh_rows_alone(tmp_path: Path, market: Dataset) -> None:
    store = Store(tmp_path)
    context = PromotionContext(seen_until_ms=int(market.open_time_ms[4000]))
    verdict = decide_promotion(store, market, result(GOOD, market, store), None, REAL, context)
    prepared = prepare(GOOD, market)
    rows = np.arange(4000, 4199)
    assert verdict.holdout is not None
    expected = served_error(prepared, prepared, rows)
    assert verdict.holdout["rmse_pct"] == pytest.approx(expected, rel=1e-12)


def served_error(scorer_of: PreparedCase, case: PreparedCase, rows: Rows) -> float:
    """The error of a case that is fitted on all labels known before the holdout, which is shorter than 180 days."""
    start = case.rows("holdout")[0]
    ensemble = fit_rows(case, case.learnt(np.flatnonzero(case.usable[: start - 1])))
    return scorer_of.scorer.error(ensemble.predict(case.windows_at(rows)), rows)


def test_the_incumbent_is_refitted_like_the_challenger_whatever_version_it_won_in(
    market: Dataset, prepared: PreparedCase
) -> None:
    rows, walk = prepared.rows("holdout")[50:], walk_holdout(prepared)
    for incumbent in (WORSE, WORSE.model_copy(update={"evaluation": None})):
        errors = errors_with_incumbent(prepared, walk, incumbent, rows)
        theirs = prepare(WORSE, market)
        assert errors == pytest.approx(
            (served_error(prepared, prepared, rows), served_error(prepared, theirs, rows)), rel=1e-12
        )


def test_an_incumbent_that_cannot_be_evaluated_any_more_defends_nothing(prepared: PreparedCase) -> None:
    gone = WORSE.model_copy(update={"features": ("moon_phase",)})
    assert errors_with_incumbent(prepared, walk_holdout(prepared), gone, prepared.rows("holdout")) is None


def test_the_holdout_is_refitted_every_180_days_from_labels_that_are_known(market: Dataset) -> None:
    halves = replace(market, timeframe_ms=24 * market.timeframe_ms, open_time_ms=24 * market.open_time_ms)
    prepared = prepare(GOOD, halves)
    walk = walk_holdout(prepared)
    np.testing.assert_array_equal(walk.rows, prepared.rows("holdout"))
    assert [len(fold.predict) for fold in walk.folds[:-1]] == [180] * (len(walk.folds) - 1)
    assert len(walk.folds) == 5
    for fold in walk.folds:
        assert fold.train[-1] == fold.baseline[-1] == fold.predict[0] - 2


def test_a_challenger_that_is_worse_than_the_incumbent_on_the_fresh_rows_is_refused(
    tmp_path: Path, market: Dataset
) -> None:
    store, challenger = Store(tmp_path), make_case(features=("range_24", "return_1"))
    # Better on the holdout than on validation, where it was worse.
    champion = result(WORSE, market, store) | {"case_json": GOOD.model_dump_json()}
    verdict = decide_promotion(store, market, result(challenger, market, store), champion, REAL)
    assert (verdict.decision, verdict.rule) == ("refused", "holdout_worse")
    assert "that of the champion ridge on the same candles" in verdict.reason
    assert verdict.holdout is not None
    assert verdict.model_id is None


def test_a_case_of_another_series_is_no_challenger_of_this_one(tmp_path: Path, market: Dataset) -> None:
    store = Store(tmp_path)
    other = replace(market, series=market.series.model_copy(update={"symbol": "ETH/USDT"}))
    verdict = decide_promotion(store, other, result(GOOD, market, store), None, REAL)
    assert (verdict.rule, verdict.holdout) == ("false_claim", None)
    assert "another series" in verdict.reason
