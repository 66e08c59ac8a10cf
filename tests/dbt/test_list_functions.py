"""Functions over lists inside DuckDB: TA-Lib's against TA-Lib itself, ours against NumPy and SciPy after a jump."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import duckdb
import numpy as np
import pytest
import scipy.stats
import talib

pytestmark = pytest.mark.warehouse

PLUGINS = Path(__file__).resolve().parents[2] / "dbt" / "plugins"


def _seconds_to_register(functions: ModuleType, database: duckdb.DuckDBPyConnection | None) -> float:
    database = database or duckdb.connect()
    started = time.perf_counter()
    functions.register(database)
    return time.perf_counter() - started


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    """A database with the functions and 300 random candles in one row of lists."""
    sys.path.append(str(PLUGINS))
    import candle_functions  # noqa: PLC0415 - found by the line above, as dbt finds it

    connection = duckdb.connect()
    worked = time.process_time()
    spent = [_seconds_to_register(candle_functions, database) for database in (connection, None, None)]
    worked = time.process_time() - worked
    # The shortest, as other processes may hold the cores in one; the work of all, as the first may do more than others.
    assert min(spent) < 1 and worked < 1, "dbt registers them at every start"
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


def test_candle_patterns_come_in_hundreds(connection: duckdb.DuckDBPyConnection) -> None:
    close, high, low = (one(connection, name) for name in "chl")
    wanted = np.rint(talib.CDLDOJI(close, high, low, close) / 100)
    assert set(wanted) == {0, 1}
    np.testing.assert_array_equal(one(connection, "ta_cdldoji(c, h, l, c)"), wanted)


def test_nulls_at_the_start_are_skipped(connection: duckdb.DuckDBPyConnection) -> None:
    # the mean of 2 needs two values; the null at the start is none
    np.testing.assert_array_equal(one(connection, "ta_sma([NULL, 1, 3, 5]::DOUBLE[], 2)"), [np.nan, np.nan, 2, 4])


def test_empty_and_missing_lists_are_empty(connection: duckdb.DuckDBPyConnection) -> None:
    row = connection.execute("SELECT ta_rsi([]::DOUBLE[], 14), ta_rsi(NULL::DOUBLE[], 14)").fetchone()
    assert row == ([], [])


def test_lists_of_different_length_are_refused(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.Error, match="vec_add: the lists differ in length"):
        connection.execute("SELECT vec_add([1, 2]::DOUBLE[], [1]::DOUBLE[])")


def past(values: np.ndarray, rows: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(values, rows)


@pytest.mark.parametrize("rows", [2, 7, 24, 200])
def test_windows_are_exact_after_a_jump_by_a_million(connection: duckdb.DuckDBPyConnection, rows: int) -> None:
    """Running sums keep the rounding of the large values; each of these windows knows its own values only."""
    draws = np.random.default_rng(3).normal(size=1000)
    values = np.concatenate([1e6 * (5 + draws[:500]), 1 + 1e-3 * draws[500:]])
    values[700:730] = 2.0  # a window that does not move
    windows = past(values, rows)
    wanted = {
        "window_sum": windows.sum(axis=1),
        "window_mean": windows.mean(axis=1),
        "window_std": windows.std(axis=1),
        "window_rank": ((windows < windows[:, -1:]).sum(axis=1) + ((windows == windows[:, -1:]).sum(axis=1) - 1) / 2)
        / (rows - 1),
    }
    if rows > 2:
        still = windows.std(axis=1) == 0
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # SciPy warns of windows that do not move
            for name in ("skew", "kurtosis"):
                shape = getattr(scipy.stats, name)(windows, axis=1)
                wanted[f"(window_moments).{name}"] = np.where(still, 0.0, shape)
    for name, value in wanted.items():
        call = f"{name}($1::DOUBLE[], {rows})"
        if name.startswith("("):
            function, field = name.strip("(").split(").")
            call = f"({function}($1::DOUBLE[], {rows})).{field}"
        row = connection.execute(f"SELECT {call}", [values.tolist()]).fetchone()
        found = np.array(row[0])
        assert np.isnan(found[: rows - 1]).all()
        np.testing.assert_allclose(found[rows - 1 :], value, rtol=1e-9, atol=1e-11, err_msg=name)


def test_correlation_and_slope_are_those_of_numpy(connection: duckdb.DuckDBPyConnection) -> None:
    x, y = np.random.default_rng(4).normal(size=(2, 200))
    correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(past(x, 30), past(y, 30), strict=True)]
    slope = [np.polyfit(a, b, 1)[0] for a, b in zip(past(x, 30), past(y, 30), strict=True)]
    for name, wanted in (("window_correlation", correlation), ("window_beta", slope)):
        query = f"SELECT {name}($1::DOUBLE[], $2::DOUBLE[], 30)"
        row = connection.execute(query, [x.tolist(), y.tolist()]).fetchone()
        np.testing.assert_allclose(row[0][29:], wanted, rtol=1e-9, atol=1e-12)


def test_each_row_is_a_series_of_its_own(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute(
        "SELECT ta_sma(x, 2) FROM (VALUES ([1, 3]::DOUBLE[]), ([10, 20, 30]::DOUBLE[])) AS t (x)"
    ).fetchall()
    assert [row[0][1:] for row in rows] == [[2.0], [15.0, 25.0]]
