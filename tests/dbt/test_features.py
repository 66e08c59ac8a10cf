"""Feature columns against an independent calculation, and against time."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import feature_oracle
import numpy as np
import numpy.typing as npt
import pytest
from built import CUTS, Built, Table
from feature_oracle import CATALOGUE, COLUMNS, GROUPS
from oracle_tools import Candles

from ml.search.cases import is_logarithmic

Floats = npt.NDArray[np.float64]
TIMEFRAMES = ("1h", "4h", "1d")
OWN = ["exchange", "symbol", "timeframe", "open_time", "available_at", "candle_id", "run_length", "load_id"]
# The groups that the Bitcoin Factory publishes and that follow from candles: each has its equal here.
MINES = (
    *("alligator", "atr", "roc", "stochastic", "vwap", "koncorde", "chande", "coppock", "rsi", "bollinger"),
    *("bollinger_stochastic", "moving_average", "ema", "fibonacci", "hann", "heikin_ashi", "supertrend", "keltner"),
    *("macd", "mayer", "momentum", "optimised_trend", "pivots", "volume", "money_flow", "relative_vigor", "schaff"),
    *("directional", "ichimoku", "parabolic_sar", "turtle", "zscore", "statistics", "candle_shape"),
    *("candle_patterns", "volatility", "realised_volatility", "calendar", "market_context", "larger_timeframe"),
)


def values(table: Table, column: str) -> Floats:
    return table[column].astype(np.float64)


def tolerance(of: Floats) -> dict[str, float]:
    """1e-9 of the value; a value near zero is held against the column's size, times 1e-3."""
    known = np.abs(of[~np.isnan(of)])
    return {"rtol": 1e-9, "atol": 1e-12 * float(known.max(initial=1e-6))}


def present(candles: Table) -> Candles:
    there = ~candles["is_gap"].astype(bool)
    return {name: column[there] for name, column in candles.items()}


@pytest.fixture(scope="session")
def expected(built: Built) -> Any:
    """(timeframe) -> every column of the market FULL, from the oracle."""

    @cache
    def of(timeframe: str) -> dict[str, Floats]:
        return feature_oracle.all_features(present(built.table("first", "fct_candles", "FULL", timeframe)))

    return of


def rows_changed_by_later_candles(before: Floats, after: Floats) -> int:
    """Rows of a column that are not the same once later candles are known."""
    return int(np.sum(~np.isclose(before, after[: len(before)], equal_nan=True, **tolerance(after))))


def test_the_catalogue_has_at_least_200_columns_and_every_group_of_the_public_list() -> None:
    assert len(COLUMNS) >= 200
    assert set(MINES) <= set(GROUPS)
    assert len(GROUPS) >= 31


def test_the_mart_holds_each_column_of_the_catalogue_once(built: Built) -> None:
    described = built.catalogue
    assert list(built.table("first", "fct_features", "FULL", "1h")) == OWN + list(described)
    assert list(described) == list(CATALOGUE)
    for entry in described.values():
        assert entry["description"] and entry["formula"] and entry["unit"]
        assert isinstance(entry["lookback"], int) and isinstance(entry["relative"], bool)


def test_the_columns_that_a_unit_divides_are_those_in_log_units_that_grow_with_volatility() -> None:
    groups = ("har", "season", "candle_shape", "returns")
    for column, meta in CATALOGUE.items():
        assert meta["unit"] == "log" or not is_logarithmic(column), column
        assert meta["unit"] != "log" or meta["group"] not in groups or is_logarithmic(column), column


def test_a_group_is_called_as_its_model() -> None:
    for group in GROUPS:
        assert {meta["group"] for meta in feature_oracle.described(group).values()} == {group}


def test_every_price_level_has_a_relative_form_in_its_group() -> None:
    for group in GROUPS:
        relative = [meta["relative"] for meta in feature_oracle.described(group).values()]
        assert any(relative), group


