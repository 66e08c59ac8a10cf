"""Every family of the registry: what is loaded predicts what was saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml.models import MODELS

pytestmark = [
    pytest.mark.usefixtures("keras_on_cpu"),
    # Keras saves TensorFlow variables by numpy.array, for which they lack the keyword of NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
#: Keeps the test short; families that are not named here take their defaults.
SMALL = {
    "lightgbm": {"trees": 10, "leaves": 4},
    "hist_gradient_boosting": {"trees": 10, "leaves": 4},
    "mlp": {"units": 3, "epochs": 2},
    "lstm": {"units": 3, "epochs": 2},
    "gru": {"units": 3, "epochs": 2},
    "temporal_cnn": {"units": 3, "depth": 1, "epochs": 2},
    "multi_horizon_lstm": {"units": 3, "epochs": 2},
    "chart_cnn": {"units": 2, "depth": 1, "epochs": 1},
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_loaded_model_predicts_what_the_saved_one_did(name: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(400, 3, 4)).astype(np.float32)
    labels = 0.01 * inputs[:, 0, :3].astype(np.float64) + random.normal(0, 0.003, (400, 3))
    if MODELS[name].inputs == "candles":
        low, opens, close, high = np.moveaxis(np.sort(np.exp(0.01 * inputs), axis=2), 2, 0)
        inputs = np.stack([opens, high, low, close, np.ones_like(close)], axis=2)
    if MODELS[name].kinds == {"path"}:
        labels = np.cumsum(np.repeat(labels, 7, axis=1), axis=1)
    model = MODELS[name].build(SMALL.get(name, {}), 5)
    model.fit(inputs, labels)
    model.save(tmp_path)
    loaded = MODELS[name].build(SMALL.get(name, {}), 5)
    loaded.load(tmp_path)
    predicted = model.predict(inputs)
    assert predicted.shape == labels.shape
    assert predicted.std(axis=0).min() > 0
    np.testing.assert_allclose(loaded.predict(inputs), predicted, rtol=0, atol=1e-12)


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
