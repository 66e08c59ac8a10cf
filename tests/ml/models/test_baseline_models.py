"""Baselines as families against the baselines that every result is evaluated by."""

from __future__ import annotations

import numpy as np

from ml.data.datasets import windows
from ml.metrics.baselines import Baselines, last_candle_labels
from ml.models import MODELS
from tests.synthetic import make_dataset


def test_the_last_candle_is_forecast_from_raw_candles_as_the_scorers_do() -> None:
    dataset = make_dataset(300)
    model = MODELS["last_candle"].build({}, 0)
    inputs = windows(dataset.candles.astype(np.float32), 4)
    model.fit(inputs, dataset.labels[3:])
    expected = last_candle_labels(dataset.candles)
    # Prices in float32 are true to 6e-8 of themselves.
    np.testing.assert_allclose(model.predict(inputs), expected[3:], atol=2e-7)
    assert MODELS["last_candle"].inputs == "candles"


def test_the_train_mean_is_the_drift() -> None:
    dataset = make_dataset(300)
    labels = dataset.labels[:299]
    model = MODELS["train_mean"].build({}, 0)
    model.fit(windows(dataset.features, 1)[:299], labels)
    predicted = model.predict(windows(dataset.features, 1))
    baselines = Baselines(dataset.candles, dataset.labels, dataset.open_time_ms, dataset.timeframe_ms)
    expected = baselines.forecast("drift", np.arange(300), np.arange(299))
    np.testing.assert_allclose(predicted, expected)
