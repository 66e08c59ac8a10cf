"""Feature columns against an independent calculation, and against time."""

from __future__ import annotations

from pathlib import Path

import feature_oracle
import numpy as np
import numpy.typing as npt
import pytest
import yaml
from built import Built, Table

Floats = npt.NDArray[np.float64]
# Differences are rounding: 1e-9 of the value, and of 1e-3, which is small for every column.
TOLERANCE = {"rtol": 1e-9, "atol": 1e-12}


MODELS = Path(__file__).resolve().parents[2] / "dbt" / "models" / "intermediate" / "features"


def values(table: Table, column: str) -> Floats:
    return table[column].astype(np.float64)


def expected(built: Built, stage: str, timeframe: str) -> dict[str, Floats]:
    candles = built.table(stage, "fct_candles", "FULL", timeframe)
    there = ~candles["is_gap"].astype(bool)
    return feature_oracle.all_features({name: column[there] for name, column in candles.items()})


def rows_changed_by_later_candles(before: Floats, after: Floats) -> int:
    """Rows of a column that are not the same once later candles are known."""
    return int(np.sum(~np.isclose(before, after[: len(before)], equal_nan=True, **TOLERANCE)))


def test_the_catalogue_holds_each_column_of_the_mart_once_in_at_least_twelve_groups(built: Built) -> None:
    described = built.catalogue
    own = ["exchange", "symbol", "timeframe", "open_time", "available_at", "run_length", "load_id"]
    assert list(built.table("first", "fct_features", "FULL", "1h")) == own + list(described)
    assert sorted(described) == sorted(feature_oracle.COLUMNS)
    assert len({entry["group"] for entry in described.values()}) >= 12
    assert all(entry["description"] and entry["formula"] and entry["unit"] for entry in described.values())


def test_a_group_is_called_as_its_model() -> None:
    for path in MODELS.glob("*.yml"):
        (model,) = yaml.safe_load(path.read_text("utf-8"))["models"]
        groups = {column["config"]["meta"]["group"] for column in model["columns"] if "config" in column}
        assert model["name"] == path.stem
        assert groups == {path.stem.removeprefix("int_features__")}


@pytest.mark.parametrize("column", feature_oracle.COLUMNS)
def test_a_feature_equals_an_independent_value_and_is_null_just_where_a_gap_lies_in_its_lookback(
    built: Built, column: str
) -> None:
    lookback = built.catalogue[column]["lookback"]
    for timeframe in ("1h", "4h", "1d"):
        table = built.table("first", "fct_features", "FULL", timeframe)
        found = values(table, column)
        exact = table["run_length"].astype(np.int64) >= lookback
        np.testing.assert_array_equal(~np.isnan(found), exact)
        np.testing.assert_allclose(found[exact], expected(built, "first", timeframe)[column][exact], **TOLERANCE)
        assert timeframe != "1h" or exact.sum() >= 200


def test_the_candles_of_the_tests_hold_a_real_gap_after_which_all_features_come_back(built: Built) -> None:
    candles = built.table("first", "fct_candles", "FULL", "1h")
    gaps = np.flatnonzero(candles["is_gap"].astype(bool))
    assert len(gaps) >= 33
    longest = max(entry["lookback"] for entry in built.catalogue.values())
    assert candles["run_length"][: gaps[0]].max() >= longest
    assert candles["run_length"][gaps[-1] :].max() >= longest


@pytest.mark.parametrize("column", feature_oracle.COLUMNS)
def test_a_feature_forgets_everything_before_its_lookback(built: Built, column: str) -> None:
    """The lookback in the YAML is long enough: that many candles alone give the value of the whole history."""
    candles = built.table("first", "fct_candles", "FULL", "1h")
    there = ~candles["is_gap"].astype(bool)
    lookback = built.catalogue[column]["lookback"]
    whole = expected(built, "first", "1h")[column]
    scale = np.nanstd(whole)
    for row in (1500, 1999, 2600, 2999):
        short = {name: values_[there][row + 1 - lookback : row + 1] for name, values_ in candles.items()}
        assert abs(feature_oracle.all_features(_padded(short))[column][-1] - whole[row]) <= 2e-9 * scale


def _padded(candles: Table) -> Table:
    """The oracle's windows need 200 rows; repeat the first candle before the short history."""
    missing = max(0, 200 - len(candles["close"]))
    return {name: np.concatenate([np.repeat(column[:1], missing), column]) for name, column in candles.items()}


@pytest.mark.parametrize("timeframe", ["1h", "4h", "1d"])
def test_features_do_not_change_when_later_candles_come(built: Built, timeframe: str) -> None:
    cut = built.table("first", "fct_features", "TAIL", timeframe)
    full = built.table("first", "fct_features", "FULL", timeframe)
    assert len(full["open_time"]) > len(cut["open_time"])
    changed = {
        column: rows_changed_by_later_candles(values(cut, column), values(full, column)) for column in built.catalogue
    }
    assert not {column: rows for column, rows in changed.items() if rows}


def test_a_planted_leak_is_found_by_the_comparison_above(built: Built) -> None:
    """A column that looks one candle ahead differs in just one row, the last one before the cut."""
    cut, full = (built.table("first", "fct_candles", market, "1h")["close"] for market in ("TAIL", "FULL"))
    leaks = [np.append(close[1:], np.nan).astype(np.float64) for close in (cut, full)]
    assert rows_changed_by_later_candles(*leaks) == 1


@pytest.mark.parametrize("timeframe", ["1h", "4h", "1d"])
def test_prices_times_ten_leave_every_feature_as_it_is(built: Built, timeframe: str) -> None:
    one = built.table("first", "fct_features", "FULL", timeframe)
    ten = built.table("first", "fct_features", "TEN", timeframe)
    for column, entry in built.catalogue.items():
        assert entry["relative"]
        np.testing.assert_allclose(values(ten, column), values(one, column), err_msg=column, **TOLERANCE)


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
