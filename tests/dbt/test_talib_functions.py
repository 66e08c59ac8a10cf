"""TA-Lib functions inside DuckDB, against TA-Lib itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest
import talib

PLUGINS = Path(__file__).resolve().parents[2] / "dbt" / "plugins"


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    """A database with the functions and 300 random candles in one row of lists."""
    sys.path.append(str(PLUGINS))
    import talib_functions  # noqa: PLC0415 - found by the line above, as dbt finds it

    connection = duckdb.connect()
    started = time.perf_counter()
    talib_functions.register(connection)
    assert time.perf_counter() - started < 1, "dbt registers them at every start"
    close = 100 + np.random.default_rng(7).normal(size=300).cumsum()
    lists = {"c": close.tolist(), "h": (close + 1).tolist(), "l": (close - 2).tolist(), "v": (close * 3).tolist()}
    columns = ", ".join(f"${name}::DOUBLE[] AS {name}" for name in lists)
    connection.execute(f"CREATE TABLE lists AS SELECT {columns}", lists)
    return connection


def one(connection: duckdb.DuckDBPyConnection, expression: str) -> np.ndarray:
    row = connection.execute(f"SELECT {expression} FROM lists").fetchone()
    return np.array([np.nan if value is None else value for value in row[0]])


def test_every_function_of_talib_is_there(connection: duckdb.DuckDBPyConnection) -> None:
    known = {row[0] for row in connection.execute("SELECT function_name FROM duckdb_functions()").fetchall()}
    assert {f"ta_{name.lower()}" for name in talib.get_functions()} <= known


@pytest.mark.parametrize(
    ("expression", "compute"),
    [
        ("ta_rsi(c, 14)", lambda high, low, close, volume: talib.RSI(close, 14)),
        ("ta_atr(h, l, c, 14)", lambda high, low, close, volume: talib.ATR(high, low, close, 14)),
        ("ta_obv(c, v)", lambda high, low, close, volume: talib.OBV(close, volume)),
        ("ta_correl(h, v, 30)", lambda high, low, close, volume: talib.CORREL(high, volume, 30)),
        ("(ta_macd(c, 12, 26, 9)).macdhist", lambda high, low, close, volume: talib.MACD(close, 12, 26, 9)[2]),
        (
            "(ta_bbands(c, 20, 2.5, 1.5, 0)).lowerband",
            lambda high, low, close, volume: talib.BBANDS(close, 20, 2.5, 1.5, 0)[2],
        ),
        (
            "(ta_stoch(h, l, c, 14, 3, 0, 3, 0)).slowd",
            lambda high, low, close, volume: talib.STOCH(high, low, close, 14, 3, 0, 3, 0)[1],
        ),
    ],
)
def test_a_function_in_sql_gives_the_values_of_talib(
    connection: duckdb.DuckDBPyConnection, expression: str, compute: Callable[..., np.ndarray]
) -> None:
    columns = (one(connection, name) for name in "hlcv")
    np.testing.assert_array_equal(one(connection, expression), compute(*columns))


def test_a_whole_number_output_comes_as_double(connection: duckdb.DuckDBPyConnection) -> None:
    close, high, low = (one(connection, name) for name in "chl")
    np.testing.assert_array_equal(one(connection, "ta_cdldoji(c, h, l, c)"), talib.CDLDOJI(close, high, low, close))


def test_not_defined_is_null_and_nulls_at_the_start_are_skipped(connection: duckdb.DuckDBPyConnection) -> None:
    # the mean of 2 needs two values; the null at the start is none
    row = connection.execute("SELECT ta_sma([NULL, 1, 3, 5]::DOUBLE[], 2)").fetchone()
    assert row == ([None, None, 2.0, 4.0],)


def test_empty_and_missing_lists_stay_so(connection: duckdb.DuckDBPyConnection) -> None:
    row = connection.execute("SELECT ta_rsi([]::DOUBLE[], 14), ta_rsi(NULL::DOUBLE[], 14)").fetchone()
    assert row == ([], None)


def test_each_row_is_a_series_of_its_own(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute(
        "SELECT ta_sma(x, 2) FROM (VALUES ([1, 3]::DOUBLE[]), ([10, 20, 30]::DOUBLE[])) AS t (x)"
    ).fetchall()
    assert rows == [([None, 2.0],), ([None, 15.0, 25.0],)]
