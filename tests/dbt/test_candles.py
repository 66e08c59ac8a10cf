"""The time grid, the derived timeframes and the labels on real candles, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from built import Built

HOUR = np.timedelta64(1, "h")


def test_the_raster_is_regular_and_gap_rows_hold_no_prices(built: Built) -> None:
    candles = built.table("first", "fct_candles", "FULL", "1h")
    assert set(np.diff(candles["open_time"])) == {HOUR}
    gap = candles["is_gap"].astype(bool)
    assert (~gap).sum() == 3900
    for column in ("open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(np.isnan(candles[column].astype(float)), gap)
    np.testing.assert_array_equal(candles["available_at"], candles["open_time"] + HOUR)


def test_three_candles_taken_away_are_three_gap_rows_more(built: Built) -> None:
    full, hole = (built.table("first", "fct_candles", market, "1h") for market in ("FULL", "HOLE"))
    np.testing.assert_array_equal(full["open_time"], hole["open_time"])
    assert int(hole["is_gap"].sum()) - int(full["is_gap"].sum()) == 3


def test_run_length_counts_the_candles_since_the_last_gap(built: Built) -> None:
    candles = built.table("first", "fct_candles", "FULL", "1h")
    run, expected = 0, []
    for is_gap in candles["is_gap"]:
        run = 0 if is_gap else run + 1
        expected.append(run)
    assert candles["run_length"].tolist() == expected


@pytest.mark.parametrize(("timeframe", "hours"), [("4h", 4), ("1d", 24)])
def test_derived_candles_are_complete_buckets_since_1970_and_gaps_between_them(
    built: Built, timeframe: str, hours: int
) -> None:
    base = built.table("first", "fct_candles", "FULL", "1h")
    there = ~base["is_gap"].astype(bool)
    bucket = base["open_time"].astype("datetime64[h]").astype(np.int64) // hours
    complete = {}
    for number in np.unique(bucket):
        rows = np.flatnonzero((bucket == number) & there)
        if len(rows) == hours:
            prices = {name: base[name][rows].astype(float) for name in ("open", "high", "low", "close", "volume")}
            complete[int(number)] = (
                prices["open"][0],
                prices["high"].max(),
                prices["low"].min(),
                prices["close"][-1],
                prices["volume"].sum(),
            )
    derived = built.table("first", "fct_candles", "FULL", timeframe)
    numbers = derived["open_time"].astype("datetime64[h]").astype(np.int64) // hours
    assert numbers.tolist() == list(range(min(complete), max(complete) + 1))
    assert [int(number) for number in numbers[~derived["is_gap"].astype(bool)]] == list(complete)
    for row, number in enumerate(numbers):
        found = [float(derived[name][row]) for name in ("open", "high", "low", "close", "volume")]
        wanted = complete.get(int(number), (np.nan,) * 5)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("timeframe", ["1h", "4h", "1d"])
def test_labels_are_the_next_candle_over_this_close(built: Built, timeframe: str) -> None:
    candles = built.table("first", "fct_candles", "FULL", timeframe)
    labels = built.table("first", "fct_labels", "FULL", timeframe)
    there = ~candles["is_gap"].astype(bool)
    np.testing.assert_array_equal(labels["open_time"], candles["open_time"][there])
    close = candles["close"].astype(float)
    for name in ("high", "low", "close"):
        following = np.append(candles[name][1:].astype(float), np.nan)
        wanted = np.log(following / close)[there]
        np.testing.assert_allclose(labels[f"label_{name}"].astype(float), wanted, rtol=1e-12)
    assert np.isnan(labels["label_close"][-1])
    known = ~np.isnan(labels["label_close"].astype(float))
    step = candles["close_time"][0] - candles["open_time"][0]
    np.testing.assert_array_equal(labels["label_available_at"][known], labels["open_time"][known] + 2 * step)
    assert np.isnat(labels["label_available_at"][~known]).all()
