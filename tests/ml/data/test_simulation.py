"""Simulated markets: coherent, repeatable, without an edge in the close, with the habits of real markets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml.data.simulation import simulate
from ml.errors import ConfigurationError
from ml.timeframes import DAY_MS, HOUR_MS, TIMEFRAMES

START_MS = 1_600_041_600_000  # 2020-09-14 00:00 UTC, a multiple of a day
SYMBOLS = ("BTC/USDT", "ETH/USDT")


@pytest.fixture(scope="module")
def markets() -> dict[str, pd.DataFrame]:
    return simulate(SYMBOLS, "1h", START_MS, 20_000, seed=3)


def returns(frame: pd.DataFrame) -> np.ndarray:
    return np.diff(np.log(frame["close"].to_numpy()))


def correlation(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.corrcoef(left, right)[0, 1])


def test_candles_are_coherent_and_each_opens_at_the_close_before(markets: dict[str, pd.DataFrame]) -> None:
    for frame in markets.values():
        assert (frame["low"] <= frame[["open", "close"]].min(axis=1)).all()
        assert (frame["high"] >= frame[["open", "close"]].max(axis=1)).all()
        assert (frame["low"] > 0).all()
        assert (frame["volume"] > 0).all()
        assert (frame["open"].to_numpy()[1:] == frame["close"].to_numpy()[:-1]).all()


def test_open_times_lie_on_the_raster_in_milliseconds_of_utc(markets: dict[str, pd.DataFrame]) -> None:
    open_time = markets["BTC/USDT"]["open_time"]
    assert str(open_time.dtype) == "datetime64[ms, UTC]"
    assert open_time.iloc[0] == pd.Timestamp("2020-09-14T00:00Z")
    assert set(open_time.diff().dropna()) == {pd.Timedelta(hours=1)}


def test_known_markets_start_at_their_price_and_others_at_one_that_every_run_shares() -> None:
    first = {s: f["open"].iloc[0] for s, f in simulate(["BTC/USDT", "ETH/BTC", "NEW/USDT"], "1h", 0, 1, 0).items()}
    # ETH/BTC: 2,000 / 30,000 = 0.0666..., in seven significant digits.
    assert first == {"BTC/USDT": 30_000.0, "ETH/BTC": 0.06666667, "NEW/USDT": 100.0}


def test_the_same_seed_gives_the_same_candles_and_another_seed_others() -> None:
    once, again, other = (simulate(SYMBOLS, "1h", START_MS, 50, seed)["ETH/USDT"] for seed in (1, 1, 2))
    assert_frame_equal(once, again)
    assert not np.array_equal(once["close"], other["close"])


@pytest.mark.parametrize("timeframe", ["1m", "1h", "1d"])
@pytest.mark.parametrize("n", [0, 1, 7, 500])
def test_a_longer_simulation_begins_with_the_same_rows(timeframe: str, n: int) -> None:
    short = simulate(SYMBOLS, timeframe, START_MS, n, seed=4)
    long = simulate(SYMBOLS, timeframe, START_MS, 1_203, seed=4)
    for symbol in SYMBOLS:
        assert_frame_equal(short[symbol], long[symbol].head(n))


def test_a_market_does_not_change_when_others_are_simulated_beside_it(markets: dict[str, pd.DataFrame]) -> None:
    alone = simulate(["ETH/USDT"], "1h", START_MS, 100, seed=3)["ETH/USDT"]
    assert_frame_equal(alone, markets["ETH/USDT"].head(100))


def test_nothing_of_the_past_forecasts_the_close() -> None:
    # 40 seeds x 4,000 candles. Each statistic over a seed is about standard normal under a martingale, so its mean
    # over 40 seeds has a standard deviation of 0.16: 4 of those are 0.63.
    drift, momentum, after_range = [], [], []
    for seed in range(40):
        frame = simulate(["BTC/USDT"], "1h", START_MS, 4_000, seed)["BTC/USDT"]
        change = frame["close"].to_numpy() / frame["open"].to_numpy() - 1.0
        change = change / change.std()
        past_range = np.log(frame["high"] / frame["low"]).to_numpy()[:-1]
        drift.append(change.sum() / np.sqrt(len(change)))
        for found, signal in ((momentum, np.sign(change[:-1])), (after_range, past_range - np.median(past_range))):
            gain = signal * change[1:]
            found.append(gain.sum() / np.sqrt((gain**2).sum()))
    for statistic in (drift, momentum, after_range):
        assert abs(float(np.mean(statistic))) < 0.63
        assert 0.6 < float(np.std(statistic)) < 1.5


def test_volatility_clusters_over_hours_and_days(markets: dict[str, pd.DataFrame]) -> None:
    for frame in markets.values():
        squared = pd.Series(returns(frame) ** 2).clip(upper=(6 * returns(frame).std()) ** 2)
        # Standard error of a correlation of 20,000 independent pairs: 0.007.
        assert squared.autocorr(1) > 0.10
        assert squared.autocorr(24) > 0.05
        assert squared.autocorr(168) > 0.03
        spans = pd.Series(np.log(frame["high"] / frame["low"]))
        assert spans.autocorr(1) > 0.4


def test_returns_have_fat_tails(markets: dict[str, pd.DataFrame]) -> None:
    for frame in markets.values():
        # Excess kurtosis of a normal is 0, that of hourly BTC 33. The 10 largest are left out, so that no single
        # candle makes the point.
        found = returns(frame)
        assert pd.Series(found[np.argsort(np.abs(found))[:-10]]).kurt() > 3


def test_the_afternoon_moves_more_than_the_night(markets: dict[str, pd.DataFrame]) -> None:
    for frame in markets.values():
        spans = np.log(frame["high"] / frame["low"]).groupby(frame["open_time"].dt.hour).mean()
        # exp(2 x 0.35) = 2.0 between the peak at 15 and the trough at 3 UTC.
        assert 1.6 < spans.loc[13:16].mean() / spans.loc[1:4].mean() < 2.4


def test_markets_move_together(markets: dict[str, pd.DataFrame]) -> None:
    # 0.6 of the variance is shared.
    assert 0.45 < correlation(returns(markets["BTC/USDT"]), returns(markets["ETH/USDT"])) < 0.7


def test_volume_follows_the_range(markets: dict[str, pd.DataFrame]) -> None:
    for frame in markets.values():
        assert correlation(np.log(frame["high"] / frame["low"]), np.log(frame["volume"])) > 0.5


def test_the_range_is_that_of_a_continuous_path(markets: dict[str, pd.DataFrame]) -> None:
    # Parkinson: E[ln(high/low)^2] = 4 ln 2 E[ln(close/open)^2] for a Brownian path; a walk of 12 points falls short by
    # a fifth. Here volatility differs from candle to candle, which leaves the ratio of the means as it is.
    frame = pd.concat(markets.values())
    spans, changes = np.log(frame["high"] / frame["low"]), np.log(frame["close"] / frame["open"])
    assert (spans**2).mean() / (changes**2).mean() == pytest.approx(4 * np.log(2), rel=0.06)


@pytest.mark.parametrize("timeframe", ["1m", "4h", "1d"])
def test_volatility_grows_with_the_root_of_the_timeframe(timeframe: str) -> None:
    # Hourly volatility of BTC is 0.006. The slow memory makes single short markets calm or wild, so many are averaged:
    # the mean square of 100 has a relative standard deviation of about 2 / sqrt(100) = 0.2.
    expected = 0.006**2 * TIMEFRAMES[timeframe] / HOUR_MS
    frames = [simulate(["BTC/USDT"], timeframe, START_MS, 200, seed)["BTC/USDT"] for seed in range(100)]
    found = float(np.mean([np.mean(returns(frame) ** 2) for frame in frames]))
    # A minute at midnight UTC is in the quiet part of the day: its first 200 have 0.6 of the mean square at 2 UTC.
    assert 0.3 < found / expected < 1.7


@pytest.mark.parametrize(("start_ms", "n", "seed"), [(DAY_MS + 1, 10, 0), (0, -1, 0), (0, 10, -1)])
def test_impossible_arguments_are_refused(start_ms: int, n: int, seed: int) -> None:
    with pytest.raises(ConfigurationError):
        simulate(["BTC/USDT"], "1h", start_ms, n, seed)
