"""Features of other series: the reference market at the same time, the last closed candle of the higher timeframe."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from built import Built, Table
from feature_oracle import described

Floats = npt.NDArray[np.float64]
LARGER = {"1h": ("4h", 4), "4h": ("1d", 6)}


def values(table: Table, column: str) -> Floats:
    return table[column].astype(np.float64)


def at(table: Table, column: str, times: npt.NDArray[np.generic]) -> Floats:
    """A column at the given open times, NaN where the table has no such row."""
    known = dict(zip(table["open_time"].astype("datetime64[ms]").tolist(), values(table, column), strict=True))
    return np.array([known.get(time, np.nan) for time in times.astype("datetime64[ms]").tolist()])


def same(found: Floats, wanted: Floats) -> None:
    assert np.isfinite(wanted).sum() > 0
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("timeframe", ["1h", "4h", "1d"])
def test_the_leader_is_seen_at_the_same_time(built: Built, timeframe: str) -> None:
    own, reference = (built.table("first", "fct_features", market, timeframe) for market in ("FULL", "BTC"))
    times = own["open_time"]
    for column in (
        *("log_return_1", "log_return_6", "log_return_24"),
        *("volatility_24", "volume_ratio_24"),
        *(() if timeframe == "1d" else ("rsi_14",)),
    ):
        same(values(own, f"leader_{column}"), at(reference, column, times))
    for rows in (1, 24):
        difference = values(own, f"log_return_{rows}") - at(reference, f"log_return_{rows}", times)
        same(values(own, f"return_over_leader_{rows}"), difference)


@pytest.mark.parametrize("timeframe", ["1h", "4h"])
def test_correlation_and_beta_are_those_of_the_last_72_returns(built: Built, timeframe: str) -> None:
    own, reference = (built.table("first", "fct_features", market, timeframe) for market in ("FULL", "BTC"))
    y, x = values(own, "log_return_1"), at(reference, "log_return_1", own["open_time"])
    correlation, beta = np.full(len(y), np.nan), np.full(len(y), np.nan)
    for row in range(71, len(y)):
        ys, xs = y[row - 71 : row + 1], x[row - 71 : row + 1]
        if np.isfinite(ys).all() and np.isfinite(xs).all():
            correlation[row] = np.corrcoef(xs, ys)[0, 1]
            beta[row] = np.polyfit(xs, ys, 1)[0]
    same(values(own, "leader_correlation_72"), correlation)
    same(values(own, "leader_beta_72"), beta)


def test_the_leader_leads_itself(built: Built) -> None:
    table = built.table("first", "fct_features", "BTC", "1h")
    same(values(table, "leader_log_return_24"), values(table, "log_return_24"))
    assert np.nanmax(np.abs(values(table, "return_over_leader_24"))) == 0
    assert np.nanmin(values(table, "leader_beta_72")) == pytest.approx(1)


@pytest.mark.parametrize("timeframe", ["1h", "4h"])
def test_the_larger_candle_is_the_last_one_that_has_closed(built: Built, timeframe: str) -> None:
    name, ratio = LARGER[timeframe]
    own, larger = (built.table("first", "fct_features", "FULL", frame) for frame in (timeframe, name))
    closes = own["available_at"].astype("datetime64[h]").astype(np.int64)
    hours = ratio * (1 if timeframe == "1h" else 4)
    opened = ((closes // hours - 1) * hours).astype("datetime64[h]")
    columns = {
        "larger_log_return_1": "log_return_1",
        "larger_log_return_6": "log_return_6",
        "larger_body": "candle_body",
        "larger_range": "candle_range",
        "larger_close_location": "candle_close_location",
        "larger_close_over_sma_24": "close_over_sma_24",
        "larger_volatility_24": "volatility_24",
        **({} if timeframe == "4h" else {"larger_rsi_14": "rsi_14"}),
    }
    for column, source in columns.items():
        same(values(own, column), at(larger, source, opened))
    candles, large = (built.table("first", "fct_candles", "FULL", frame) for frame in (timeframe, name))
    there = ~candles["is_gap"].astype(bool)
    same(values(own, "close_over_larger_close"), values(candles, "close")[there] / at(large, "close", opened) - 1)
    same(values(own, "larger_age"), (closes % hours) / hours)


def test_the_largest_timeframe_has_no_larger_one(built: Built) -> None:
    table = built.table("first", "fct_features", "FULL", "1d")
    for column in described("larger_timeframe"):
        assert np.isnan(values(table, column)).all(), column


def test_a_revised_candle_of_the_leader_changes_the_others(built: Built) -> None:
    before, after = (built.table(stage, "fct_features", "FULL", "1h") for stage in ("first", "second"))
    moved = ~np.isclose(values(before, "leader_log_return_1"), values(after, "leader_log_return_1"), equal_nan=True)
    # the wrong close was the 2,900th: it is in two returns
    assert np.flatnonzero(moved).tolist() == [2899, 2900]


@pytest.mark.parametrize(("stage", "late"), [("first", False), ("third", True), ("full_refresh", True)])
@pytest.mark.parametrize("timeframe", ["1h", "4h", "1d"])
def test_an_outside_series_shows_what_was_known_when_the_candle_opened(
    built: Built, stage: str, late: bool, timeframe: str
) -> None:
    table = built.table(stage, "fct_features", "FULL", timeframe)
    hours = 7.5 * np.arange(600.0)
    facts = sorted([*zip(hours, np.sin(np.arange(600.0)), strict=True), *([(3700.25, -5.0)] if late else [])])
    known = np.array([hour for hour, _ in facts])
    opened = (table["open_time"] - np.datetime64("2018-01-12")) / np.timedelta64(1, "h")
    last = np.searchsorted(known, opened, side="right") - 1
    wanted = np.where(last >= 0, np.array([value for _, value in facts])[last], np.nan)
    same(values(table, "outside_sentiment"), wanted)
    # so that it is at least one candle old when the candle closes
    assert (known[last[last >= 0]] <= opened[last >= 0]).all()


def test_outside_series_that_were_never_loaded_are_null(built: Built) -> None:
    table = built.table("first", "fct_features", "FULL", "1h")
    assert np.isnan(values(table, "outside_funding_rate")).all()
    assert np.isnan(values(table, "outside_order_book")).all()
