"""Every family of the registry: what is loaded predicts what was saved."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.data.datasets import windows
from ml.errors import CaseError
from ml.models import ENSEMBLE, MODELS
from ml.models.base import Floats, Inputs
from tests.synthetic import make_dataset

pytestmark = [
    pytest.mark.usefixtures("keras_on_cpu"),
    # Keras saves TensorFlow variables by numpy.array, for which they lack the keyword of NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
#: Keeps the test short; families that are not named here take their defaults.
SMALL = {
    "lightgbm": {"trees": 10, "leaves": 4},
    "hist_gradient_boosting": {"trees": 10, "leaves": 4},
    "random_forest": {"trees": 5},
    "extra_trees": {"trees": 5},
    "mlp": {"units": 3, "epochs": 2},
    "lstm": {"units": 3, "epochs": 2},
    "gru": {"units": 3, "epochs": 2},
    "temporal_cnn": {"units": 3, "depth": 1, "epochs": 2},
    "multi_horizon_lstm": {"units": 3, "epochs": 2},
    "chart_cnn": {"units": 2, "depth": 1, "epochs": 1},
    "chart_image_cnn": {"units": 4, "depth": 1, "epochs": 1},
}
#: What predicts the same for every row.
CONSTANT = ("train_mean", "class_prior")


def learnable(kind: str, name: str) -> tuple[Inputs, Floats]:
    """400 windows, as the family asks for, and labels of a kind of target that follow them."""
    random = np.random.default_rng(0)
    if MODELS[name].inputs == "candles":
        dataset = make_dataset(403)
        return windows(dataset.candles.astype(np.float32), 3)[:400], dataset.labels[2:402]
    inputs = random.normal(size=(400, 3, 4)).astype(np.float32)
    moves = inputs[:, 0, :3].astype(np.float64) + random.normal(0, 0.3, (400, 3))
    if kind == "path":
        moves = np.cumsum(np.repeat(moves, 7, axis=1), axis=1)
    labels = {
        "candle": 0.01 * moves,
        "path": 0.01 * moves,
        "summary": 3 * moves,
        "classes": np.digitize(moves[:, :1], [-0.5, 0.5]) - 1.0,
        "events": np.where(moves[:, :2] > 0, 1.0, 0.0),
    }
    return inputs, labels[kind]


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in sorted(MODELS) if name != ENSEMBLE for kind in sorted(MODELS[name].kinds)],
)
def test_a_loaded_model_predicts_what_the_saved_one_did(name: str, kind: str, tmp_path: Path) -> None:
    inputs, labels = learnable(kind, name)
    model = MODELS[name].build(SMALL.get(name, {}), 5)
    model.fit(inputs, labels)
    model.save(tmp_path)
    loaded = MODELS[name].build(SMALL.get(name, {}), 5)
    loaded.load(tmp_path)
    predicted = model.predict(inputs)
    assert predicted.shape == (400, 3 if kind == "classes" else labels.shape[1])
    assert (np.ptp(predicted, axis=0).max() > 0) == (name not in CONSTANT)
    np.testing.assert_allclose(loaded.predict(inputs), predicted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("width", [1, 7])
@pytest.mark.parametrize(
    "name",
    sorted(name for name, family in MODELS.items() if "summary" in family.kinds and family.inputs == "features"),
)
def test_regressors_learn_labels_of_any_width(name: str, width: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(400, 1, 2)).astype(np.float32)
    labels = 0.01 * inputs[:, 0, :1] + 0.02 * np.arange(width) + random.normal(0, 0.001, (400, width))
    model = MODELS[name].build(SMALL.get(name, {}), 5)
    model.fit(inputs, labels)
    predicted = model.predict(inputs)
    assert predicted.shape == (400, width)
    # The labels lie 0.02 apart: each forecast belongs to its own one, also that of a network after two epochs.
    np.testing.assert_allclose(predicted.mean(axis=0), labels.mean(axis=0), atol=0.009)
    model.save(tmp_path)
    loaded = MODELS[name].build(SMALL.get(name, {}), 5)
    loaded.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(inputs), predicted)


@pytest.mark.parametrize(("params", "named"), [({"alpah": 1.0}, "alpah"), ({"seed": 1}, "seed")])
def test_a_parameter_that_a_family_does_not_have_is_refused_with_those_it_has(
    params: dict[str, float], named: str
) -> None:
    with pytest.raises(CaseError, match=rf"ElasticNetModel has no parameter '{named}'\..* It takes: alpha, l1_ratio\."):
        MODELS["elastic_net"].build(params, 0)


def test_a_loaded_network_is_refitted_for_as_many_epochs_as_were_best(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(100, 2, 2)).astype(np.float32)
    model = MODELS["lstm"].build({"units": 2, "epochs": 1}, 0)
    model.fit(inputs, random.normal(0, 0.01, (100, 3)))
    model.save(tmp_path)
    loaded, served = MODELS["lstm"].build({}, 0), MODELS["lstm"].build({}, 0)
    loaded.load(tmp_path)
    served.refit_like(loaded)
    assert (served.epochs, served.patience) == (1, None)  # type: ignore[attr-defined]


def _taken(make: Any) -> dict[str, Any]:
    """Name -> default of what a class or function takes; one that hands on ``**settings`` also what its parent does."""
    own = inspect.signature(make).parameters
    named = {name: one.default for name, one in own.items() if one.kind is not inspect.Parameter.VAR_KEYWORD}
    return named if len(named) == len(own) else _taken(make.__base__) | named


def test_the_registry_knows_the_parameters_of_every_family_with_their_defaults() -> None:
    """They stand in `ml.models.parameters`, so that a case can be checked without loading its library."""
    for name, family in MODELS.items():
        if name == ENSEMBLE:
            continue
        module, _, made = family.place.partition(":")
        taken = _taken(getattr(importlib.import_module(f"ml.models.{module}"), made))
        assert ("seed" in taken) == family.takes_seed, name
        taken.pop("seed", None)
        assert taken.keys() == family.parameters.model_fields.keys(), name
        if family.kind != "neural":  # networks share a class, with other defaults for each
            assert taken == family.parameters().model_dump(), name
