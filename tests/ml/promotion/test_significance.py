"""Significance against the formula written out, and its size on noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from arch.bootstrap import SPA

from ml.data.targets import Floats
from ml.promotion.significance import (
    aligned_differences,
    block_length,
    confidence_set,
    newey_west_p_value,
    resampled_days,
    skill_interval,
    spa_p_value,
)


def luck_of(losses: Floats, benchmark: Floats, weights: Floats) -> float:
    """The p-value of cases that all have the same baseline."""
    return spa_p_value(losses, np.repeat(benchmark[:, None], losses.shape[1], axis=1), weights)


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
def test_the_p_value_equals_the_formula_on_an_autocorrelated_series(days: int, mean: float) -> None:
    noise = np.random.default_rng(days).normal(size=days + 1)
    values = [float(value) for value in mean + noise[1:] + 0.6 * noise[:-1]]
    assert newey_west_p_value(values) == pytest.approx(p_value_by_the_formula(values), abs=1e-12)


def test_a_hand_worked_case_without_lags() -> None:
    # n = 5: 4 (5 / 100)^(2/9) = 2.06, so 2 lags. Values 1 0 1 0 1: mean 0.6, centred .4 -.6 .4 -.6 .4;
    # g0 = 1.2 / 5 = .24, g1 = -.96 / 5 = -.192, g2 = (.16 + .36 + .16) / 5 = .136;
    # S = .24 + 2 (2/3 x -.192 + 1/3 x .136) = .0746667; z = .6 / sqrt(.0746667 / 5) = 4.90990.
    assert newey_west_p_value([1, 0, 1, 0, 1]) == pytest.approx(0.5 * math.erfc(4.90990 / math.sqrt(2)), rel=1e-4)


def test_on_white_noise_the_paired_test_errs_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(11)
    p_values = np.array([newey_west_p_value(random.normal(size=300)) for _ in range(300)])
    # Standard errors: sqrt(.05 x .95 / 300) = 1.3 %, sqrt(.5 x .5 / 300) = 2.9 %.
    assert (p_values < 0.05).mean() == pytest.approx(0.05, abs=0.04)
    assert (p_values < 0.5).mean() == pytest.approx(0.5, abs=0.09)


def test_on_autocorrelated_noise_the_paired_test_is_not_far_off_where_a_plain_test_is() -> None:
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
def test_what_cannot_be_tested_proves_nothing(differences: list[float], p_value: float) -> None:
    assert newey_west_p_value(differences) == p_value


def test_differences_are_taken_on_the_days_that_both_have() -> None:
    # Days 2 and 4: 20 - 3 and 40 - 5.
    assert aligned_differences(([1, 2, 4], [10, 20, 40]), ([2, 3, 4], [3, 4, 5])) == [17, 35]
    assert aligned_differences(([1], [1]), ([2], [1])) == []


def losses_in_spells(random: np.random.Generator, days: int, cases: int, gains: float = 0.0) -> tuple[Floats, Floats]:
    """Losses (T, k) and a benchmark's (T,), wild for weeks and calm for weeks; a gain lowers those of case 0."""
    wild = np.exp(autocorrelated(random, days, 0.9, 0.4))
    own = np.column_stack([autocorrelated(random, days, 0.3, 0.2) for _ in range(cases)])
    losses = wild[:, None] * (1 + 0.2 * own)
    losses[:, 0] -= gains * wild
    return losses, wild


def autocorrelated(random: np.random.Generator, days: int, memory: float, scale: float) -> Floats:
    """(T,) a process whose value keeps the share `memory` of the day before; its standard deviation is `scale`."""
    values = random.normal(size=days)
    for day in range(1, days):
        values[day] = memory * values[day - 1] + math.sqrt(1 - memory**2) * values[day]
    return scale * values


def resampled(benchmark: Floats, resamples: int = 400) -> Floats:
    return resampled_days(len(benchmark), block_length(benchmark), resamples)


