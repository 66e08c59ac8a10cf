"""Thresholds chosen by walk-forward, and the luck behind the choice."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from arch.bootstrap import SPA
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import CaseError
from ml.timeframes import DAY_MS
from ml.trading.choice import BLOCKS, choose
from ml.trading.luck import deflated_sharpe, gain_quantiles, grid_p_value

PAIRS = np.array([[0.1, -0.1], [0.2, -0.1], [0.3, -0.3]])


def times(days: int, per_day: int = 4) -> np.ndarray:
    return np.arange(days * per_day, dtype=np.int64) * (DAY_MS // per_day)


def test_each_block_is_traded_by_the_best_pair_before_it() -> None:
    gains = np.zeros((50, 3))
    gains[:10, 1] = 1.0  # the best of the first block
    gains[10:20, 2] = 2.0  # overtakes within the second
    gains[40:, 0] = 9.0  # the best of all, which no block can know
    choice = choose(PAIRS, lambda pairs: gains, times(50))
    assert (choice.first, choice.chosen) == (40, 0)
    assert np.isnan(choice.buy[:40]).all()
    assert set(choice.buy[40:80]) == {0.2} and set(choice.buy[80:]) == {0.3}
    assert set(choice.sell[80:]) == {-0.3}


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(10, 60), st.integers(1, 3))
def test_later_candles_never_change_thresholds_in_force(seed: int, days: int, changed: int) -> None:
    random = np.random.default_rng(seed)
    gains = random.normal(size=(days, 3))
    edge = days * (BLOCKS - changed) // BLOCKS
    other = gains.copy()
    other[edge:] = random.normal(size=(days - edge, 3))
    ours, theirs = (choose(PAIRS, lambda pairs, one=one: one, times(days)) for one in (gains, other))
    until = times(days) // DAY_MS < edge
    np.testing.assert_array_equal(ours.buy[until], theirs.buy[until])


def test_there_has_to_be_a_choice_and_time_for_it() -> None:
    with pytest.raises(CaseError, match=r"the scores do not differ\. Use another case"):
        choose(PAIRS[:0], lambda pairs: np.zeros((50, 0)), times(50))
    with pytest.raises(CaseError, match=r"Validation has 4 days, thresholds need 5\. Ingest more candles"):
        choose(PAIRS, lambda pairs: np.zeros((4, 3)), times(4))


def test_quantiles_of_a_gain_are_around_it_and_need_a_month() -> None:
    gains = np.random.default_rng(1).normal(0.01, 0.02, 400)
    lower, upper = gain_quantiles(gains, [0.05, 0.95]) or [math.nan, math.nan]
    assert lower < gains.sum() < upper
    # Standard error of a sum of independent days: .02 x sqrt(400) = .4.
    assert upper - lower == pytest.approx(2 * 1.645 * 0.4, rel=0.2)
    assert gain_quantiles(gains[:29], [0.05]) is None
    deep = gain_quantiles(gains, [0.001]) or [math.nan]
    assert deep[0] < lower


def test_the_p_value_of_a_grid_finds_a_gain_and_no_luck() -> None:
    random = np.random.default_rng(2)
    holding = random.normal(0, 0.02, 500)
    luck = holding[:, None] + random.normal(0, 0.01, (500, 20))
    p_value = grid_p_value(luck, holding)
    oracle = SPA(-holding, -luck, reps=1000, seed=1, block_size=2)
    oracle.compute()
    assert p_value == pytest.approx(float(oracle.pvalues["consistent"]), abs=0.1)
    found = grid_p_value(np.column_stack([luck, holding + 0.005 + random.normal(0, 0.01, 500)]), holding)
    assert p_value is not None and found is not None and found < 0.01 < p_value
    assert grid_p_value(luck[:20], holding[:20]) is None


def deflated(own: float, spread: float, trials: int, days: int, skewness: float, kurtosis: float) -> float:
    """Equations 1 and 2 of Bailey and López de Prado (2014)."""
    normal, euler = NormalDist(), 0.5772156649015329
    luck = spread * ((1 - euler) * normal.inv_cdf(1 - 1 / trials) + euler * normal.inv_cdf(1 - 1 / (trials * math.e)))
    variance = 1 - skewness * own + (kurtosis - 1) / 4 * own**2
    return normal.cdf((own - luck) * math.sqrt((days - 1) / variance))


def test_the_deflated_sharpe_ratio_is_that_of_the_paper() -> None:
    """Its example: 2.5 a year on 1,250 days, 100 trials with the variance 1/2, skewness -3, kurtosis 10: .9004."""
    own, spread = 2.5 / math.sqrt(250), math.sqrt(0.5 / 250)
    assert deflated(own, spread, 100, 1250, -3, 10) == pytest.approx(0.9004, abs=1e-4)
    random = np.random.default_rng(0)
    noise = random.standard_t(4, size=1250)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    ratios = np.append(own, random.normal(0, spread, 99))
    second = np.mean(noise**2)
    moments = float(np.mean(noise**3) / second**1.5), float(np.mean(noise**4) / second**2)
    expected = deflated(own, float(ratios.std(ddof=1)), 100, 1250, *moments)
    assert deflated_sharpe(noise[:, None] + ratios, 0) == pytest.approx(expected, abs=1e-9)


def test_a_rule_that_never_trades_has_no_ratio() -> None:
    gains = np.zeros((100, 2))
    gains[:, 1] = np.random.default_rng(3).normal(size=100)
    assert deflated_sharpe(gains, 0) is None
    assert deflated_sharpe(gains[:20], 1) is None
    assert deflated_sharpe(gains[:, 1:], 0) is not None
