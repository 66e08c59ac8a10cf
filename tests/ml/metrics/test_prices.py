"""Metrics against hand values and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, root_mean_squared_error

from ml.metrics import prices


def test_rmse_pct_and_quote_by_hand() -> None:
    # Two rows at closes 100 and 200; errors of high, low, close in percent: 1 2 2 and 0 0 3.
    errors = np.array([[0.01, 0.02, 0.02], [0.0, 0.0, 0.03]])
    # (1 + 4 + 4 + 9) / 6 = 3
    assert prices.rmse_pct(errors) == pytest.approx(math.sqrt(3))
    # in quote units: 1 2 2 and 0 0 6 -> (1 + 4 + 4 + 36) / 6 = 7.5
    assert prices.rmse_quote(errors, np.array([100.0, 200.0])) == pytest.approx(math.sqrt(7.5))


def test_metrics_equal_scikit_learn() -> None:
    random = np.random.default_rng(0)
    predicted, actual = random.normal(0, 0.01, (2, 500, 3))
    errors = prices.relative_errors(predicted, actual)
    truth, forecast = np.exp(actual).ravel(), np.exp(predicted).ravel()
    assert prices.rmse_pct(errors) == pytest.approx(100 * root_mean_squared_error(truth, forecast), rel=1e-12)
    assert prices.mae_pct(errors) == pytest.approx(100 * mean_absolute_error(truth, forecast), rel=1e-12)
    assert prices.pinball_pct(forecast, truth, 0.9) == pytest.approx(
        100 * mean_pinball_loss(truth, forecast, alpha=0.9), rel=1e-12
    )


def test_exponentially_weighted_rmse_of_a_constant_error_is_that_error() -> None:
    # The reference system's own unit test: predictions x against x - 0.05 over 100 steps give 0.05.
    x = np.linspace(1, 2, 100)
    assert prices.exponentially_weighted_rmse(x - (x - 0.05)) == pytest.approx(0.05, rel=1e-12)
    # By hand: errors 0 and 1 with weights 1 and exp(-1).
    expected = math.sqrt(math.exp(-1) / (1 + math.exp(-1)))
    assert prices.exponentially_weighted_rmse(np.array([0.0, 1.0]), decay=1.0) == pytest.approx(expected)


def test_direction_leaves_out_rows_that_do_not_move() -> None:
    predicted, actual = np.array([1.0, 1, -1, 0, 1]), np.array([2.0, -2, -2, 2, 0])
    share, error = prices.direction_accuracy(predicted, actual)
    assert share == pytest.approx(2 / 3)
    assert error == pytest.approx(math.sqrt(2 / 9 / 3))
    assert math.isnan(prices.direction_accuracy(np.zeros(2), actual[:2])[0])
    # Horizons of 4 rows overlap: the 3 rows are worth 3 / 4 of one.
    assert prices.direction_accuracy(predicted, actual, horizon=4)[1] == pytest.approx(math.sqrt(2 / 9 / (3 / 4)))


def test_skill_is_zero_for_the_baseline_itself_and_negative_for_worse() -> None:
    assert prices.skill(2.0, 2.0) == 0
    assert prices.skill(3.0, 2.0) == pytest.approx(-0.5)
    assert prices.skill(1.0, 0.0) == 0


def test_daily_losses_are_means_per_utc_day() -> None:
    day = 86_400_000
    days = prices.Days(np.array([day, day + 1, 5 * day]))
    assert days.numbers == [1, 5]
    assert days.means(np.array([1.0, 9.0, 4.0])) == pytest.approx([(1 + 9) / 2, 4])


def test_a_traded_direction_pays_for_each_change_of_its_position() -> None:
    actual = np.log([1.01, 0.98, 1.005, 1.0])
    kept = prices.direction_net_pct(np.array([1.0, -1.0, -1.0, 0.0]), actual, cost=0.001)
    # Bought, turned (two sides), held, closed.
    assert kept == pytest.approx(100 * (0.01 + 0.02 - 0.005 - 0.001 * (1 + 2 + 0 + 1)) / 4)
    assert prices.direction_net_pct(np.array([1.0, 1.0]), np.zeros(2)) == pytest.approx(-0.05)
    assert math.isnan(prices.direction_net_pct(np.zeros(4), actual))
