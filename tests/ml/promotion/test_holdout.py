"""The sealed holdout: opened once, and only rows that no earlier opening of the series saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.data.datasets import Dataset
from ml.evaluation.evaluate import fit_and_evaluate, fit_rows
from ml.evaluation.preparation import PreparedCase, prepare
from ml.forecasting.model_store import save_model
from ml.metrics.conformal import BandScores
from ml.promotion import gate
from ml.promotion.gate import decide_promotion
from ml.promotion.holdout import errors_with_incumbent, fresh_rows, target_times_ms
from ml.promotion.rules import PromotionContext
from ml.store import Store
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
    _, prepared, ensemble = fit_and_evaluate(GOOD, market)
    rows = np.arange(4000, 4199)
    assert verdict.holdout is not None
    expected = prepared.scorer.error(ensemble.predict(prepared.windows_at(rows)), rows)
    assert verdict.holdout["rmse_pct"] == pytest.approx(expected, rel=1e-12)


def test_the_incumbent_is_its_frozen_model_unless_that_has_learnt_from_the_rows(
    tmp_path: Path, market: Dataset, prepared: PreparedCase
) -> None:
    store, rows = Store(tmp_path), prepared.rows("holdout")
    challenger = fit_rows(prepared, prepared.rows("train"))
    theirs = prepare(WORSE, market)
    # A frozen model that cannot be taken for its refit: it learnt from a handful of rows.
    odd = fit_rows(theirs, theirs.rows("train")[:50])
    first_ms = int(target_times_ms(prepared, rows)[0])
    for name, through_ms in (("clean", first_ms - 1), ("tainted", first_ms)):
        save_model(store, name, WORSE, odd, BandScores(np.zeros(60), None), {"trained_through_ms": through_ms})

    def error_of(ensemble: object) -> float:
        return prepared.scorer.error(ensemble.predict(theirs.windows_at(rows)), rows)  # type: ignore[attr-defined]

    def beside(frozen: str | None) -> tuple[float, float]:
        errors = errors_with_incumbent(store, prepared, challenger, WORSE, frozen, rows)
        assert errors is not None
        return errors

    refitted = error_of(fit_rows(theirs, theirs.rows("train")))
    assert beside("clean")[1] == pytest.approx(error_of(odd), rel=1e-12)
    assert error_of(odd) != pytest.approx(refitted, rel=1e-3)
    for frozen in ("tainted", "gone", None):
        assert beside(frozen)[1] == pytest.approx(refitted, rel=1e-12)
    assert beside("clean")[0] == pytest.approx(
        prepared.scorer.error(challenger.predict(prepared.windows_at(rows)), rows), rel=1e-12
    )


def test_an_incumbent_that_cannot_be_evaluated_any_more_defends_nothing(
    tmp_path: Path, market: Dataset, prepared: PreparedCase
) -> None:
    gone = WORSE.model_copy(update={"features": ("moon_phase",)})
    challenger = fit_rows(prepared, prepared.rows("train"))
    assert errors_with_incumbent(Store(tmp_path), prepared, challenger, gone, None, prepared.rows("holdout")) is None


def test_a_challenger_that_is_worse_than_the_incumbent_on_the_fresh_rows_is_refused(
    tmp_path: Path, market: Dataset
) -> None:
    store, rows = Store(tmp_path), prepare(GOOD, market).rows("holdout")
    # The incumbent's frozen model has learnt from the very rows it is compared on, which its card denies.
    theirs = prepare(GOOD, market)
    save_model(store, "oracle", GOOD, fit_rows(theirs, rows), BandScores(np.zeros(60), None), {"trained_through_ms": 0})
    champion = result(WORSE, market, store) | {"case_json": GOOD.model_dump_json()}
    context = PromotionContext(frozen_model_id="oracle")
    verdict = decide_promotion(store, market, result(GOOD, market, store), champion, REAL, context)
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
