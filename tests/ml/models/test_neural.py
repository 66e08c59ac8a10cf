"""Neural models: seeded, stopped early on train rows only, refitted as they were evaluated, grouped where it pays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ml.errors import CaseError
from ml.models import MODELS
from ml.models.base import Floats, Inputs, fit_many

pytestmark = pytest.mark.usefixtures("keras_on_cpu")
LAGS = 3


def lag_one(rows: int, seed: int = 0) -> tuple[Inputs, Floats]:
    """Labels that repeat the value one row before the latest, in the size of a candle's moves."""
    values = np.random.default_rng(seed).normal(size=rows + LAGS - 1).astype(np.float32)
    inputs = np.lib.stride_tricks.sliding_window_view(values, LAGS)[:, :, None].copy()
    close = 0.01 * inputs[:, -2, 0].astype(np.float64)
    return inputs, np.column_stack([close + 0.02, close - 0.02, close])


@pytest.mark.parametrize("name", ["mlp", "lstm", "gru", "temporal_cnn"])
def test_a_network_learns_y_equal_lag_1_and_equal_seeds_give_equal_bits(name: str) -> None:
    inputs, labels = lag_one(600)
    fresh, truth = lag_one(200, seed=1)
    outputs = []
    for _ in range(2):
        params = {"units": 8, "depth": 1, "learning_rate": 0.03, "batch_size": 32, "epochs": 12}
        model = MODELS[name].build(params, 3)
        model.fit(inputs, labels)
        outputs.append(model.predict(fresh))
    np.testing.assert_array_equal(*outputs)
    # The deviation of the labels is 0.01: nine tenths of it are explained.
    assert np.sqrt(np.square(outputs[0] - truth).mean(axis=0)).max() < 0.001


def test_a_network_stops_on_the_latest_train_rows_and_is_refitted_on_all_rows_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ml.models.neural import LSTMModel  # noqa: PLC0415
    from ml.networks import training  # noqa: PLC0415

    epochs_of_rows: list[set[int]] = []
    losses: list[float] = []
    batches = training._batches
    improved = training.Stopping.improved

    def watched(order: Any, batch_size: int) -> Any:
        epochs_of_rows.append(set(order.tolist()))
        return batches(order, batch_size)

    def noted(self: Any, values: Any) -> Any:
        losses.append(float(values[0]))
        return improved(self, values)

    monkeypatch.setattr(training, "_batches", watched)
    monkeypatch.setattr(training.Stopping, "improved", noted)
    # Noise: the best epoch comes early, so that training ends before its 30 epochs.
    random = np.random.default_rng(0)
    inputs = random.normal(size=(200, LAGS, 2)).astype(np.float32)
    labels = random.normal(0, 0.01, (200, 3))
    settings = {"seed": 1, "units": 4, "learning_rate": 0.05, "batch_size": 32, "epochs": 30, "patience": 2}
    evaluated = LSTMModel(**settings)  # type: ignore[arg-type]
    evaluated.fit(inputs, labels)
    # The last tenth of the rows that were given stops the training, and nothing else.
    held, *trained = epochs_of_rows
    assert held == set(range(180, 200))
    assert all(rows == set(range(180)) for rows in trained)
    best = losses.index(min(losses)) + 1
    assert evaluated.epochs == best == len(losses) - 2 == len(trained) - 2 < 28
    # What is kept are the weights of the best epoch, not those of the last.
    standardised = (labels - labels.mean(axis=0)) / labels.std(axis=0)
    kept = (evaluated.predict(inputs[180:]) - labels.mean(axis=0)) / labels.std(axis=0)
    assert np.square(kept - standardised[180:]).mean() == pytest.approx(min(losses), rel=1e-5)

    served = LSTMModel(**settings)  # type: ignore[arg-type]
    served.refit_like(evaluated)
    epochs_of_rows.clear()
    losses.clear()
    served.fit(inputs, labels)
    assert [rows for rows in epochs_of_rows if rows] == [set(range(200))] * best
    assert (losses, served.epochs) == ([], best)


