"""Weights of train rows: the inverse of the scale, for every family that takes them, wherever a case is fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from ml.evaluation.evaluate import evaluate, fit_rows
from ml.evaluation.forecaster import Scaler, fit_ensemble
from ml.evaluation.preparation import prepare
from ml.forecasting.model_store import load_model
from ml.models import MODELS
from ml.promotion.gate import decide_promotion
from ml.search.case_ranges import enumerate_cases
from ml.search.cases import TestCase
from ml.search.spaces import SearchSpace
from ml.store import Store
from tests.synthetic import CATALOGUE, SERIES, make_case, make_dataset, make_space
from tests.trials import REAL, market_with_edge, result

SMALL = {"trees": 10}
WEIGHTED = sorted(name for name, family in MODELS.items() if family.takes_weights)


def weighted(model: str = "ridge", **changes: object) -> TestCase:
    params = SMALL if MODELS[model].kind == "tree" else {}
    return make_case(model=model, params=params, weights="inverse_scale", **changes)


def test_the_weights_are_the_inverse_of_the_scale_with_the_mean_1() -> None:
    prepared = prepare(weighted(), make_dataset(1000))
    rows = prepared.rows("train")
    weights = prepared.weights_at(rows)
    assert weights is not None
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(weights * prepared.scale[rows], (weights * prepared.scale[rows])[0])
    assert prepare(make_case(), make_dataset(1000)).weights_at(rows) is None


def test_a_weighted_ridge_solves_the_weighted_normal_equations() -> None:
    prepared = prepare(weighted(), make_dataset(1000))
    rows = prepared.rows("train")
    (member,) = fit_rows(prepared, rows).members
    inputs = prepared.windows_at(rows)
    table = np.column_stack([Scaler.of(inputs).transform(inputs)[:, 0, :].astype(np.float64), np.ones(len(rows))])
    weights = 1 / prepared.scale[rows]
    weights /= weights.mean()
    penalty = np.diag([1e-3 * len(rows)] * (table.shape[1] - 1) + [0])
    solved = np.linalg.solve((table.T * weights) @ table + penalty, (table.T * weights) @ prepared.labels[rows])
    np.testing.assert_allclose(member.predict(inputs), table @ solved, atol=1e-9)


@pytest.mark.parametrize("model", WEIGHTED)
def test_a_family_follows_the_rows_with_large_weights(model: str) -> None:
    """Rows of two kinds with the same inputs and opposite labels: the forecast has the sign of the heavier ones."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(800, 1, 3)).astype(np.float32)
    sign = np.where(np.arange(800) % 2 == 0, 1.0, -1.0)
    labels = np.outer(sign, [0.02, 0.02, 0.02]) + random.normal(0, 0.001, (800, 3))
    for heavier in (1.0, -1.0):
        weights = np.where(sign == heavier, 1.8, 0.2)
        forecaster = fit_ensemble(weighted(model), inputs, labels, weights)
        mean = np.mean([member.predict(inputs) for member in forecaster.members])
        # Huber's loss is between the mean, 0.8 x 0.02, and the median, 0.02.
        assert 0.012 < mean * heavier < 0.0205, model


@pytest.mark.parametrize("model", WEIGHTED)
def test_weights_change_the_evaluation(model: str) -> None:
    dataset = make_dataset(1500)
    case = weighted(model)
    plain = TestCase(**{**case.model_dump(), "weights": None})
    assert evaluate(case, dataset).metrics["rmse_pct"] != evaluate(plain, dataset).metrics["rmse_pct"]


def test_a_champion_is_refitted_with_its_weights(tmp_path: Path) -> None:
    market, store = market_with_edge(), Store(tmp_path)
    case = weighted()
    verdict = decide_promotion(store, market, result(case, market, store), None, REAL)
    assert verdict.decision == "promoted", verdict.reason
    _, served, _ = load_model(store, str(verdict.model_id))
    prepared = prepare(case, market)
    rows = np.flatnonzero(prepared.usable)
    window = prepared.windows_at(rows)
    np.testing.assert_array_equal(served.predict(window), fit_rows(prepared, rows).predict(window))


def test_weights_are_a_choice_of_a_search_space() -> None:
    cases = list(enumerate_cases([make_space(weights=["equal", "inverse_scale"])], [SERIES], CATALOGUE))
    assert [case.weights for case in cases] == [None, "inverse_scale"]
    assert "weights" not in cases[0].content()
    assert list(enumerate_cases([make_space()], [SERIES], CATALOGUE)) == cases[:1]


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "k_nearest"},
        {"model": "lstm", "seeds": (0, 1, 2)},
        {"target": "horizon_summary_30"},
    ],
    ids=["neighbours", "network", "another target"],
)
def test_weights_that_cannot_be_taken_are_refused_with_the_models_that_take_them(changes: dict[str, object]) -> None:
    message = "Weights are for next_candle and: elastic_net, extra_trees, .*, ridge"
    with pytest.raises(ValidationError, match=message):
        make_space(**changes, weights="inverse_scale")
    with pytest.raises(ValidationError, match=message):
        make_case(**changes, weights="inverse_scale")
    assert make_space(**changes, weights="equal").weights == SearchSpace.model_fields["weights"].default
