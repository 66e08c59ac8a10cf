"""The canaries' markets have the properties that they are documented to have."""

from __future__ import annotations

import numpy as np
import pytest

from ml.canaries.markets import CATALOGUE, Trial, canary_market, features_of
from ml.data.targets import CLOSE, HIGH, LOW
from ml.metrics.baselines import Baselines

ROWS = 20_000
#: Correlations of independent values stay within this, all but once in 15,000 times.
NOISE = 4 / np.sqrt(ROWS)


def correlation(earlier: np.ndarray, later: np.ndarray) -> float:
    return float(np.corrcoef(earlier, later)[0, 1])


def test_nothing_in_the_null_market_tells_the_next_candle() -> None:
    market = canary_market(Trial(ROWS, 3))
    known = slice(24, -1)
    close, span = market.labels[known, CLOSE], market.labels[known, HIGH] - market.labels[known, LOW]
    for column, name in enumerate(CATALOGUE):
        for label in (close, np.abs(close), span):
            assert abs(correlation(market.features[known, column], label)) < NOISE, name
    assert abs(close.mean()) < 4 * close.std() / np.sqrt(ROWS)


@pytest.mark.parametrize("edge", [0.2, -0.5])
def test_a_planted_edge_is_as_large_as_it_is_said_to_be(edge: float) -> None:
    market = canary_market(Trial(ROWS, 3, edge=edge))
    closes = market.labels[:-1, CLOSE]
    assert correlation(closes[:-1], closes[1:]) == pytest.approx(edge, abs=NOISE)
    # A ridge has to see it: the feature is the return of the row's own candle.
    assert correlation(market.features[1:-1, 0], closes[1:]) == pytest.approx(edge, abs=NOISE)


def test_in_the_range_market_the_regression_on_mean_ranges_is_right_and_the_rest_is_luck() -> None:
    market = canary_market(Trial(ROWS, 3, range_only=True))
    baselines = Baselines(market.candles, market.labels, market.open_time_ms, market.timeframe_ms)
    rows = np.arange(200, ROWS - 1)
    error = market.labels[rows] - baselines.forecast("har_range", rows, rows)
    expected = baselines.forecast("har_range", rows, rows)
    # The range can be foreseen, and what the regression leaves follows no feature in the mean.
    assert np.var(error[:, HIGH]) < 0.97 * np.var(market.labels[rows, HIGH])
    for column, name in enumerate(CATALOGUE):
        for label in (HIGH, LOW, CLOSE):
            relative = error[:, label] / expected[:, HIGH]
            assert abs(correlation(market.features[rows, column], relative)) < NOISE, name


@pytest.mark.parametrize("trial", [Trial(500, 1, 0.3), Trial(500, 1, range_only=True)])
def test_candles_exist_and_labels_describe_the_next_one(trial: Trial) -> None:
    market = canary_market(trial)
    opens, high, low, close, volume = market.candles.T
    assert (high >= np.maximum(opens, close)).all()
    assert (low <= np.minimum(opens, close)).all()
    assert (low > 0).all()
    assert (volume > 0).all()
    np.testing.assert_allclose(opens[1:], close[:-1], rtol=1e-12)
    next_candle = np.log(market.candles[1:, 1:4] / close[:-1, None])
    np.testing.assert_allclose(market.labels[:-1], next_candle, rtol=0, atol=1e-12)
    assert np.isnan(market.labels[-1]).all()


def test_features_know_no_later_candle() -> None:
    market = canary_market(Trial(300, 2))
    short = features_of(market.candles[:200], market.open_time_ms[:200])
    np.testing.assert_array_equal(short, features_of(market.candles, market.open_time_ms)[:200])
    assert np.isfinite(short[24:]).all()
    assert short.shape == (200, len(CATALOGUE))


def test_a_seed_is_a_market() -> None:
    assert canary_market(Trial(300, 5)).id == canary_market(Trial(300, 5)).id
    assert canary_market(Trial(300, 5)).id != canary_market(Trial(300, 6)).id
    assert canary_market(Trial(300, 5)).id != canary_market(Trial(300, 5, edge=0.1)).id
