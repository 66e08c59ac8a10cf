"""Load: results, verdicts, forecasts and scores from the store's immutable files into raw, each exactly once."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import cast

import duckdb
import pyarrow as pa

from flows.workspace.database import transaction
from flows.workspace.workspace import Workspace
from ml.errors import StoreError
from ml.execution.former_keys import former_keys, under_todays_keys
from ml.execution.results import read_result_table, result_files
from ml.execution.workers import machine_of
from ml.forecasting.chain import GENESIS, Chain
from ml.forecasting.seals import CHAINS
from ml.forecasting.trust import Trust
from ml.promotion.finalists import contender_key, is_ranked_result
from ml.records import AnyRecord, SealedRecord
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
        return load_into(connection, workspace)


def load_into(connection: duckdb.DuckDBPyConnection, workspace: Workspace) -> dict[str, int]:
    """`load_store` for a flow that holds the warehouse already.

    Raises:
        StoreError: a new record of a chain is bad or not of this home, or the store has another record than the one
            that was loaded last.
    """
    store, trust = workspace.store, workspace.trust()
    loaded = {"results": _load_results(connection, store)}
    for name in CHAINS:
        loaded[name] = _load_chain(connection, store, name, trust)
    return loaded


def reload_chains(workspace: Workspace) -> dict[str, int]:
    """Replace the rows of all chains in the warehouse by the records of the store, in one transaction.

    Returns:
        The rows per chain.

    Raises:
        StoreError: a record is bad; the rows stay as they were.
    """
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        trust = workspace.trust()
        with transaction(connection):
            for name in CHAINS:
                connection.execute(f"delete from raw.{name}")
            return {name: _load_chain(connection, workspace.store, name, trust) for name in CHAINS}


def other_records(connection: duckdb.DuckDBPyConnection, workspace: Workspace) -> dict[str, str]:
    """Chain -> how its rows in the warehouse differ from the records of the store, for all of its records."""
    found = {}
    for name in CHAINS:
        rows = connection.execute(f"select sequence, hash from raw.{name} order by sequence").fetchall()
        chain, records = Chain(workspace.store, name), {}
        with suppress(StoreError):
            records = {record["sequence"]: record["hash"] for record in chain.records()}
        ghost = next((row for row in rows if records.get(row[0]) != row[1]), None)
        if ghost is not None:
            found[name] = _ghost(chain, *ghost)
    return found


def _load_results(connection: duckdb.DuckDBPyConnection, store: Store) -> int:
    """Result files in the order of their arrival; a later result of a case is kept too if it is another one."""
    known = {row[0] for row in connection.execute("select distinct result_file from raw.results").fetchall()}
    columns, count = _columns(connection), 0
    for path in result_files(store):
        if path in known:
            continue
        rows = read_result_table(store, path)
        if rows is None:
            continue
        row = connection.execute("select coalesce(max(arrival), 0) from raw.results").fetchone()
        after = int(row[0]) if row else 0
        added = {
            "result_file": pa.array([path] * len(rows), pa.string()),
            "arrival": pa.array(range(after + 1, after + len(rows) + 1), pa.int64()),
        }
        for name, values in {**_by_rules(rows), **added}.items():
            rows = rows.append_column(name, values)
        rows = rows.select([name for name in rows.column_names if name in columns])
        connection.execute(
            "insert into raw.results by name select rows.* from rows "
            "anti join raw.results as known on known.case_key = rows.case_key and known.dataset_id = rows.dataset_id "
            "and known.status = rows.status and known.skill is not distinct from rows.skill "
            "and known.rmse_pct is not distinct from rows.rmse_pct "
            "where json_valid(rows.case_json)"  # an untrusted worker may have written any text
        )
        count += len(rows)
    return count


def _columns(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """A file of another version may have further columns."""
    return {column for _, column, *_ in connection.execute("PRAGMA table_info('raw.results')").fetchall()}


def _by_rules(rows: pa.Table) -> dict[str, pa.Array]:
    """Columns of raw.results that are computed from those of a result file, here only."""
    workers, statuses, cases = (rows[name].to_pylist() for name in ("worker", "status", "case_json"))
    return {
        "machine": pa.array([worker and machine_of(worker) for worker in workers], pa.string()),
        "is_ranked": pa.array(map(is_ranked_result, statuses, cases), pa.bool_()),
        "contender_key": pa.array(map(contender_key, cases), pa.string()),
    }


def _new_records(
    connection: duckdb.DuckDBPyConnection, store: Store, name: str, trust: Trust | None
) -> list[SealedRecord]:
    """The checked records after the last loaded one, which the store must still have."""
    chain = Chain(store, name)
    row = connection.execute(f"select sequence, hash from raw.{name} order by sequence desc limit 1").fetchone()
    sequence, known = row or (0, GENESIS)
    if sequence:
        try:
            is_same = chain.record(sequence)["hash"] == known
        except StoreError:
            is_same = False
        if not is_same:
            raise StoreError(_ghost(chain, sequence, known))
    records = list(chain.checked_records(sequence, known))
    for record in records:
        if trust is not None and (problem := trust.problem(name, record)):
            raise StoreError(f"{chain.bad_record(record['sequence'])}: {problem}. Restore the store from a backup.")
    return records


def _ghost(chain: Chain, sequence: int, known: str) -> str:
    """The error where the warehouse has a record that the store lacks."""
    return (
        f"The warehouse has a record {sequence} of the chain {chain.folder} ({known[:16]}...) that the store lacks or "
        "has otherwise: it was lost after it was loaded, or the store is from an older backup. Restore the store from "
        "a newer backup; if there is none and `candleworks verify` finds the store whole, `candleworks reload-chains` "
        "puts its records in place of those of the warehouse."
    )


def _load_chain(connection: duckdb.DuckDBPyConnection, store: Store, name: str, trust: Trust | None) -> int:
    keys = former_keys(store)
    records = _new_records(connection, store, name, trust)
    if records:
        columns = [entry[0] for entry in connection.execute(f"select * from raw.{name} limit 0").description or []]
        rows = [
            {**under_todays_keys(record["body"], keys), "sequence": record["sequence"], "hash": record["hash"]}
            for record in records
        ]
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
