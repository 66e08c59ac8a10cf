"""Writes what one batch of candles brought: good rows that are new or revised, quarantined rows, and the checks."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pandas as pd

from expectations.report import GateReport


def write_batch(
    connection: duckdb.DuckDBPyConnection, gate: GateReport, key: list[str], ids: tuple[int, int], now: datetime
) -> tuple[int, int]:
    """Append a batch inside the caller's transaction.

    Args:
        connection: to the warehouse.
        gate: what the gate said of the batch.
        key: exchange, symbol and timeframe of the series.
        ids: number of the load and of its run.
        now: the exchange's time, UTC without a zone.

    Returns:
        (candles inserted, candles revised).
    """
    load_id, run_id = ids
    good = _naive(gate.good)  # noqa: F841 - DuckDB reads the frames by their names
    connection.execute("create or replace temp table batch as select * from good")
    known = """
        select open_time, open, high, low, close, volume from raw.candles
        where exchange = ? and symbol = ? and timeframe = ?
            and open_time between (select min(open_time) from batch) and (select max(open_time) from batch)
        qualify row_number() over (partition by open_time order by load_id desc) = 1
    """
    connection.execute(
        f"create or replace temp table fresh as select batch.*, known.open_time is not null as revised "
        f"from batch left join ({known}) as known using (open_time) "
        # a candle that was withdrawn comes back only with trades
        "where (known.open_time is null or known.close is not null or batch.volume > 0) and "
        "(batch.open, batch.high, batch.low, batch.close, batch.volume) "
        "is distinct from (known.open, known.high, known.low, known.close, known.volume)",
        key,
    )
    counts = connection.execute("select count(*) filter (not revised), count(*) filter (revised) from fresh").fetchone()
    connection.execute(
        "insert into raw.candles select ?, ?, ?, open_time, open, high, low, close, volume, ?, ? from fresh",
        [*key, load_id, now],
    )
    quarantined = _naive(gate.quarantined)  # noqa: F841
    connection.execute(
        "insert into raw.quarantine select ?, ?, ?, q.open_time, q.open, q.high, q.low, q.close, q.volume, ?, ?, "
        "q.rule, q.detail from quarantined as q anti join raw.quarantine as old on old.exchange = ? "
        "and old.symbol = ? and old.timeframe = ? and old.open_time = q.open_time and old.rule = q.rule",
        [*key, load_id, now, *key],
    )
    checks = pd.DataFrame(gate.check_rows())  # noqa: F841
    connection.execute(
        "insert into raw.quality_checks select ?, ?, ?, ?, ?, rule, severity, success, rows_checked, rows_failed, "
        "detail, ? from checks",
        [load_id, *key, now, run_id],
    )
    return (int(counts[0]), int(counts[1])) if counts else (0, 0)


def _naive(frame: pd.DataFrame) -> pd.DataFrame:
    """The warehouse keeps UTC without a zone."""
    return frame.assign(open_time=frame["open_time"].dt.tz_localize(None))
