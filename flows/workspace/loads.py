"""The record of loads (raw.loads): every change of loaded data has a number and its row counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb


@dataclass(frozen=True)
class Load:
    """One load of a series, as it is recorded.

    Attributes:
        load_id: Its number; later loads have larger ones.
        key: Exchange, symbol and timeframe of the series.
        started_at: The exchange's time, UTC without a zone; None where the exchange was not asked.
        run_id: Number of the first load of the same run over the series; None for a run of its own.
        received: Received rows.
        inserted: New rows.
        revised: Rows that differ from the stored ones.
        quarantined: Refused rows.
        status: ok, partial, failed or stopped.
        message: Why it is not ok, or a remark.
    """

    load_id: int
    key: list[str]
    started_at: datetime | None
    run_id: int | None = None
    received: int | None = None
    inserted: int | None = None
    revised: int | None = None
    quarantined: int | None = None
    status: str = "ok"
    message: str = ""


def next_load_id(connection: duckdb.DuckDBPyConnection) -> int:
    """The number of the next recorded load, valid within the same transaction."""
    row = connection.execute("select coalesce(max(load_id), 0) + 1 from raw.loads").fetchone()
    return int(row[0]) if row else 1


def last_load_ms(connection: duckdb.DuckDBPyConnection) -> int | None:
    """The exchange's time at the newest load of any series, milliseconds; None before the first.

    It is the present of everything that must not ask the exchange: no stored candle is newer.
    """
    row = connection.execute("select epoch_ms(max(started_at)) from raw.loads").fetchone()
    return int(row[0]) if row and row[0] is not None else None


def write_load(connection: duckdb.DuckDBPyConnection, load: Load) -> None:
    """Record a load."""
    connection.execute(
        "insert into raw.loads (load_id, exchange, symbol, timeframe, started_at, rows_received, rows_inserted, "
        "rows_revised, rows_quarantined, status, message, run_id) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            load.load_id,
            *load.key,
            load.started_at,
            load.received,
            load.inserted,
            load.revised,
            load.quarantined,
            load.status,
            load.message,
            load.run_id,
        ],
    )
