"""The range of candle_id of a series in the feature mart.

`fct_features` joins one table per group; with a filter on candle_id, DuckDB reads only the matching rows of each.
"""

from __future__ import annotations

import duckdb

from ml.series import Series

#: candle_id = series_id * this + open time in milliseconds, as dbt makes it.
SERIES_STEP = 10_000_000_000_000


def feature_range(connection: duckdb.DuckDBPyConnection, series: Series, newest: int | None = None) -> tuple[int, int]:
    """First and last candle_id of a series' features, or of its `newest` ones; an empty range for an unknown series."""
    row = connection.execute(
        "select series_id from raw.series where exchange = ? and symbol = ? and timeframe = ?",
        [series.exchange, series.symbol, series.timeframe],
    ).fetchone()
    first = int(row[0]) * SERIES_STEP if row else -SERIES_STEP
    last = first + SERIES_STEP - 1
    if newest is None:
        return first, last
    oldest = connection.execute(
        "select min(candle_id) from (select candle_id from intermediate.int_candles__featured "
        "where candle_id between ? and ? order by candle_id desc limit ?)",
        [first, last, newest],
    ).fetchone()
    return (int(oldest[0]) if oldest and oldest[0] is not None else last + 1), last
