"""Baselines use nothing that was not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml.data.datasets import Dataset
from ml.data.targets import coherent, to_prices
from ml.metrics.baselines import (
    BASELINES,
    Baselines,
    ewma_of_known_labels,
    har_windows,
    last_candle_labels,
)
from ml.timeframes import DAY_MS, TIMEFRAMES
from tests.synthetic import HOUR_MS, make_dataset

ROWS = np.arange(2000)


def baselines(dataset: Dataset) -> Baselines:
    return Baselines(dataset.candles, dataset.labels, dataset.open_time_ms, dataset.timeframe_ms)


def test_ewma_uses_labels_up_to_the_row_before() -> None:
    labels = np.array([[1.0, -1.0, 0.0], [4.0, -4.0, 0.0], [7.0, -7.0, 0.0]])
    # alpha = 2 / 7; row 1 knows label 0 = 1; row 2 knows 1 + 2/7 (4 - 1) = 1.857...
    np.testing.assert_allclose(ewma_of_known_labels(labels)[1:, 0], [1.0, 1 + 2 / 7 * 3])
    assert np.isnan(ewma_of_known_labels(labels)[0]).all()


@pytest.mark.parametrize("name", BASELINES)
def test_later_labels_and_candles_change_no_earlier_forecast(name: str) -> None:
    dataset = make_dataset(2000)
    before = baselines(dataset).forecast(name, ROWS[:1501], ROWS[100:1000])
    labels, candles = dataset.labels.copy(), dataset.candles.copy()
    labels[1500:] *= 5
    candles[1501:] *= 3
    after = baselines(replace(dataset, labels=labels, candles=candles)).forecast(name, ROWS[:1501], ROWS[100:1000])
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", BASELINES)
def test_rows_that_are_not_learnt_from_change_no_forecast(name: str) -> None:
    dataset = make_dataset(2000)
    train = ROWS[100:1000]
    labels = dataset.labels.copy()
    labels[1200:1300] += 1
    rows = ROWS[1000:1200]
    before, after = (baselines(one).forecast(name, rows, train) for one in (dataset, replace(dataset, labels=labels)))
    np.testing.assert_array_equal(before, after)


def test_last_candle_repeats_high_and_low() -> None:
    candles = np.array([[100.0, 110.0, 90.0, 105.0, 1.0]])
    np.testing.assert_allclose(to_prices(last_candle_labels(candles), candles[:, 3]), [[110, 90, 105]])


def test_drift_is_the_mean_range_with_the_mean_move_of_the_close() -> None:
    dataset = make_dataset(100)
    train, rows = ROWS[1:50], ROWS[50:54]
    mean = dataset.labels[train].mean(axis=0)
    drift, mean_range = (baselines(dataset).forecast(name, rows, train) for name in ("drift", "mean_range"))
    np.testing.assert_array_equal(drift, np.tile(mean, (4, 1)))
    np.testing.assert_array_equal(mean_range, np.tile([mean[0], mean[1], 0.0], (4, 1)))


def test_pooled_range_is_the_smooth_range_times_a_factor_for_each_side() -> None:
    dataset = make_dataset(400)
    span = np.log(dataset.candles[:, 1] / dataset.candles[:, 2])
    smooth = pd.Series(span).ewm(span=6, adjust=False).mean().to_numpy()
    train, rows = ROWS[:300], ROWS[300:]
    rows = rows[rows < 400]
    factors = smooth[train] @ dataset.labels[train, :2] / (smooth[train] @ smooth[train])
    found = baselines(dataset).forecast("pooled_range", rows, train)
    np.testing.assert_allclose(found[:, :2], coherent(np.outer(smooth[rows], [*factors, 0.0]))[:, :2], rtol=1e-10)
    np.testing.assert_array_equal(found[:, 2], 0.0)


def test_har_range_finds_the_weights_of_a_market_that_is_made_of_them() -> None:
    """High and low are exact sums of the means over the windows: the regression gets them back."""
    dataset = make_dataset(2000)
    span = pd.Series(np.log(dataset.candles[:, 1] / dataset.candles[:, 2]))
    means = np.column_stack([span.rolling(n, min_periods=max(1, n // 24)).mean() for n in (1, 24, 168, 720)])
    labels = np.column_stack([0.1 + means @ [0.1, 0.2, 0.3, 0.1], -0.1 - means @ [0.2, 0.1, 0.1, 0.4], 0 * span])
    made = baselines(replace(dataset, labels=labels))
    found = made.forecast("har_range", ROWS[1500:], ROWS[100:1400])
    np.testing.assert_allclose(found, labels[1500:], atol=1e-9)


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_the_windows_of_har_range_are_a_candle_a_day_a_week_and_a_month_from_an_hour_on(timeframe: str) -> None:
    found = har_windows(TIMEFRAMES[timeframe])
    hours = [n * TIMEFRAMES[timeframe] // HOUR_MS for n in found]
    if TIMEFRAMES[timeframe] >= HOUR_MS:
        assert hours[-2:] == [7 * 24, 30 * 24]
        assert found[0] == 1 and hours[-3] == max(24, TIMEFRAMES[timeframe] // HOUR_MS)
    else:
        assert found == (1, 24, 168, 720)


def test_a_gap_costs_har_range_no_row() -> None:
    dataset = make_dataset(2000)
    kept = np.flatnonzero((ROWS < 1000) | (ROWS >= 1010))
    arrays = {name: getattr(dataset, name)[kept] for name in ("labels", "candles", "open_time_ms")}
    made = Baselines(**arrays, timeframe_ms=HOUR_MS)
    assert np.isfinite(made.har_inputs[30:]).all()
    # After three months without candles too little of every longer window is known, until a month has passed.
    late = Baselines(
        **arrays | {"open_time_ms": arrays["open_time_ms"] + 90 * DAY_MS * (kept >= 1010)}, timeframe_ms=HOUR_MS
    )
    assert np.flatnonzero(~np.isfinite(late.har_inputs).all(axis=1)).tolist() == [*range(29), *range(1000, 1029)]


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
