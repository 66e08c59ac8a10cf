"""Writes the outcome of one batch of candles: good rows that are new or revised, quarantined rows, and the checks."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pandas as pd

from expectations.report import GateReport
from flows.ingestion.stored import COLUMNS, NEWEST


def write_batch(
    connection: duckdb.DuckDBPyConnection, gate: GateReport, key: list[str], ids: tuple[int, int], now: datetime
) -> tuple[int, int]:
    """Append a batch inside the caller's transaction.

    Args:
        connection: to the warehouse.
        gate: the gate's report on the batch.
        key: exchange, symbol and timeframe of the series.
        ids: number of the load and of its run.
        now: the exchange's time, UTC without a zone.

    Returns:
        (candles inserted, candles revised).
    """
    load_id, run_id = ids
    counts = _write_good(connection, gate.good, key, load_id, now) if len(gate.good) else (0, 0)
    if len(gate.quarantined):
        _write_quarantined(connection, gate.quarantined, key, load_id, now)
    columns = ("rule", "severity", "success", "rows_checked", "rows_failed", "detail")
    checks = [[getattr(check, column) for check in gate.checks] for column in columns]
    connection.execute(
        f"insert into raw.quality_checks select ?, ?, ?, ?, ?, {', '.join(['unnest(?)'] * len(columns))}, ?",
        [load_id, *key, now, *checks, run_id],
    )
    return counts


def _write_good(
    connection: duckdb.DuckDBPyConnection, candles: pd.DataFrame, key: list[str], load_id: int, now: datetime
) -> tuple[int, int]:
    """Append the candles that are new or revised; returns how many are new, and how many revised."""
    # Registering a frame takes DuckDB a millisecond, however small; arrays are faster.
    good = {column: candles[column].to_numpy() for column in COLUMNS[1:]}
    good["open_time"] = opens = candles["open_time"].to_numpy(dtype="datetime64[ms]")
    connection.execute(
        f"create or replace temp table fresh as select good.*, known.open_time is not null as revised "
        f"from good left join ({NEWEST}) as known using (open_time) "
        # a withdrawn candle comes back only with trades
        "where (known.open_time is null or known.close is not null or good.volume > 0) and "
        "(good.open, good.high, good.low, good.close, good.volume) "
        "is distinct from (known.open, known.high, known.low, known.close, known.volume)",
        [*key, int(opens.min().astype(int)), int(opens.max().astype(int))],
    )
    connection.execute(
        "insert into raw.candles select ?, ?, ?, open_time, open, high, low, close, volume, ?, ? from fresh",
        [*key, load_id, now],
    )
    counts = connection.execute("select count(*) filter (not revised), count(*) filter (revised) from fresh").fetchone()
    return (int(counts[0]), int(counts[1])) if counts else (0, 0)


def _write_quarantined(
    connection: duckdb.DuckDBPyConnection, candles: pd.DataFrame, key: list[str], load_id: int, now: datetime
) -> None:
    """Append the rejected candles that no earlier load rejected by the same rule."""
    # The warehouse keeps UTC without a zone. DuckDB finds the frame by its variable name.
    quarantined = candles.assign(open_time=candles["open_time"].dt.tz_localize(None))  # noqa: F841
    connection.execute(
        "insert into raw.quarantine select ?, ?, ?, q.open_time, q.open, q.high, q.low, q.close, q.volume, ?, ?, "
        "q.rule, q.detail from quarantined as q anti join raw.quarantine as old on old.exchange = ? "
        "and old.symbol = ? and old.timeframe = ? and old.open_time = q.open_time and old.rule = q.rule",
        [*key, load_id, now, *key],
    )
