"""Ensembles: the mean of the best cases, evaluated, saved and served as one case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from ml.evaluation.evaluate import evaluate, fit_and_evaluate, fit_rows
from ml.evaluation.preparation import prepare
from ml.evaluation.walk_forward import folds_of
from ml.execution.chunks import run_case
from ml.execution.ensembles import comparable_cases, ensembles
from ml.execution.results import result_path, write_results
from ml.forecasting.model_store import load_model, save_model
from ml.metrics.conformal import BandScores
from ml.promotion.review import walk_review
from ml.promotion.settings import PromotionSettings
from ml.search.cases import TestCase, WalkForward, ensemble_of
from ml.store import Store
from tests.synthetic import make_case, make_dataset

DATASET = make_dataset(1500)
LINEAR = make_case(features=("range_6", "return_1"), params={"alpha": 3.0}, weights="inverse_scale")
TREES = make_case(model="lightgbm", features=("range_24", "range_6"), params={"trees": 5}, lags=2, train_rows=400)
BOTH = ensemble_of([LINEAR, TREES])


def test_its_forecast_is_the_mean_of_its_members_fitted_on_its_rows() -> None:
    evaluation, prepared, ensemble = fit_and_evaluate(BOTH, DATASET)
    rows = prepared.rows("validation")
    (fold,) = folds_of(prepared)
    alone = [
        fit_rows(own, own.learnt(fold.train)).predict(own.windows_at(rows))
        for own in (prepare(member, DATASET) for member in (LINEAR, TREES))
    ]
    mean = np.mean(alone, axis=0)
    found = ensemble.predict(prepared.windows_at(rows))
    np.testing.assert_allclose(found[:, 2], mean[:, 2], rtol=1e-9)
    assert evaluation.metrics["rmse_pct"] == pytest.approx(prepared.scorer.error(found, rows), rel=1e-12)
    assert evaluation.n_validation == len(rows)
    # Seldom does coherence change the mean of coherent candles.
    assert np.isclose(found, mean, rtol=1e-9).all(axis=1).mean() > 0.99


def test_it_is_one_case_whatever_the_order_and_names_of_its_members() -> None:
    other = ensemble_of([TREES.model_copy(update={"feature_set": "x"}), LINEAR])
    assert other.key == BOTH.key
    assert TestCase(**BOTH.content()).key == BOTH.key
    assert TestCase.model_validate_json(BOTH.model_dump_json()).key == BOTH.key
    assert BOTH.features == ("range_24", "range_6", "return_1") and BOTH.lags == 2
    assert ensemble_of([LINEAR, TREES.model_copy(update={"lags": 1})]).key != BOTH.key


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ([LINEAR, LINEAR], "needs 2 different members"),
        ([LINEAR, TREES.model_copy(update={"train_fraction": 0.5})], "have the same series"),
        ([LINEAR, make_case(model="last_candle")], "last_candle does not"),
        ([LINEAR, BOTH], "ensemble does not"),
    ],
)
def test_what_cannot_be_averaged_is_no_ensemble(members: list[TestCase], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        ensemble_of(members)


def test_a_model_without_members_and_members_without_their_model_are_refused() -> None:
    with pytest.raises(ValidationError, match="needs 2 different members"):
        make_case(model="ensemble")
    with pytest.raises(ValidationError, match="ridge has no members"):
        make_case(members=(LINEAR, TREES))


def test_a_saved_one_forecasts_what_it_forecast(tmp_path: Path) -> None:
    _, prepared, ensemble = fit_and_evaluate(BOTH, DATASET)
    save_model(Store(tmp_path), "m", BOTH, ensemble, BandScores(np.zeros(60), None), {})
    case, loaded, _ = load_model(Store(tmp_path), "m")
    window = prepared.windows_at(np.array([1300, 1301]))
    assert case.key == BOTH.key
    np.testing.assert_array_equal(loaded.predict(window), ensemble.predict(window))


def test_its_members_are_the_best_case_of_each_model_on_the_dataset(tmp_path: Path) -> None:
    store, dataset = Store(tmp_path), make_dataset(1500)
    worse = make_case(features=("range_24",), params={"alpha": 1000.0})
    first_version = LINEAR.model_copy(update={"evaluation": None})
    rows = [run_case(case, dataset, "host:1:2.00", "v") for case in (worse, LINEAR, TREES, BOTH, first_version)]
    forged = {**rows[0], "case_json": "{", "case_key": "f" * 16, "skill": 9.0}
    write_results(store, result_path(dataset.id, "c1"), [*rows, forged])
    tested = comparable_cases(store, dataset.id)
    skill = {row["case_key"]: row["skill"] for row in rows}
    ordered = sorted((worse, LINEAR, TREES), key=lambda case: -skill[case.key])
    assert [case.key for _, _, case in tested] == [case.key for case in ordered]
    best = next(case for case in ordered if case.model == "ridge")
    found, missing = ensembles(
        [["ridge", "lightgbm"], ["lstm", "ridge"], [worse.key, LINEAR.key], ["ridge", best.key]], tested
    )
    assert [one.key for one in found] == [ensemble_of([best, TREES]).key, ensemble_of([worse, LINEAR]).key]
    assert missing == ["lstm"]


def test_its_result_is_reproduced() -> None:
    one, other = evaluate(BOTH, DATASET), evaluate(BOTH, DATASET)
    assert one.metrics == pytest.approx(other.metrics, rel=1e-9)


def test_a_changed_one_has_changed_members_so_that_it_can_be_reviewed() -> None:
    walking = BOTH.changed(walk_forward=WalkForward(refit_every=100))
    assert {one.walk_forward for one in walking.members or ()} == {WalkForward(refit_every=100)}
    evaluation = evaluate(walking, DATASET)
    assert evaluation.window_metrics is not None and len(evaluation.window_metrics) == 3
    review = walk_review(BOTH, DATASET, 0, PromotionSettings(review_days=20, review_refit_days=10))
    assert review.rows > 400
    assert LINEAR.changed(lags=2).key == make_case(**{**LINEAR.model_dump(), "lags": 2}).key
