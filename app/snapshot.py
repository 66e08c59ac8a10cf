"""Read access to the published snapshot, the dashboard's only source of data.

`published/current.json` names a version, a folder of immutable Parquet files. A version is read once into an in-memory
DuckDB; the newest two are kept. Pages query memory, so swapping or removing a version does not affect them. If files
vanish while they are read, the pointer is read again and the version it now names is loaded.

`published/progress.json` is the only live file: the sweep's progress, rewritten atomically.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pandas as pd
import streamlit as st

from app.schema import TABLES
from ml.forecasting import published
from ml.records import SnapshotPointer, SweepProgress
from ml.store import Store

DEFAULT_STORE = ".candleworks/store"


def store_url() -> str:
    """Folder or URL of the store: `CANDLEWORKS_STORE`, which the launcher sets, or the default home's."""
    return os.environ.get("CANDLEWORKS_STORE") or DEFAULT_STORE


def _empty_database() -> duckdb.DuckDBPyConnection:
    database = duckdb.connect(":memory:")
    database.execute("set TimeZone = 'UTC'")
    for name, columns in TABLES.items():
        database.execute(f"create table {name} ({columns})")
    return database


@dataclass(frozen=True)
class Snapshot:
    """A version of the published marts, in memory.

    Attributes:
        version: Name of the version; empty if nothing is published yet.
        published_at: ISO time of the publication.
        exchange_time: ISO time of the exchange's clock at the publication; in the past for a replayed exchange.
        missing: Files that the version lacks or that cannot be read.
    """

    version: str
    published_at: str | None = None
    exchange_time: str | None = None
    missing: tuple[str, ...] = ()
    database: duckdb.DuckDBPyConnection = field(repr=False, default_factory=_empty_database)

    def query(self, sql: str, *parameters: Any) -> pd.DataFrame:
        """Rows of a SQL query over the tables of `app.schema.TABLES`."""
        # A cursor is a separate connection to the same memory: concurrent sessions do not interfere.
        with self.database.cursor() as cursor:
            return cursor.execute(sql, list(parameters)).df()

    def value(self, sql: str, *parameters: Any) -> Any:
        """The single cell of a SQL query; None where there is no row."""
        with self.database.cursor() as cursor:
            row = cursor.execute(sql, list(parameters)).fetchone()
        return row[0] if row else None


def _fill(database: duckdb.DuckDBPyConnection, name: str, path: str) -> None:
    """Copy the columns that the file and the schema share; DuckDB casts them to the schema's types."""
    described = database.execute("select column_name from (describe select * from read_parquet(?))", [path])
    in_file = {row[0] for row in described.fetchall()}
    described = database.execute(f"select column_name from (describe {name})")
    shared = ", ".join(f'"{row[0]}"' for row in described.fetchall() if row[0] in in_file)
    if shared:
        database.execute(f"insert into {name} ({shared}) select {shared} from read_parquet(?)", [path])


@st.cache_resource(max_entries=2, show_spinner=False)
def _load(url: str, version: str, files: tuple[str, ...]) -> tuple[duckdb.DuckDBPyConnection, tuple[str, ...]]:
    """The tables of a version and the names of those that could not be read."""
    store = Store(url)
    database = _empty_database()
    missing = []
    for name in TABLES:
        path = f"published/{version}/{name}.parquet"
        try:
            if path not in files:
                raise FileNotFoundError(path)
            _fill(database, name, str(store.local_path(path)))
        except (duckdb.Error, OSError):
            missing.append(name)
    return database, tuple(missing)


def read_pointer() -> SnapshotPointer | None:
    """See `ml.forecasting.published.current_version`."""
    return published.current_version(Store(store_url()))


def current_snapshot() -> Snapshot:
    """The newest published version; empty, without a version, if nothing was published yet.

    Raises:
        StoreError: the pointer is broken, or the version has another layout.
    """
    pointer = read_pointer()
    snapshot = _open(pointer)
    if snapshot.missing:
        # Incomplete, or swapped and removed while it was read: in that case the pointer now names another version.
        again = read_pointer()
        if again is not None and again != pointer:
            return _open(again)
    return snapshot


def _open(pointer: SnapshotPointer | None) -> Snapshot:
    if pointer is None:
        return Snapshot(version="")
    version = pointer["version"]
    files = tuple(Store(store_url()).list(f"published/{version}"))
    database, missing = _load(store_url(), version, files)
    return Snapshot(version, pointer.get("published_at"), pointer.get("exchange_time"), missing, database)


def read_progress() -> SweepProgress | None:
    """The sweep's live progress; None if no sweep has run or its file cannot be read."""
    try:
        return published.read_progress(Store(store_url()))
    except OSError:
        return None
