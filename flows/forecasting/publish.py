"""Publish: the marts that users read, and the computed tables of the store, as an immutable snapshot."""

from __future__ import annotations

import hashlib
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from flows.workspace.loads import last_load_ms
from flows.workspace.workspace import Workspace
from ml.analysis.tables import published_tables
from ml.errors import StoreError
from ml.forecasting.published import publish_version
from ml.records import SnapshotPointer

#: Table of the snapshot -> the query that fills it. Every order is total, so that equal marts give equal files.
TABLES = {
    "markets": "select * from marts.dim_markets order by exchange, symbol, timeframe_ms",
    "leaderboard": "select * from marts.fct_leaderboard order by exchange, symbol, timeframe, rank, case_key",
    "champions": "select * from marts.fct_champions order by exchange, symbol, timeframe",
    "champion_history": "select * from marts.fct_champion_history order by sequence",
    "verdicts": "select * from marts.fct_verdicts order by sequence",
    "forecasts": "select * from marts.fct_forecasts order by sequence",
    "scores": "select * from marts.fct_scores order by sequence",
    "band_reliability": "select * from marts.fct_band_reliability order by exchange, symbol, timeframe, level",
    "band_groups": """
        select * from marts.fct_band_groups order by exchange, symbol, timeframe, grouped_by, group_number
    """,
    "weights": """
        select * from marts.fct_weights
        qualify dense_rank() over (partition by exchange, symbol, timeframe order by round_time desc) <= 500
        order by exchange, symbol, timeframe, round_time, contender
    """,
    "error_history": "select * from marts.fct_error_history order by exchange, symbol, timeframe, trial",
    "data_health": "select * from marts.fct_data_health order by exchange, symbol, timeframe",
    "quality_checks": "select * from marts.fct_quality_checks order by exchange, symbol, timeframe, load_id, rule",
    "quarantine": """
        select * from (select * from marts.fct_quarantine order by loaded_at desc, open_time desc, symbol limit 500)
        order by exchange, symbol, timeframe, open_time, rule
    """,
    "results": "select * from marts.fct_results order by exchange, symbol, timeframe, dataset_id, case_key",
    "trading_rules": "select * from marts.fct_trading_rules order by exchange, symbol, timeframe, signal",
    "trading_equity": """
        select * from marts.fct_trading_equity order by exchange, symbol, timeframe, signal, part, time
    """,
    "trading_trades": """
        select * from marts.fct_trading_trades order by exchange, symbol, timeframe, signal, part, number
    """,
    "trading_signals": """
        select * from marts.fct_trading_signals
        qualify
            row_number() over (partition by exchange, symbol, timeframe, signal order by open_time desc) <= 500
        order by exchange, symbol, timeframe, signal, open_time
    """,
    "chains": "select * from raw.verifications order by chain",
    "candles": """
        select * from marts.fct_candles
        qualify row_number() over (partition by exchange, symbol, timeframe order by open_time desc) <= 500
        order by exchange, symbol, timeframe, open_time
    """,
}


def _require_marts(connection: duckdb.DuckDBPyConnection) -> None:
    found = connection.execute("select table_name from information_schema.tables where table_schema = 'marts'")
    there = {name for (name,) in found.fetchall()}
    needed = {name for query in TABLES.values() for name in re.findall(r"marts\.(\w+)", query)}
    if missing := sorted(needed - there):
        raise StoreError(f"Not built yet: {', '.join(missing)}. Run `candleworks transform`, then publish again.")


def publish(workspace: Workspace) -> tuple[str, bool]:
    """Write the snapshot of the marts and point to it.

    Returns:
        The version, a hash over the tables, and whether it is new.

    Raises:
        StoreError: some of the marts have not been built yet; the published version stays.
    """
    with tempfile.TemporaryDirectory() as name, workspace.warehouse.locked():
        with workspace.warehouse.connect() as connection:
            _require_marts(connection)
            for table, query in TABLES.items():
                target = Path(name) / f"{table}.parquet"
                connection.execute(f"copy ({query}) to '{target}' (format parquet, compression zstd)")
            now_ms = last_load_ms(connection)
        tables = {table: (Path(name) / f"{table}.parquet").read_bytes() for table in TABLES}
    tables |= published_tables(workspace.store)
    version = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in tables.values())).hexdigest()[:24]
    pointer: SnapshotPointer = {
        "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "exchange_time": datetime.fromtimestamp(now_ms / 1000, UTC).isoformat() if now_ms is not None else None,
    }
    return version, publish_version(workspace.store, version, tables, pointer)
