"""Conformal quantiles by group."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from ml.metrics import conformal, running
from ml.metrics.conformal import KnownScores, expected_range, groups_of, quantiles_before
from ml.metrics.intervals import score_quantile
from ml.metrics.running import RankedScores
from ml.timeframes import DAY_MS, HOUR_MS

MONDAY_MS = 4 * DAY_MS  # 1970-01-05


@pytest.mark.parametrize(
    ("timeframe_ms", "after_ms", "group"),
    [
        (HOUR_MS, 13 * HOUR_MS, 13),
        (HOUR_MS, 4 * DAY_MS + 23 * HOUR_MS, 23),  # the last hour of Friday
        (HOUR_MS, 5 * DAY_MS, 24),
        (4 * HOUR_MS, 6 * DAY_MS + 20 * HOUR_MS, 44),  # Sunday
        (5 * 60_000, 13 * HOUR_MS + 55 * 60_000, 13),
        (DAY_MS, 0, 0),
        (DAY_MS, 6 * DAY_MS, 6),
    ],
)
def test_a_candle_has_the_group_of_its_hour_and_weekend_or_of_its_weekday(
    timeframe_ms: int, after_ms: int, group: int
) -> None:
    assert groups_of(np.array([MONDAY_MS + after_ms]), timeframe_ms).tolist() == [group]


def test_the_scale_is_the_range_that_a_forecaster_expects_and_never_far_below_the_market() -> None:
    predicted = np.array([[0.03, -0.01, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(expected_range(predicted, np.array([0.02, 0.02])), [0.04, 0.01])


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("window", [1, 7, 8, 100])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_running_quantiles_have_the_conformal_rank_from_the_first_score_on(
    level: float, window: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(running, "machine_code", lambda function: function)
    random = np.random.default_rng(0)
    parts = [random.normal(size=0), random.normal(size=40), random.integers(0, 4, 60).astype(float)]  # with ties
    found = RankedScores(np.concatenate(parts), np.array([0, 0, 40, 100])).quantiles(level, window)
    expected: list[float] = []
    for part in parts:
        expected.append(0.0)  # of no score
        for count in range(1, len(part) + 1):
            latest = np.sort(part[:count][-window:])
            expected.append(latest[min(len(latest), math.ceil((len(latest) + 1) * level)) - 1])
    np.testing.assert_array_equal(found, expected)


def test_a_filter_of_fixed_rank_finds_the_same_in_full_windows() -> None:
    scores = np.random.default_rng(1).standard_t(3, 5000)
    found = RankedScores(scores, np.array([0, 5000])).quantiles(0.8, 2000)[2000:]
    filtered = ndimage.rank_filter(scores, math.ceil(2001 * 0.8) - 1, size=2000)
    np.testing.assert_array_equal(found, filtered[1000:4001])


def test_all_levels_of_the_same_scores_are_as_asked_for_one_by_one() -> None:
    random = np.random.default_rng(3)
    scores, groups = random.normal(size=3000), random.integers(0, 7, 3000)
    known = KnownScores(scores, groups, 2)
    for level in (0.5, 0.95, 0.5):
        np.testing.assert_array_equal(known.quantiles(level), quantiles_before(scores, groups, level, 2))


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_quantile_knows_the_scores_a_horizon_before_its_row_and_no_later_one(horizon: int) -> None:
    random = np.random.default_rng(1)
    scores, groups = random.normal(size=300), random.integers(0, 5, 300)
    before = quantiles_before(scores, groups, 0.8, horizon)
    assert np.isnan(before[: 49 + horizon]).all()
    assert np.isfinite(before[49 + horizon :]).all()
    late = scores.copy()
    late[200:] += 9.0
    after = quantiles_before(late, groups, 0.8, horizon)
    np.testing.assert_array_equal(after[: 200 + horizon], before[: 200 + horizon])
    assert (after[220:] > before[220:]).all()
    # The next candle, without a score, has the same quantile as when it is evaluated.
    served = np.append(scores[: 200 - horizon + 1], [np.nan] * horizon)
    assert quantiles_before(served, groups[:201], 0.8, horizon)[-1] == before[200]


def test_a_group_with_n_scores_has_the_weight_n_over_n_plus_30(monkeypatch: pytest.MonkeyPatch) -> None:
    # 90 scores of 1 in group 0, then 10 of 5 in group 1: the common 80 % quantile is 1, that of group 1 is 5.
    scores, groups = np.append(np.repeat([1.0, 5.0], [90, 10]), np.nan), np.repeat([0, 1], [90, 11])
    monkeypatch.setattr(conformal, "PRIOR_SCORES", 30)
    # Of the scores above their quantile, at most 10 of 100 are above 0: the level stays.
    assert quantiles_before(scores, groups, 0.8)[-1] == pytest.approx(1 + 10 / 40 * (5 - 1))
    assert quantiles_before(scores, np.full(101, 7), 0.8)[-1] == score_quantile(scores[:-1], 0.8)


def test_every_group_is_covered_also_when_the_market_gets_wilder_than_its_forecasts() -> None:
    random = np.random.default_rng(2)
    groups = np.arange(12_000) % 6
    # Group 5 has scores three times as large; after half of the rows all scores double.
    scores = np.abs(random.normal(size=12_000)) * np.where(groups == 5, 3, 1) * np.repeat([1, 2], 6000)
    inside = scores <= quantiles_before(scores, groups, 0.8)
    for group in range(6):
        assert inside[1000:6000][groups[1000:6000] == group].mean() == pytest.approx(0.8, abs=0.04)
        assert inside[8000:][groups[8000:] == group].mean() == pytest.approx(0.8, abs=0.04)
