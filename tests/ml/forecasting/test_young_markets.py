"""A market that is withheld from the others is forecast from its first day, better than by anything of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.data.targets import next_candle_labels
from ml.forecasting.forecast import YOUNG, forecast_candle, is_young
from ml.forecasting.history import History
from ml.forecasting.young_markets import ALL_MARKETS, YoungMarkets
from ml.models.base import Floats
from tests.synthetic import HOUR_MS, make_dataset

OTHERS = ("BTC", "ETH", "BNB", "ADA", "LTC")


def history(candles: Floats, open_time_ms: np.ndarray | None = None) -> History:
    times = np.arange(len(candles), dtype=np.int64) * HOUR_MS if open_time_ms is None else open_time_ms
    return History(candles, next_candle_labels(candles, times, HOUR_MS), times, HOUR_MS)


def simulated(rows: int, seed: int) -> History:
    return history(make_dataset(rows, seed).candles)


def first(market: History, rows: int) -> History:
    """The market when it had this many candles."""
    return history(market.candles[:rows], market.open_time_ms[:rows])


def recorded(candles: Path, symbol: str) -> History:
    frame = pd.read_parquet(candles / f"binance/{symbol}-USDT/1h.parquet")
    prices = frame[["open", "high", "low", "close", "volume"]].to_numpy()
    return history(prices, frame["open_time"].astype("datetime64[ms, UTC]").astype("int64").to_numpy())


def error(forecasts: Sequence[Floats], labels: Floats) -> float:
    return float(np.sqrt(np.mean((np.exp(np.concatenate(forecasts)) - np.exp(labels)) ** 2)))


def test_a_withheld_market_is_forecast_better_than_by_its_mean_range(candles_dir: Path) -> None:
    sol, others = recorded(candles_dir, "SOL"), [recorded(candles_dir, symbol) for symbol in OTHERS]
    rows = np.arange(23, 299)
    made: dict[str, list[Floats]] = {"all markets": [], "mean_range": [], "ewma_range": []}
    for age, until in ((24, 48), (48, 96), (96, 168), (168, 300)):
        past = [first(one, int(np.searchsorted(one.open_time_ms, sol.open_time_ms[age]))) for one in others]
        young = YoungMarkets(past, age)
        for count in range(age, until):
            known = first(sol, count)
            forecast = young.forecast(known)
            assert forecast is not None
            made["all markets"].append(forecast)
            for name in ("mean_range", "ewma_range"):
                made[name].append(known.forecast(name, np.array([count - 1]), known.learnt))
    errors = {name: error(forecasts, sol.labels[rows]) for name, forecasts in made.items()}
    assert errors["all markets"] < 0.98 * errors["mean_range"]
    assert errors["all markets"] < 0.98 * errors["ewma_range"]


def test_its_first_interval_is_that_of_the_other_markets() -> None:
    others = [simulated(3000, seed) for seed in (2, 3)]
    market = simulated(400, 1)
    inside = []
    for count in range(25, 400, 5):
        candle = forecast_candle(first(market, count), "ewma_range", young=YoungMarkets(others, count))
        assert candle["baseline"] == ALL_MARKETS
        assert candle["rivals"][ALL_MARKETS] == [candle["high"], candle["low"], candle["close"]]
        high, low = market.candles[count, 1:3]
        inside.append(candle["band_low"] <= low and high <= candle["band_high"])
    assert 0.65 < np.mean(inside) < 0.95


def test_two_candles_are_enough() -> None:
    candle = forecast_candle(first(simulated(10, 1), 2), "ewma_range", young=YoungMarkets([simulated(3000, 2)], 2))
    assert candle["baseline"] == ALL_MARKETS
    assert candle["band_low"] < candle["low"] <= candle["high"] < candle["band_high"]


def test_neither_the_price_nor_the_level_of_volatility_of_a_market_matters() -> None:
    market, other = simulated(100, 1), simulated(3000, 2)
    expected = YoungMarkets([other], 100).forecast(market)
    dear = history(market.candles * [10, 10, 10, 10, 1])
    np.testing.assert_allclose(YoungMarkets([other], 100).forecast(dear), expected, rtol=1e-9)
    wild = np.exp(3 * np.log(other.candles[:, :4]))
    wilder = history(np.column_stack([wild, other.candles[:, 4]]))
    np.testing.assert_allclose(YoungMarkets([wilder], 100).forecast(market), expected, rtol=1e-9)


@pytest.mark.parametrize("others", [[], [simulated(3, 5)]])
def test_without_others_to_learn_from_its_own_baseline_serves(others: list[History]) -> None:
    young = YoungMarkets(others, 200)
    assert young.forecast(simulated(200, 1)) is None
    assert forecast_candle(simulated(200, 1), "ewma_range", young=young)["baseline"] == "ewma_range"


def test_a_market_that_stands_still_is_forecast_by_its_own_baseline() -> None:
    moved = simulated(200, 1)
    flat = moved.candles.copy()
    flat[-6:, :4] = flat[-7, 3]
    still = history(flat)
    young = YoungMarkets([simulated(3000, 2)], 200)
    assert young.forecast(still) is None
    assert forecast_candle(still, "ewma_range", young=young)["baseline"] == "ewma_range"


def test_gaps_of_the_others_are_no_rows_to_learn_from() -> None:
    other = simulated(3000, 2)
    gappy = np.delete(np.arange(3000), [500, 501, 1700])
    holes = history(other.candles[gappy], other.open_time_ms[gappy])
    market = simulated(100, 1)
    found, expected = (YoungMarkets([one], 100).forecast(market) for one in (holes, other))
    np.testing.assert_allclose(found, expected, rtol=0.02)


def test_a_market_is_young_until_it_is_evaluated_or_has_a_past() -> None:
    assert is_young(simulated(YOUNG - 1, 1), None)
    assert not is_young(simulated(YOUNG, 1), None)
    assert not is_young(simulated(100, 1), "har_range")


def test_missing_candles_widen_the_interval() -> None:
    market, young = simulated(100, 1), YoungMarkets([simulated(3000, 2)], 100)
    near, far = (forecast_candle(one, "ewma_range", young=young) for one in (market, replace(market, missing=3)))
    assert far["band_high"] - far["band_low"] > 1.5 * (near["band_high"] - near["band_low"])
