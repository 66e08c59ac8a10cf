"""Contributions: their sum is the forecast, the largest are listed, and families without them have none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ml.evaluation.evaluate import fit_and_evaluate
from ml.evaluation.forecaster import Ensemble, Member, Scaler
from ml.forecasting.contributions import LISTED, explain
from ml.forecasting.model_store import load_model, save_model
from ml.metrics.conformal import BandScores
from ml.models.linear import RidgeModel
from ml.records import Contributions
from ml.search.cases import EVALUATION, ensemble_of
from ml.store import Store
from tests.synthetic import FEATURES, make_case, make_dataset

NAMES = tuple(sorted(FEATURES))


def total(parts: Contributions) -> np.ndarray:
    """The sum [high, low, close] of all parts."""
    rest = (parts["others"], parts["base"], parts["coherence"])
    return np.sum([one["labels"] for one in parts["inputs"]] + list(rest), axis=0)


def linear(weights: np.ndarray, intercept: list[float]) -> RidgeModel:
    """A fitted model (3 labels) with these weights."""
    model = RidgeModel()
    model.weights, model.intercept = np.asarray(weights, float), np.array(intercept)
    return model


def standing(columns: int) -> Scaler:
    """A scaler that changes nothing."""
    return Scaler(np.zeros(columns), np.ones(columns))


@pytest.mark.parametrize("model", ["ridge", "elastic_net", "huber", "lightgbm"])
@pytest.mark.parametrize("lags", [1, 3])
def test_the_sum_is_the_forecast(tmp_path: Path, model: str, lags: int) -> None:
    params = {"trees": 10, "leaves": 4} if model == "lightgbm" else {}
    case = make_case(model=model, params=params, lags=lags, seeds=(1, 2))
    _, prepared, ensemble = fit_and_evaluate(case, make_dataset(1500))
    save_model(Store(tmp_path), "m", case, ensemble, BandScores(np.zeros(1), None), {})
    _, loaded, _ = load_model(Store(tmp_path), "m")
    for row in prepared.rows("validation")[:20]:
        window = prepared.windows_at(np.array([row]))
        parts = explain(loaded, window, NAMES)
        assert parts is not None
        np.testing.assert_allclose(total(parts), loaded.predict(window)[0], rtol=0, atol=1e-12)
        assert {one["column"]: one["value"] for one in parts["inputs"]} == dict(
            zip(NAMES, window[0, -1].tolist(), strict=True)
        )
        assert parts == json.loads(json.dumps(parts))


def test_the_largest_contributions_to_the_range_come_first_and_the_others_are_summed() -> None:
    # Contributions to high - low of the columns a..g: 1, -7, 3, 0, 5, -2, 4 hundredths; all of it in the high.
    high = np.array([1, -7, 3, 0, 5, -2, 4]) / 100
    weights = np.stack([high, np.zeros(7), np.full(7, 0.5)])
    ensemble = Ensemble((Member(standing(7), linear(weights, [0.1, -0.1, 0.0])),))
    parts = explain(ensemble, np.ones((1, 1, 7), np.float32), "abcdefg")
    assert parts is not None and len(parts["inputs"]) == LISTED
    assert [one["column"] for one in parts["inputs"]] == ["b", "e", "g", "c", "f"]
    assert parts["inputs"][0]["labels"] == pytest.approx([-0.07, 0, 0.5])
    assert parts["others"] == pytest.approx([0.01, 0, 1.0])
    assert parts["base"] == pytest.approx([0.1, -0.1, 0])
    # The close of 3.5 is above the high of .14, which is raised to it.
    assert parts["coherence"] == pytest.approx([3.5 - 0.14, 0, 0])


def test_a_window_is_summed_and_an_ensemble_is_a_mean() -> None:
    one = linear(np.array([[0.01, 0.02], [-0.01, -0.02], [0, 0]]), [0.0, 0.0, 0.0])
    other = linear(np.array([[0.03, 0.04], [-0.03, -0.04], [0, 0]]), [0.02, -0.02, 0.0])
    ensemble = Ensemble((Member(standing(1), one), Member(standing(1), other)))
    parts = explain(ensemble, np.array([[[1.0], [2.0]]], np.float32), ["a"])
    assert parts is not None
    # (.01 + 2 x .02 + .03 + 2 x .04) / 2
    assert parts["inputs"] == [{"column": "a", "value": 2.0, "labels": pytest.approx([0.08, -0.08, 0])}]
    assert parts["base"] == pytest.approx([0.01, -0.01, 0])
    assert parts["others"] == parts["coherence"] == [0, 0, 0]


def test_a_close_that_is_the_last_close_has_no_contributions() -> None:
    model = linear(np.array([[0.01], [-0.02], [0.04]]), [0.02, -0.02, 0.01])
    parts = explain(Ensemble((Member(standing(1), model),), keeps_close=True), np.ones((1, 1, 1), np.float32), ["a"])
    assert parts is not None
    assert parts["inputs"][0]["labels"] == pytest.approx([0.01, -0.02, 0])
    assert (parts["base"], parts["coherence"]) == ([0.02, -0.02, 0], [0, 0, 0])


@pytest.mark.parametrize("other", ["lightgbm", "k_nearest"])
def test_an_ensemble_case_is_the_mean_of_its_members_on_their_own_columns(other: str) -> None:
    evaluated = {"evaluation": EVALUATION}
    trees = {"params": {"trees": 10, "leaves": 4}} if other == "lightgbm" else {}
    members = [
        make_case(features=("range_6", "return_1"), lags=3, **evaluated),
        make_case(model=other, features=("range_24", "range_6"), close="learnt", **trees, **evaluated),
    ]
    case = ensemble_of(members)
    _, prepared, ensemble = fit_and_evaluate(case, make_dataset(1500))
    window = prepared.windows_at(prepared.rows("validation")[:1])
    parts = explain(ensemble, window, case.input_columns)
    if other == "k_nearest":
        assert parts is None
        return
    assert parts is not None
    np.testing.assert_allclose(total(parts), ensemble.predict(window)[0], rtol=0, atol=1e-12)
    assert {one["column"] for one in parts["inputs"]} == set(case.input_columns)


def test_a_family_without_contributions_has_none() -> None:
    case = make_case(model="k_nearest")
    _, prepared, ensemble = fit_and_evaluate(case, make_dataset(1000))
    assert explain(ensemble, prepared.windows_at(prepared.rows("validation")[:1]), NAMES) is None