def test_a_label_that_never_moves_is_predicted_as_it_was() -> None:
    inputs, labels = lag_one(100)
    labels[:, 1] = -0.01
    model = MODELS["mlp"].build({"units": 4, "epochs": 2}, 0)
    model.fit(inputs, labels)
    assert np.isfinite(model.predict(inputs)).all()


def test_models_are_fitted_as_one_group_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    from ml.networks import training  # noqa: PLC0415

    groups: list[int] = []
    together = training.train_group

    def noted(design: Any, members: Any, *rest: Any) -> Any:
        groups.append(len(members))
        return together(design, members, *rest)

    monkeypatch.setattr(training, "train_group", noted)
    inputs, labels = lag_one(200)

    def fitted(pays: bool) -> list[Floats]:
        monkeypatch.setattr(training, "pays", lambda: pays)
        shapes = [(4, 1, 0.01), (4, 2, 0.03), (5, 1, 0.01)]
        models = [
            MODELS["mlp"].build({"units": units, "depth": 1, "learning_rate": rate, "epochs": 3}, seed)
            for units, seed, rate in shapes
        ]
        fit_many([*models, MODELS["ridge"].build({}, 0)], inputs, labels)
        return [model.predict(inputs) for model in models]

    one_by_one, grouped = fitted(False), fitted(True)
    # Two of one shape, one of another; Ridge has no groups.
    assert groups == [2, 1]
    np.testing.assert_allclose(grouped, one_by_one, rtol=0, atol=1e-6)


def test_a_group_does_not_pay_on_a_cpu() -> None:
    import keras  # noqa: PLC0415

    from ml.networks import backend, training  # noqa: PLC0415

    assert keras.backend.backend() in backend.MODULES
    assert training.pays() == backend.chosen().accelerated()


def test_the_path_of_a_multi_horizon_model_goes_through_its_ten_outputs() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(300, LAGS, 1)).astype(np.float32)
    # Every path is a straight line whose slope is the latest value.
    labels = 1e-4 * inputs[:, -1].astype(np.float64) * np.arange(1, 101)
    settings = {"units": 8, "learning_rate": 0.03, "batch_size": 32, "epochs": 12}
    model = MODELS["multi_horizon_lstm"].build(settings, 0)
    model.fit(inputs, labels)
    paths = model.predict(inputs)
    assert paths.shape == (300, 100)
    assert np.abs(paths - labels).mean() < 0.1 * np.abs(labels).mean()
    for step in (0, 11, 44, 88):
        np.testing.assert_allclose(np.diff(paths[:, step : step + 12], n=2), 0, atol=1e-12)


def test_the_chart_model_learns_from_prices_whatever_their_size() -> None:
    random = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, 96)))[:, None] * np.ones((1, 4))
    # The window rises or falls all the way; the label goes on as far as the window's range.
    drift = np.where(random.random(96) < 0.5, 0.01, -0.01)[:, None]
    close = close * np.exp(drift * np.arange(4))
    candles = np.stack([close, close * 1.001, close * 0.999, close, np.ones_like(close)], axis=2).astype(np.float32)
    labels = np.column_stack([drift, drift - 0.01, drift * 2])
    settings = {"units": 4, "depth": 1, "learning_rate": 0.002, "batch_size": 16, "epochs": 8, "patience": 8}
    model = MODELS["chart_cnn"].build(settings, 0)
    model.fit(candles, labels)
    predicted = model.predict(candles)
    assert np.sqrt(np.square(predicted - labels).mean()) < 0.5 * labels.std(axis=0).max()
    np.testing.assert_allclose(model.predict(candles * 8), predicted, rtol=0, atol=1e-6)


def test_a_chart_has_room_for_200_candles() -> None:
    with pytest.raises(CaseError, match="at most 200 candles, lags are 201"):
        MODELS["chart_cnn"].build({}, 0).fit(np.ones((2, 201, 5), dtype=np.float32), np.zeros((2, 3)))
