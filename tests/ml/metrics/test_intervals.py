"""The joint conformal prediction interval."""

from __future__ import annotations

import numpy as np
import pytest

from ml.metrics.intervals import (
    interval_labels,
    interval_metrics,
    nonconformity_scores,
    rolling_quantiles,
    score_quantile,
)


def test_the_quantile_is_the_ceil_of_n_plus_1_times_level_smallest() -> None:
    # n = 9: ceil(10 x 0.8) = 8th smallest of 1..9.
    assert score_quantile(np.arange(9.0, 0.0, -1.0)) == 8


def test_scores_measure_how_far_the_truth_left_the_forecast() -> None:
    predicted = np.array([[0.02, -0.02, 0.0]] * 3)
    actual = np.array([[0.03, -0.01, 0], [0.01, -0.05, 0], [0.01, -0.01, 0]])
    np.testing.assert_allclose(nonconformity_scores(predicted, actual, np.full(3, 0.02)), [0.5, 1.5, -0.5])


def test_the_rolling_interval_covers_80_percent_jointly_when_the_market_gets_wild() -> None:
    random = np.random.default_rng(3)
    scale = np.concatenate([np.full(4000, 0.01), np.full(4000, 0.05)])
    actual = np.stack([np.abs(random.normal(0, 1, 8000)), -np.abs(random.normal(0, 1, 8000)), np.zeros(8000)], axis=1)
    actual *= scale[:, None]
    predicted = np.tile([0.008, -0.008, 0.0], (8000, 1)) * (scale / 0.01)[:, None]
    scores = nonconformity_scores(predicted, actual, scale)
    quantiles = rolling_quantiles(scores[:1000], scores[1000:])
    coverage, _, _ = interval_metrics(interval_labels(predicted[1000:], quantiles, scale[1000:]), actual[1000:])
    assert coverage == pytest.approx(0.8, abs=0.02)


def test_a_quantile_never_sees_its_own_row() -> None:
    scores = np.random.default_rng(0).normal(size=300)
    before = rolling_quantiles(np.zeros(60), scores)
    scores[200:] = 99.0
    np.testing.assert_array_equal(before[:201], rolling_quantiles(np.zeros(60), scores)[:201])


def test_the_winkler_score_is_the_width_and_ten_times_what_leaves_an_80_percent_interval() -> None:
    # Bounds 99 and 102; one candle inside, one from 98 to 103, in percent of the last close: 3 and 3 + 10 x (1 + 1).
    bounds = np.log([[0.99, 1.02], [0.99, 1.02], [np.nan, np.nan]])
    actual = np.log([[1.01, 0.995, 1.0], [1.03, 0.98, 1.0], [1.5, 0.5, 1.0]])
    coverage, pinball, winkler = interval_metrics(bounds, actual)
    assert (coverage, winkler) == (0.5, pytest.approx((3 + 23) / 2))
    # The pinball losses of both sides are a tenth of the score less the range of the candle (1.5 and 5), on average.
    assert 2 * pinball == pytest.approx((3 - 1.5 + 23 - 5) / 2 / 10)
