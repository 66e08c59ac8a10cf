"""Weights over rounds, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ml.forecasting.weights import next_weights, round_scores, volatility_weight


def test_three_rounds_by_hand() -> None:
    # Round 1, g = 1: errors a 1, b 3, c 2 -> s = 1, 0, 1/2. All are new and start at 1/2, and 2/49 of the way goes to
    # (w + s g) / (1 + g): a (0.5 + 1) / 2 = 0.75, b 0.5 / 2 = 0.25, c (0.5 + 0.5) / 2 = 0.5.
    first = next_weights({}, round_scores({"a": 1.0, "b": 3.0, "c": 2.0}), 1.0)
    assert first == pytest.approx({"a": 0.5 + 0.5 / 49, "b": 0.5 - 0.5 / 49, "c": 0.5}, abs=1e-15)
    # Round 2, g = 1/4: c is absent (s = 0), d is new and starts at the mean, 0.5: errors a 4, b 2, d 3: s = 0, 1, 1/2.
    #   a: w = 25/49; target w / 1.25 = 20/49; step 2/49 * (-5/49) -> 25/49 - 10/2401 = 1215/2401
    #   b: w = 24/49; target (24/49 + 1/4) / 1.25 = (96 + 49) / 196 / 1.25 = 145/245 = 29/49; step 2/49 * 5/49
    #      -> 24/49 + 10/2401 = 1186/2401
    #   c: w = 1/2; target 0.4; step 2/49 * (-0.1) -> 0.5 - 0.2/49
    #   d: w = 1/2; target (0.5 + 0.125) / 1.25 = 0.5; no step
    second = next_weights(first, round_scores({"a": 4.0, "b": 2.0, "d": 3.0}), 0.25)
    assert second == pytest.approx({"a": 1215 / 2401, "b": 1186 / 2401, "c": 0.5 - 0.2 / 49, "d": 0.5}, abs=1e-15)
    # Round 3, g = 1: only d takes part and is best and worst at once (s = 1), all others halve their target.
    #   a: w - w/2 * 2/49 = w * 48/49; b and c alike; d: 0.5 + 2/49 * (0.75 - 0.5) = 0.5 + 0.5/49 = 25/49
    third = next_weights(second, round_scores({"d": 9.0}), 1.0)
    expected = {"a": 1215 / 2401 * 48 / 49, "b": 1186 / 2401 * 48 / 49, "c": (0.5 - 0.2 / 49) * 48 / 49, "d": 25 / 49}
    assert third == pytest.approx(expected, abs=1e-15)


def test_a_newcomer_starts_at_the_mean_of_those_who_are_there() -> None:
    # g = 0: nobody moves, so that the start itself is seen.
    assert next_weights({"a": 0.2, "b": 0.6}, {"a": 1.0, "c": 0.0}, 0.0) == pytest.approx(
        {"a": 0.2, "b": 0.6, "c": 0.4}
    )


def test_equal_errors_are_all_the_best() -> None:
    assert round_scores({"a": 0.7, "b": 0.7}) == {"a": 1.0, "b": 1.0}


def test_the_volatility_weight_by_hand() -> None:
    # The last high / low of 1.03 is above 3 of 4 others and equal to itself: 4 of 5. The returns' mean is 0.01, the
    # deviations 0.01 0.01 0 0.02 0.02: all 5 of 5 are not above the last one (two are equal).
    ratios = np.array([1.01, 1.02, 1.02, 1.04, 1.03])
    returns = np.array([0.0, 0.02, 0.01, -0.01, 0.03])
    assert volatility_weight(ratios, returns) == pytest.approx((4 / 5 * 5 / 5) ** 0.5)
    # Behind a gap there is no return: the other half speaks alone.
    assert volatility_weight(ratios, np.array([0.0, 0.02, 0.01, -0.01, np.nan])) == pytest.approx(4 / 5)


def test_prices_times_ten_change_nothing() -> None:
    random = np.random.default_rng(5)
    close = np.exp(np.cumsum(random.normal(0, 0.01, 400)))
    high, low = close * np.exp(random.exponential(0.01, 400)), close * np.exp(-random.exponential(0.01, 400))
    once, ten = (
        volatility_weight(unit * high / (unit * low), np.diff(np.log(unit * close), prepend=np.nan)) for unit in (1, 10)
    )
    assert 0 < once < 1
    assert ten == pytest.approx(once, abs=1e-12)
