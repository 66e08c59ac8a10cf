"""Every family of classifiers: probabilities, a planted rule learnt, and survival of awkward rows."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml.errors import CaseError
from ml.models import MODELS
from ml.models.base import Floats, Inputs
from ml.models.classifiers import Classes, ScikitClassifier
from tests.ml.models.planted import followed_moves, moves
from tests.recorded import recorded_dataset

NAMES = sorted(name for name, family in MODELS.items() if "classes" in family.kinds)
LEARNING = [name for name in NAMES if name != "class_prior"]
#: Those that would be too sure of themselves.
CALIBRATED = ("naive_bayes", "quadratic_discriminant", "ada_boost")
#: Keeps the tests short; families that are not named here take their defaults.
SMALL: dict[str, dict[str, Any]] = {
    "random_forest_classifier": {"trees": 15},
    "gradient_boosting_classifier": {"trees": 15},
    "hist_gradient_boosting_classifier": {"trees": 15},
    "lightgbm_classifier": {"trees": 25, "minimal_rows_in_leaf": 30},
    "ada_boost": {"trees": 15},
    "rbf_svm_nystroem": {"landmarks": 50},
}


@cache
def simulated() -> tuple[Inputs, Floats, Floats]:
    return followed_moves()


def build(name: str, seed: int = 0) -> ScikitClassifier:
    model = MODELS[name].build(SMALL.get(name, {}), seed)
    assert isinstance(model, ScikitClassifier)
    return model


def fitted(name: str, inputs: Inputs, labels: Floats, seed: int = 0) -> ScikitClassifier:
    model = build(name, seed)
    model.fit(inputs, labels)
    return model


def check_probabilities(probabilities: Floats, rows: int, classes: int) -> None:
    assert (probabilities.shape, probabilities.dtype) == ((rows, classes), np.float64)
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-9)


def log_loss(probabilities: Floats, truth: Floats, classes: Classes) -> float:
    chosen = probabilities[np.arange(len(truth)), np.searchsorted(classes, truth[:, 0])]
    return float(-np.log(np.maximum(chosen, 1e-15)).mean())


@pytest.mark.parametrize("name", LEARNING)
def test_classes_of_simulated_candles_are_learnt_clearly_better_than_the_majority(name: str) -> None:
    inputs, classes, _ = simulated()
    model = fitted(name, inputs[:1200], classes[:1200])
    probabilities = model.predict(inputs[1200:])
    assert model.classes.tolist() == [-1, 0, 1]
    check_probabilities(probabilities, len(inputs) - 1200, 3)
    truth = classes[1200:]
    found = model.classes[probabilities.argmax(axis=1)]
    majority = max((truth == one).mean() for one in model.classes)
    assert (found == truth[:, 0]).mean() > majority + 0.1
    prior = fitted("class_prior", inputs[:1200], classes[:1200]).predict(inputs[1200:])
    assert log_loss(probabilities, truth, model.classes) < log_loss(prior, truth, model.classes)


@pytest.mark.parametrize("name", CALIBRATED)
def test_calibration_lowers_the_loss_of_those_that_are_too_sure_and_can_be_left_out(name: str) -> None:
    inputs, classes, _ = simulated()
    losses = []
    for calibrated in (True, False):
        model = MODELS[name].build({"calibrated": calibrated}, 0)
        model.fit(inputs[:1200], classes[:1200])
        losses.append(log_loss(model.predict(inputs[1200:]), classes[1200:], np.array([-1, 0, 1])))
    assert losses[0] < losses[1]


@pytest.mark.parametrize("name", LEARNING)
def test_each_column_of_events_gets_its_own_probability_of_1(name: str) -> None:
    inputs, _, events = simulated()
    probabilities = fitted(name, inputs[:1200], events[:1200]).predict(inputs[1200:])
    assert probabilities.shape == (len(inputs) - 1200, 2)
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    right = (probabilities > 0.5) == (events[1200:] == 1)
    majority = np.maximum(events[1200:].mean(axis=0), 1 - events[1200:].mean(axis=0))
    assert (right.mean(axis=0) > majority + 0.1).all()


def test_the_prior_gives_the_shares_of_the_train_rows() -> None:
    inputs, classes, _ = simulated()
    shares = [(classes == one).mean() for one in (-1, 0, 1)]
    np.testing.assert_allclose(fitted("class_prior", inputs, classes).predict(inputs[:2]), [shares, shares])


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_bits(name: str) -> None:
    inputs, classes, _ = simulated()
    one, other = (fitted(name, inputs[:500], classes[:500], seed=7).predict(inputs) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["random_forest_classifier", "gradient_boosting_classifier", "rbf_svm_nystroem"])
def test_another_seed_gives_another_model(name: str) -> None:
    inputs, classes, _ = simulated()
    one, other = (fitted(name, inputs[:500], classes[:500], seed).predict(inputs) for seed in (1, 2))
    assert np.abs(one - other).max() > 0


@pytest.mark.parametrize("name", NAMES)
def test_one_class_is_refused_with_a_remedy(name: str) -> None:
    inputs, _, events = simulated()
    with pytest.raises(CaseError, match=r"All 500 train rows are of class 1.*Learn from more rows"):
        build(name).fit(inputs[:500], np.ones((500, 1)))
    never = np.column_stack([events[:500, 0], np.zeros(500)])
    with pytest.raises(CaseError, match="All 500 train rows are of class 0"):
        build(name).fit(inputs[:500], never)


@pytest.mark.parametrize("name", NAMES)
def test_constant_and_collinear_columns_and_far_inputs_leave_probabilities(name: str) -> None:
    inputs, classes, _ = simulated()
    constant = np.full_like(inputs[:, :, :1], 0.3)
    wide = np.concatenate([inputs, constant, inputs, inputs[:, :, :1] - 2 * inputs[:, :, 1:2]], axis=2)
    model = fitted(name, wide[:600], classes[:600])
    check_probabilities(model.predict(wide[600:]), len(wide) - 600, 3)
    # The constant moves, and everything else is as far out as inputs are let through.
    check_probabilities(model.predict(np.full_like(wide[:4], 8.0)), 4, 3)
    check_probabilities(model.predict(np.full_like(wide[:1], -8.0)), 1, 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_class_of_few_rows_late_in_the_train_rows_is_survived(name: str) -> None:
    inputs, classes, _ = simulated()
    rare = classes[:600].copy()
    rare[rare == 1] = 0
    rare[[570, 590]] = 2
    model = fitted(name, inputs[:600], rare)
    assert model.classes.tolist() == [-1, 0, 2]
    check_probabilities(model.predict(inputs[600:]), len(inputs) - 600, 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_class_that_the_train_rows_lack_has_a_column_of_zeros(name: str) -> None:
    inputs, classes, _ = simulated()
    evaluated = fitted(name, inputs[:500], classes[:500])
    served = build(name)
    served.refit_like(evaluated)
    without = classes[:500, 0] != 0
    served.fit(inputs[:500][without], classes[:500][without])
    assert served.classes.tolist() == [-1, 0, 1]
    probabilities = served.predict(inputs)
    check_probabilities(probabilities, len(inputs), 3)
    np.testing.assert_array_equal(probabilities[:, 1], 0)


@pytest.mark.parametrize("name", NAMES)
def test_each_trains_on_real_candles(candles_dir: Path, name: str) -> None:
    dataset = recorded_dataset(candles_dir / "binance" / "BTC-USDT" / "1h.parquet", "BTC/USDT")
    inputs, classes, events = (part[-2500:] for part in moves(dataset, lags=1))
    check_probabilities(fitted(name, inputs[:2000], classes[:2000]).predict(inputs[2000:]), 500, 3)
    probabilities = fitted(name, inputs[:2000], events[:2000]).predict(inputs[2000:])
    assert probabilities.shape == (500, 2)
    assert np.isfinite(probabilities).all()
    if name == "class_prior":
        return
    # Whether the range will be wide is what volatility's memory tells.
    areas = [roc_auc_score(events[2000:, k], probabilities[:, k]) for k in range(2)]
    assert min(areas) > 0.6


def crossed(rows: int = 600) -> tuple[Inputs, Floats]:
    """Class 1 where two columns have the same sign: no straight line tells."""
    inputs = np.random.default_rng(0).normal(size=(rows, 1, 2)).astype(np.float32)
    return inputs, (inputs[:, 0, :1] * inputs[:, 0, 1:] > 0).astype(np.float64)


@pytest.mark.parametrize(
    ("name", "least", "most"), [("linear_svm", 0.4, 0.6), ("rbf_svm", 0.9, 1), ("rbf_svm_nystroem", 0.9, 1)]
)
def test_the_exact_kernel_and_its_stand_in_learn_what_a_straight_line_cannot(
    name: str, least: float, most: float
) -> None:
    inputs, classes = crossed()
    probabilities = fitted(name, inputs[:400], classes[:400]).predict(inputs[400:])
    right = (probabilities[:, 1] > 0.5) == (classes[400:, 0] == 1)
    assert least <= right.mean() <= most


def test_the_exact_kernel_refuses_many_rows_and_names_its_stand_in() -> None:
    inputs, classes, _ = simulated()
    bounded = MODELS["rbf_svm"].build({"row_limit": 400}, 0)
    with pytest.raises(CaseError, match=r"500 train rows .* at most 400\. Use the model rbf_svm_nystroem"):
        bounded.fit(inputs[:500], classes[:500])
    bounded.fit(inputs[:400], classes[:400])
