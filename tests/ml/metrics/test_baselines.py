"""Baselines use nothing that was not known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.data.targets import coherent, to_prices
from ml.metrics.baselines import BASELINES, baseline_labels, ewma_of_known_labels
from tests.synthetic import make_dataset


def test_ewma_uses_labels_up_to_the_row_before() -> None:
    labels = np.array([[1.0, -1.0, 0.0], [4.0, -4.0, 0.0], [7.0, -7.0, 0.0]])
    # alpha = 2 / 7; row 1 knows label 0 = 1; row 2 knows 1 + 2/7 (4 - 1) = 1.857...
    np.testing.assert_allclose(ewma_of_known_labels(labels)[1:, 0], [1.0, 1 + 2 / 7 * 3])
    assert np.isnan(ewma_of_known_labels(labels)[0]).all()


@pytest.mark.parametrize("name", BASELINES)
def test_a_later_label_changes_no_earlier_forecast(name: str) -> None:
    dataset = make_dataset(300)
    before = baseline_labels(name, dataset.candles, dataset.labels, np.zeros(3))
    changed = dataset.labels.copy()
    changed[150:] *= 5
    after = baseline_labels(name, dataset.candles, changed, np.zeros(3))
    np.testing.assert_array_equal(before[:151], after[:151])


def test_last_candle_repeats_high_and_low() -> None:
    candles = np.array([[100.0, 110.0, 90.0, 105.0, 1.0]])
    labels = baseline_labels("last_candle", candles, np.full((1, 3), np.nan), np.zeros(3))
    np.testing.assert_allclose(to_prices(labels, candles[:, 3]), [[110, 90, 105]])


def test_drift_is_the_mean_range_with_the_mean_move_of_the_close() -> None:
    candles, labels = np.full((4, 5), 100.0), np.full((4, 3), np.nan)
    mean = np.array([0.02, -0.01, 0.004])

    drift, mean_range = (baseline_labels(name, candles, labels, mean) for name in ("drift", "mean_range"))

    np.testing.assert_array_equal(drift, np.tile(mean, (4, 1)))
    np.testing.assert_array_equal(mean_range, np.tile([0.02, -0.01, 0.0], (4, 1)))


def test_a_gap_in_the_labels_is_skipped() -> None:
    labels = np.array([[1.0, 0, 0], [np.nan] * 3, [3.0, 0, 0], [9.0, 0, 0]])
    expected = pd.Series([1.0, 3.0]).ewm(span=6, adjust=False).mean().to_numpy()
    np.testing.assert_allclose(ewma_of_known_labels(labels)[[1, 2, 3], 0], [1.0, 1.0, expected[1]])


def test_coherent_candles_contain_open_and_close() -> None:
    labels = np.random.default_rng(0).normal(0, 0.02, (1000, 3))
    fixed = coherent(labels)
    assert (fixed[:, 0] >= np.maximum(fixed[:, 2], 0)).all()
    assert (fixed[:, 1] <= np.minimum(fixed[:, 2], 0)).all()
    np.testing.assert_array_equal(fixed[:, 2], labels[:, 2])
