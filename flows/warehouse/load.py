"""Load: results, verdicts, forecasts and scores from the store's immutable files into raw, each exactly once."""

from __future__ import annotations

import json
from datetime import datetime
from typing import cast

import duckdb
import pyarrow as pa

from flows.workspace.workspace import Workspace
from ml.execution.former_keys import former_keys, under_todays_keys
from ml.execution.results import read_result_table, result_files
from ml.execution.workers import machine_of
from ml.forecasting.chain import Chain
from ml.forecasting.seals import CHAINS
from ml.promotion.finalists import contender_key, is_ranked_result
from ml.records import AnyRecord
from ml.store import Store
from ml.timeframes import as_utc

#: Fields that records keep as ISO 8601 text and the warehouse as TIMESTAMP.
TIME_FIELDS = frozenset(
    (
        "decided_at",
        "holdout_start",
        "holdout_end",
        "trained_through",
        "target_open_time",
        "target_close_time",
        "information_time",
        "issued_at",
        "scored_at",
        "open_time",
        "close_time",
        "sealed_at",
    )
)


def load_store(workspace: Workspace) -> dict[str, int]:
    """Append the store's records that raw lacks; returns the new rows per table."""
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        return load_into(connection, workspace.store)


def load_into(connection: duckdb.DuckDBPyConnection, store: Store) -> dict[str, int]:
    """`load_store` for a flow that holds the warehouse already."""
    loaded = {"results": _load_results(connection, store)}
    for name in CHAINS:
        loaded[name] = _load_chain(connection, store, name)
    return loaded


def _load_results(connection: duckdb.DuckDBPyConnection, store: Store) -> int:
    """Result files in the order of their names; of two results of a case on a dataset, the first one loaded stays."""
    known = {row[0] for row in connection.execute("select distinct result_file from raw.results").fetchall()}
    count = 0
    for path in result_files(store):
        if path in known:
            continue
        rows = read_result_table(store, path)
        if rows is None:
            continue
        for name, values in {**_by_rules(rows), "result_file": pa.array([path] * len(rows), pa.string())}.items():
            rows = rows.append_column(name, values)
        connection.execute(
            "insert into raw.results by name select rows.* from rows "
            "anti join raw.results as known using (case_key, dataset_id) "
            "where json_valid(rows.case_json)"  # an untrusted worker may have written any text
        )
        count += len(rows)
    return count


def _by_rules(rows: pa.Table) -> dict[str, pa.Array]:
    """Columns of raw.results that are computed from those of a result file, here only."""
    workers, statuses, cases = (rows[name].to_pylist() for name in ("worker", "status", "case_json"))
    return {
        "machine": pa.array([worker and machine_of(worker) for worker in workers], pa.string()),
        "is_ranked": pa.array(map(is_ranked_result, statuses, cases), pa.bool_()),
        "contender_key": pa.array(map(contender_key, cases), pa.string()),
    }


def _load_chain(connection: duckdb.DuckDBPyConnection, store: Store, name: str) -> int:
    last = connection.execute(f"select coalesce(max(sequence), 0) from raw.{name}").fetchone()
    keys = former_keys(store)
    records = list(Chain(store, name).records(after=int(last[0]) if last else 0))
    if records:
        columns = [entry[0] for entry in connection.execute(f"select * from raw.{name} limit 0").description or []]
        rows = [{**under_todays_keys(record["body"], keys), **record} for record in records]
        batch = pa.table({column: [_plain(row.get(column)) for row in rows] for column in columns})
        casts = ", ".join(f"{column}::timestamp as {column}" if column in TIME_FIELDS else column for column in columns)
        connection.register("batch", batch)
        connection.execute(f"insert into raw.{name} by name select {casts} from batch")
        connection.unregister("batch")
    return len(records)


def last_time_ms(connection: duckdb.DuckDBPyConnection, chain: str, column: str) -> int:
    """The newest stamp of a loaded chain; 0 of an empty one."""
    row = connection.execute(f"select epoch_ms(max({column})) from raw.{chain}").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def with_text_times(row: AnyRecord) -> AnyRecord:
    """A row of a chain's table with its times as text, as in the sealed record."""
    texts = {name: as_utc(one).isoformat() if isinstance(one, datetime) else one for name, one in row.items()}
    return cast(AnyRecord, texts)


def _plain(value: object) -> object:
    """Nested values, such as prediction intervals by level, become JSON."""
    return json.dumps(value) if isinstance(value, dict | list) else value
