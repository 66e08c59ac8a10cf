"""Significance against the formula written out, and its size on noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.significance import aligned_differences, newey_west_p_value


def p_value_by_the_formula(values: list[float]) -> float:
    """Newey and West (1987) term by term: S = g0 + 2 sum_k (1 - k / (L + 1)) g_k, z = mean / sqrt(S / n)."""
    n, mean = len(values), sum(values) / len(values)
    lags = int(4 * (n / 100) ** (2 / 9))
    s = 0.0
    for i in range(n):
        for j in range(n):
            if abs(i - j) <= lags:
                s += (1 - abs(i - j) / (lags + 1)) * (values[i] - mean) * (values[j] - mean) / n
    return 0.5 * math.erfc(mean / math.sqrt(s / n) / math.sqrt(2))


@pytest.mark.parametrize(("days", "mean"), [(30, 0.2), (120, 0.1), (250, -0.1)])
def test_it_equals_the_formula_on_an_autocorrelated_series(days: int, mean: float) -> None:
    noise = np.random.default_rng(days).normal(size=days + 1)
    values = [float(value) for value in mean + noise[1:] + 0.6 * noise[:-1]]
    assert newey_west_p_value(values) == pytest.approx(p_value_by_the_formula(values), abs=1e-12)


def test_a_hand_worked_case_without_lags() -> None:
    # n = 5: 4 (5 / 100)^(2/9) = 2.06, so 2 lags. Values 1 0 1 0 1: mean 0.6, centred .4 -.6 .4 -.6 .4;
    # g0 = 1.2 / 5 = .24, g1 = -.96 / 5 = -.192, g2 = (.16 + .36 + .16) / 5 = .136;
    # S = .24 + 2 (2/3 x -.192 + 1/3 x .136) = .0746667; z = .6 / sqrt(.0746667 / 5) = 4.90990.
    assert newey_west_p_value([1, 0, 1, 0, 1]) == pytest.approx(0.5 * math.erfc(4.90990 / math.sqrt(2)), rel=1e-4)


def test_on_white_noise_it_errs_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(11)
    p_values = np.array([newey_west_p_value(random.normal(size=300)) for _ in range(300)])
    # Standard errors: sqrt(.05 x .95 / 300) = 1.3 %, sqrt(.5 x .5 / 300) = 2.9 %.
    assert (p_values < 0.05).mean() == pytest.approx(0.05, abs=0.04)
    assert (p_values < 0.5).mean() == pytest.approx(0.5, abs=0.09)


def test_on_autocorrelated_noise_it_is_not_far_off_where_a_plain_test_is() -> None:
    random = np.random.default_rng(12)
    wrong, wrong_plain = 0, 0
    for _ in range(300):
        noise = random.normal(size=303)
        values = noise[3:] + noise[2:-1] + noise[1:-2] + noise[:-3]
        wrong += newey_west_p_value(values) < 0.05
        wrong_plain += values.mean() / (values.std() / math.sqrt(300)) > 1.645
    # The plain test takes the variance of the mean for a quarter of what it is: P(z > .82) = 21 %.
    assert wrong_plain > 45
    assert wrong < 35


def test_a_gain_is_more_certain_the_larger_it_is_and_the_test_has_one_side() -> None:
    noise = np.random.default_rng(0).normal(size=200)
    p_values = [newey_west_p_value(noise + shift) for shift in (-0.2, 0.0, 0.2, 0.4)]
    assert p_values == sorted(p_values, reverse=True)
    assert newey_west_p_value(noise) + newey_west_p_value(-noise) == pytest.approx(1)


@pytest.mark.parametrize(
    ("differences", "p_value"),
    [([], 1.0), ([5.0, 5.0], 1.0), ([0.0] * 40, 1.0), ([1.0] * 40, 0.0), ([-1.0] * 40, 1.0)]
    + [([1.0] * 39 + [bad], 1.0) for bad in (math.nan, math.inf)],
)
def test_what_cannot_be_judged_proves_nothing(differences: list[float], p_value: float) -> None:
    assert newey_west_p_value(differences) == p_value


def test_differences_are_taken_on_the_days_that_both_have() -> None:
    # Days 2 and 4: 20 - 3 and 40 - 5.
    assert aligned_differences(([1, 2, 4], [10, 20, 40]), ([2, 3, 4], [3, 4, 5])) == [17, 35]
    assert aligned_differences(([1], [1]), ([2], [1])) == []
