"""An incremental run leaves what a full build would: appended and revised candles, filled gaps, a new market."""

from __future__ import annotations

import numpy as np
import pytest
from built import Built, Table

from flows.forecasting.inputs import latest_rows, newest_open_ms
from ml.series import Series

PROVENANCE = ("symbol", "load_id", "candle_id")
#: Rows of a window that are compared: more than any case has lags.
LATEST = 1100
TABLES = ("fct_candles", "fct_features", "fct_labels")


def assert_same(found: Table, wanted: Table, but: tuple[str, ...] = ()) -> None:
    assert list(found) == list(wanted)
    for column in found:
        if column in but:
            continue
        if found[column].dtype.kind == "f":
            np.testing.assert_allclose(found[column], wanted[column], rtol=1e-9, atol=1e-12, err_msg=column)
        else:
            np.testing.assert_array_equal(found[column], wanted[column], err_msg=column)


@pytest.mark.parametrize("timeframe", ["1h", "4h", "1d"])
@pytest.mark.parametrize("market", ["TAIL", "REVISED", "HOLE", "NEW"])
@pytest.mark.parametrize("table", TABLES)
def test_a_market_that_came_in_pieces_equals_the_one_that_came_at_once(
    built: Built, table: str, market: str, timeframe: str
) -> None:
    # the symbol differs, and so do the loads
    found, wanted = (built.table("third", table, name, timeframe) for name in (market, "FULL"))
    assert_same(found, wanted, but=PROVENANCE)


@pytest.mark.parametrize("table", TABLES)
def test_after_all_increments_a_full_refresh_changes_nothing(built: Built, table: str) -> None:
    before, after = built.stages["third"][table], built.stages["full_refresh"][table]
    assert list(before) == list(after)
    for series in before:
        assert_same(before[series], after[series])


def test_the_pieces_were_really_different_at_first(built: Built) -> None:
    for market in ("TAIL", "REVISED", "HOLE"):
        with pytest.raises(AssertionError):
            assert_same(
                built.table("first", "fct_features", market, "1h"),
                built.table("first", "fct_features", "FULL", "1h"),
                but=PROVENANCE,
            )


def test_without_a_changed_candle_nothing_is_written(built: Built) -> None:
    # all rows of the last open time carry a mark since before that run
    for market in ("FULL", "TAIL", "NEW"):
        assert built.table("unchanged", "fct_features", market, "1h")["rsi_14"][-1] == -99


def test_only_the_tail_of_a_changed_series_is_written(built: Built) -> None:
    # a row names the largest load that its series had seen up to its time: load 7 revised candle 3,400
    loads = built.table("second", "fct_features", "REVISED", "1h")["load_id"]
    assert loads.tolist() == [4] * 3399 + [7] * 501


def test_a_daily_candle_appears_when_its_last_hour_is_there(built: Built) -> None:
    lengths = [len(built.table(stage, "fct_candles", "TAIL", "1d")["close"]) for stage in ("first", "second", "third")]
    ends = [built.table(stage, "fct_candles", "TAIL", "1h")["close_time"][-1] for stage in ("first", "second", "third")]
    first_day = built.table("first", "fct_candles", "TAIL", "1d")["open_time"][0]
    assert lengths == [int((end - first_day) // np.timedelta64(1, "D")) for end in ends]


def test_the_label_of_the_last_row_is_filled_when_the_next_candle_comes(built: Built) -> None:
    last = len(built.table("first", "fct_labels", "TAIL", "1h")["label_high"]) - 1
    assert np.isnan(built.table("first", "fct_labels", "TAIL", "1h")["label_high"][last])
    candles = built.table("second", "fct_candles", "FULL", "1h")
    there = ~candles["is_gap"].astype(bool)
    high, close = candles["high"][there].astype(float), candles["close"][there].astype(float)
    label = built.table("second", "fct_labels", "TAIL", "1h")["label_high"][last]
    assert label == pytest.approx(np.log(high[last + 1] / close[last]), rel=1e-12)


@pytest.mark.parametrize("timeframe", ["1h", "4h", "1d"])
def test_what_is_served_is_what_a_full_build_holds(built: Built, timeframe: str) -> None:
    """The rows that a forecast reads after increments, against the same rows of the full refresh."""
    series = Series(exchange="test", symbol="TAIL/USDT", timeframe=timeframe)
    with built.warehouse.connect() as connection:
        columns = list(built.catalogue)
        served, run_lengths = latest_rows(connection, series, columns, LATEST)
        newest_ms = newest_open_ms(connection, series)
    full = built.table("full_refresh", "fct_features", "TAIL", timeframe)
    rows = len(served)
    assert rows == min(LATEST, len(full["open_time"]))
    assert newest_ms == np.datetime64(full["open_time"][-1], "ms").astype(int)
    np.testing.assert_array_equal(run_lengths, full["run_length"][-rows:])
    for place, column in enumerate(columns):
        wanted = full[column][-rows:].astype(np.float32)
        np.testing.assert_allclose(served[:, place], wanted, rtol=1e-6, atol=1e-12, err_msg=column)