def test_resampled_days_weigh_one_together_come_in_blocks_and_are_equal_for_equal_seeds() -> None:
    weights = resampled_days(100, 10, 300)
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights.mean(axis=0) == pytest.approx(0.01, rel=0.35)  # no day is favoured, the first and last neither
    assert (weights == resampled_days(100, 10, 300)).all()
    assert (weights != resampled_days(100, 10, 300, seed=1)).any()
    together = (weights[:, 1:] * weights[:, :-1]).mean()
    apart = resampled_days(100, 1, 300)
    assert together > 1.3 * (apart[:, 1:] * apart[:, :-1]).mean()


def test_blocks_are_longer_where_losses_remember_longer() -> None:
    random = np.random.default_rng(3)
    lengths = [block_length(autocorrelated(random, 500, memory, 1.0)) for memory in (0.0, 0.5, 0.9)]
    assert lengths == sorted(lengths)
    assert lengths[0] < 5 < lengths[2]
    assert block_length(np.ones(50)) == 1


def test_the_interval_holds_the_true_skill_about_as_often_as_it_says() -> None:
    # The loss is (1 + noise) x that of the baseline, whose days are wild or calm together: the true skill is
    # 1 - sqrt(0.9) whatever the days. 150 fields of one case each, which share no day.
    random = np.random.default_rng(21)
    true, held = 1 - math.sqrt(0.9), 0
    for _ in range(150):
        losses, benchmark = losses_in_spells(random, 250, 1, gains=0.1)
        lower, upper = skill_interval(losses, benchmark[:, None], resampled(benchmark))[:, 0]
        held += lower <= true <= upper
    # Of 150 with 90 %: 135, standard deviation 3.7; blocks of finite length cover a little less.
    assert 120 <= held <= 147


def test_an_interval_from_single_days_would_be_too_narrow() -> None:
    random = np.random.default_rng(22)
    losses, benchmark = losses_in_spells(random, 400, 1)
    losses[:, 0] = benchmark * np.exp(autocorrelated(random, 400, 0.9, 0.2))
    width = {}
    for block in (1, 20):
        lower, upper = skill_interval(losses, benchmark[:, None], resampled_days(400, block))[:, 0]
        width[block] = upper - lower
    assert width[20] > 1.5 * width[1]


def test_every_case_of_a_field_gets_the_interval_that_it_would_get_alone() -> None:
    losses, benchmark = losses_in_spells(np.random.default_rng(23), 60, 1003)  # more than are done at once
    baselines = np.repeat(benchmark[:, None], 1003, axis=1)
    weights = resampled_days(60, 3, 50)
    whole = skill_interval(losses, baselines, weights)
    for case in (0, 999, 1000, 1002):
        alone = skill_interval(losses[:, [case]], baselines[:, [case]], weights)
        assert whole[:, case] == pytest.approx(alone[:, 0], abs=1e-12)
    by_hand = 1 - np.sqrt((weights @ losses[:, 5]) / (weights @ benchmark))
    assert whole[:, 5] == pytest.approx(np.quantile(by_hand, [0.05, 0.95]))


def test_there_is_no_skill_beside_a_baseline_that_never_errs() -> None:
    assert np.isnan(skill_interval(np.ones((40, 1)), np.zeros((40, 1)), resampled_days(40, 2, 20))).all()


def test_on_pure_noise_the_field_is_rarely_called_better_than_the_benchmark() -> None:
    random = np.random.default_rng(31)
    p_values = []
    for _ in range(100):
        losses, benchmark = losses_in_spells(random, 250, 40)
        p_values.append(luck_of(losses, benchmark, resampled(benchmark, 200)))
    # At level .1 the test may err in 10 of 100 fields, standard deviation 3; .05 in 5, 2.2; .01 in 1, 1. Over 250 days
    # with gains that remember the day before it was .14, .065 and .01 in 200 fields.
    assert sum(p < 0.1 for p in p_values) <= 22
    assert sum(p < 0.05 for p in p_values) <= 11
    assert sum(p < 0.01 for p in p_values) <= 4
    assert np.median(p_values) > 0.2


