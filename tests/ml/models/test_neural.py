"""The LSTM: seeded, stopped early on train rows only, refitted as it was judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ml.models.base import Floats, Inputs

pytestmark = pytest.mark.usefixtures("keras_on_cpu")
LAGS = 3


def lag_one(rows: int, seed: int = 0) -> tuple[Inputs, Floats]:
    """Labels that repeat the value one row before the latest, in the size of a candle's moves."""
    values = np.random.default_rng(seed).normal(size=rows + LAGS - 1).astype(np.float32)
    inputs = np.lib.stride_tricks.sliding_window_view(values, LAGS)[:, :, None].copy()
    close = 0.01 * inputs[:, -2, 0].astype(np.float64)
    return inputs, np.column_stack([close + 0.02, close - 0.02, close])


def test_it_learns_y_equal_lag_1_and_equal_seeds_give_equal_bits() -> None:
    from ml.models.neural import LSTMModel  # noqa: PLC0415

    inputs, labels = lag_one(600)
    fresh, truth = lag_one(200, seed=1)
    outputs = []
    for _ in range(2):
        model = LSTMModel(seed=3, units=8, learning_rate=0.03, batch_size=32, epochs=10)
        model.fit(inputs, labels)
        outputs.append(model.predict(fresh))
    np.testing.assert_array_equal(*outputs)
    # The deviation of the labels is 0.01: nine tenths of it are explained.
    assert np.sqrt(np.square(outputs[0] - truth).mean(axis=0)).max() < 0.001


def test_it_stops_on_the_latest_train_rows_and_is_refitted_on_all_of_them_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import keras  # noqa: PLC0415

    from ml.models.neural import LSTMModel  # noqa: PLC0415

    fits: list[dict[str, Any]] = []
    histories: list[dict[str, list[float]]] = []
    original = keras.Model.fit

    def watched(self: Any, x: Any, y: Any, **settings: Any) -> Any:
        fits.append({"x": x, "y": y, **settings})
        history = original(self, x, y, **settings)
        histories.append(history.history)
        return history

    monkeypatch.setattr(keras.Model, "fit", watched)
    # Noise: the best epoch comes early, so that training ends before its 30 epochs.
    random = np.random.default_rng(0)
    inputs = random.normal(size=(200, LAGS, 2)).astype(np.float32)
    labels = random.normal(0, 0.01, (200, 3))
    judged = LSTMModel(seed=1, units=4, learning_rate=0.05, batch_size=32, epochs=30, patience=2)
    judged.fit(inputs, labels)
    # The last tenth of the rows that were given stops the training, and nothing else.
    held_x, held_y = fits[0]["validation_data"]
    np.testing.assert_array_equal(np.concatenate([fits[0]["x"], held_x]), inputs)
    assert (len(fits[0]["x"]), len(held_x)) == (180, 20)
    standardised = (labels - labels.mean(axis=0)) / labels.std(axis=0)
    np.testing.assert_allclose(np.concatenate([fits[0]["y"], held_y]), standardised, atol=1e-6)
    losses = histories[0]["val_loss"]
    best = losses.index(min(losses)) + 1
    assert judged.epochs == best == len(losses) - 2 < 28
    # What is kept are the weights of the best epoch, not those of the last.
    kept = (judged.predict(inputs[180:]) - labels.mean(axis=0)) / labels.std(axis=0)
    assert np.square(kept - standardised[180:]).mean() == pytest.approx(min(losses), rel=1e-5)

    served = LSTMModel(seed=1, units=4, learning_rate=0.05, batch_size=32, epochs=30, patience=2)
    served.refit_like(judged)
    served.fit(inputs, labels)
    assert (fits[1]["epochs"], len(fits[1]["x"]), "validation_data" in fits[1]) == (best, 200, False)


def test_a_label_that_never_moves_is_given_to_the_network_as_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    from ml.models.neural import LSTMModel  # noqa: PLC0415

    given: list[Floats] = []

    class Listener:
        def fit(self, x: Inputs, y: Floats, **settings: Any) -> Any:
            given.append(y)
            return type("History", (), {"history": {"val_loss": [1.0]}})

    monkeypatch.setattr(LSTMModel, "_build", lambda self, lags, columns: Listener())
    inputs, labels = lag_one(100)
    labels[:, 1] = -0.01
    LSTMModel().fit(inputs, labels)
    assert np.isfinite(given[0]).all()
    np.testing.assert_allclose(given[0][:, 1], 0, atol=1e-6)