def test_features_equal_independent_values_and_are_null_just_where_a_gap_lies_in_their_lookback(
    built: Built, expected: Any, subtests: pytest.Subtests
) -> None:
    for column, timeframe in product(COLUMNS, TIMEFRAMES):
        with subtests.test(column=column, timeframe=timeframe):
            table = built.table("first", "fct_features", "FULL", timeframe)
            found, wanted = values(table, column), expected(timeframe)[column]
            if CATALOGUE[column].get("tolerant"):
                exact = np.isfinite(wanted)
            else:
                exact = table["run_length"].astype(np.int64) >= CATALOGUE[column]["lookback"]
            np.testing.assert_array_equal(~np.isnan(found), exact)
            np.testing.assert_allclose(found[exact], wanted[exact], **tolerance(wanted))
            assert timeframe != "1h" or exact.sum() >= 200


def test_no_feature_is_always_the_same(built: Built) -> None:
    table = built.table("first", "fct_features", "FULL", "1h")
    same = [
        column for column in COLUMNS if CATALOGUE[column]["data_type"] == "double" and np.nanstd(table[column]) == 0
    ]
    assert not same


def test_the_candles_of_the_tests_hold_a_real_gap_after_which_all_features_come_back(built: Built) -> None:
    candles = built.table("first", "fct_candles", "FULL", "1h")
    gaps = np.flatnonzero(candles["is_gap"].astype(bool))
    assert len(gaps) >= 33
    assert candles["run_length"][gaps[-1] :].max() >= max(meta["lookback"] for meta in CATALOGUE.values())


def test_features_forget_everything_before_their_lookback(
    built: Built, expected: Any, subtests: pytest.Subtests
) -> None:
    """The lookbacks in the YAML are long enough: that many candles alone give the value of the whole history."""
    candles = present(built.table("first", "fct_candles", "FULL", "1h"))
    for group in (group for group in GROUPS if group not in feature_oracle.CONTEXT):
        lookbacks = {name: meta["lookback"] for name, meta in feature_oracle.described(group).items()}
        for lookback, row in product(set(lookbacks.values()), (2999, 3123, 3500, 3777, 3899)):
            short = {name: column[row + 1 - lookback : row + 1] for name, column in candles.items()}
            found = feature_oracle.group_features(group, short)
            for column in (name for name, rows in lookbacks.items() if rows == lookback):
                with subtests.test(group=group, column=column, row=row):
                    whole = expected("1h")[column]
                    most = 2e-9 * np.nanstd(whole) + tolerance(whole)["atol"]
                    assert abs(found[column][-1] - whole[row]) <= most


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
@pytest.mark.parametrize("market", ["TAIL", *CUTS])
def test_features_do_not_change_when_later_candles_come(built: Built, market: str, timeframe: str) -> None:
    cut = built.table("first", "fct_features", market, timeframe)
    full = built.table("first", "fct_features", "FULL", timeframe)
    assert len(full["open_time"]) > len(cut["open_time"])
    changed = {column: rows_changed_by_later_candles(values(cut, column), values(full, column)) for column in CATALOGUE}
    assert not {column: rows for column, rows in changed.items() if rows}


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_prices_times_ten_leave_relative_features_as_they_are_and_levels_times_ten(
    built: Built, timeframe: str
) -> None:
    one = built.table("first", "fct_features", "FULL", timeframe)
    ten = built.table("first", "fct_features", "TEN", timeframe)
    for column, entry in CATALOGUE.items():
        wanted = values(one, column) * (1 if entry["relative"] else 10)
        np.testing.assert_allclose(values(ten, column), wanted, err_msg=column, **tolerance(wanted))


def test_calendar_features_of_a_known_time(built: Built) -> None:
    # Wednesday 2018-03-14 18:00: three quarters of the day, 2.75 of 7 days of the week,
    # 13.75 of 31 days of March, 72.75 of 365 days of the year
    table = built.table("first", "fct_features", "FULL", "1h")
    row = int(np.flatnonzero(table["open_time"] == np.datetime64("2018-03-14T18:00"))[0])
    wanted = {
        "hour_sin": -1.0,
        "hour_cos": 0.0,
        "weekday_sin": np.sin(4 * np.pi / 7),
        "weekday_cos": np.cos(4 * np.pi / 7),
        "time_of_day": 0.5,
        "time_of_week": 2 * 2.75 / 7 - 1,
        "time_of_month": 2 * 13.75 / 31 - 1,
        "time_of_year": 2 * 72.75 / 365 - 1,
    }
    for column, value in wanted.items():
        assert values(table, column)[row] == pytest.approx(value, abs=1e-12), column