def test_the_best_of_a_noise_field_looks_certain_when_it_is_tested_alone() -> None:
    losses, benchmark = losses_in_spells(np.random.default_rng(32), 250, 200)
    best = losses[:, [int(losses.mean(axis=0).argmin())]]
    weights = resampled(benchmark)
    assert luck_of(best, benchmark, weights) < 0.02
    assert luck_of(losses, benchmark, weights) > 0.1


def test_a_better_case_is_found_among_many_and_in_whatever_place() -> None:
    losses, benchmark = losses_in_spells(np.random.default_rng(33), 250, 1200, gains=0.1)
    weights = resampled(benchmark)
    assert luck_of(losses, benchmark, weights) < 0.01
    assert luck_of(losses[:, ::-1], benchmark, weights) < 0.01
    assert luck_of(losses[:, 1:], benchmark, weights) > 0.05


def test_the_p_value_is_the_one_of_arch_on_gains_in_units_of_their_deviation() -> None:
    random = np.random.default_rng(34)
    for gains in (0.0, 0.03, 0.06):
        losses, benchmark = losses_in_spells(random, 300, 30, gains=gains)
        losses[:, 20:] += 0.2  # clearly worse ones, which do not count
        weights = resampled_days(300, 5, 1000, seed=7)
        worse = losses - benchmark[:, None]
        oracle = SPA(np.zeros(300), worse / worse.std(axis=0), block_size=5, reps=1000, seed=7)
        oracle.compute()
        expected = (1 + 1000 * oracle.pvalues["consistent"]) / 1001
        assert luck_of(losses, benchmark, weights) == pytest.approx(expected, abs=2e-3)


def test_cases_that_are_the_benchmark_or_worse_are_not_better() -> None:
    losses, benchmark = losses_in_spells(np.random.default_rng(35), 100, 3)
    weights = resampled(benchmark, 100)
    same = benchmark[:, None] * np.ones(3)
    assert luck_of(same, benchmark, weights) == 1
    assert luck_of(same * (1 + 1e-15), benchmark, weights) == 1
    assert luck_of(losses + 5, benchmark, weights) == 1
    with_same = np.hstack([losses, same])
    assert luck_of(with_same, benchmark, weights) == luck_of(losses, benchmark, weights)
    assert luck_of(same - 0.1, benchmark, weights) == pytest.approx(1 / 101)


def test_the_confidence_set_keeps_equals_and_drops_who_is_clearly_worse() -> None:
    losses, benchmark = losses_in_spells(np.random.default_rng(41), 300, 4)
    losses[:, 2] += 0.2 * benchmark
    assert confidence_set(losses, block_length(benchmark)).tolist() == [True, True, False, True]


def test_the_confidence_set_holds_the_best_one_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(42)
    held = 0
    for _ in range(60):
        losses, benchmark = losses_in_spells(random, 150, 4, gains=0.01)
        held += confidence_set(losses, block_length(benchmark), resamples=200)[0]
    assert held >= 49  # 54 of 60 with 90 %, standard deviation 2.3


def test_equal_forecasters_stay_together_and_one_alone_stays() -> None:
    losses, benchmark = losses_in_spells(np.random.default_rng(43), 200, 1)
    worse = losses + 0.3 * benchmark[:, None]
    assert confidence_set(losses, 5).tolist() == [True]
    assert confidence_set(np.hstack([losses, losses]), 5).tolist() == [True, True]
    assert confidence_set(np.hstack([worse, losses, worse, losses]), 5).tolist() == [False, True, False, True]
    nearly = losses.copy()
    nearly[17] = np.nextafter(nearly[17], 9)
    assert confidence_set(np.hstack([nearly, losses, worse]), 5).tolist() == [True, True, False]
    assert confidence_set(np.zeros((40, 2)), 5).tolist() == [True, True]
