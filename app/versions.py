"""Versions of the published snapshot in memory: what dashboard and API read, without either's caches.

`published/current.json` names a version, a folder of immutable Parquet files. A version is read once into an in-memory
DuckDB, so that swapping or removing it does not affect a reader. If files vanish while they are read, the pointer is
read again and the version it now names is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from app.schema import TABLES
from ml.data.stored import sha256
from ml.forecasting import published
from ml.records import SnapshotPointer
from ml.store import Store

if TYPE_CHECKING:
    import pandas as pd


def _empty_database(tables: Iterable[str] = TABLES) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect(":memory:")
    database.execute("set TimeZone = 'UTC'")
    for name in tables:
        database.execute(f"create table {name} ({TABLES[name]})")
    return database


@dataclass(frozen=True)
class Loaded:
    """Tables of a version, and the names of those that it lacks or that cannot be read."""

    database: duckdb.DuckDBPyConnection = field(repr=False)
    missing: tuple[str, ...] = ()


#: Reads a version: the store, the name of the version, the files of its folder.
Load = Callable[[Store, str, tuple[str, ...]], Loaded]


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

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        """Rows of a SQL query as dictionaries; the caller names their type. Times have no zone: all are UTC."""
        with self.database.cursor() as cursor:
            found = cursor.execute(sql, list(parameters))
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _fill(database: duckdb.DuckDBPyConnection, name: str, path: str) -> None:
    """Copy the columns that the file and the schema share; DuckDB casts them to the schema's types."""
    described = database.execute("select column_name from (describe select * from read_parquet(?))", [path])
    in_file = {row[0] for row in described.fetchall()}
    described = database.execute(f"select column_name from (describe {name})")
    shared = ", ".join(f'"{row[0]}"' for row in described.fetchall() if row[0] in in_file)
    if shared:
        database.execute(f"insert into {name} ({shared}) select {shared} from read_parquet(?)", [path])


def load_version(store: Store, version: str, files: tuple[str, ...], tables: Iterable[str] = TABLES) -> Loaded:
    """Read some tables of a version into memory.

    Args:
        store: that holds it.
        version: its name.
        files: paths of all files of the version.
        tables: names of `app.schema.TABLES`.
    """
    tables = tuple(tables)
    database, hashes = _empty_database(tables), published.file_hashes(store, version)
    missing = []
    for name in tables:
        path = f"published/{version}/{name}.parquet"
        try:
            if path not in files:
                raise FileNotFoundError(path)
            local = store.local_path(path)
            if name in hashes and sha256(local.read_bytes()) != hashes[name]:
                raise OSError(f"{path} is not the file that was published")
            _fill(database, name, str(local))
        except (duckdb.Error, OSError):
            missing.append(name)
    return Loaded(database, tuple(missing))


def newest(store: Store, load: Load) -> Snapshot:
    """The newest published version; empty, without a version, if nothing was published yet.

    Args:
        store: that holds it.
        load: reads a version, or finds it in a cache.

    Raises:
        StoreError: the pointer is broken, or the version has another layout.
    """
    pointer = published.current_version(store)
    snapshot = _open(store, pointer, load)
    if snapshot.missing:
        # Incomplete, or swapped and removed while it was read: in that case the pointer now names another version.
        again = published.current_version(store)
        if again is not None and again != pointer:
            return _open(store, again, load)
    return snapshot


def _open(store: Store, pointer: SnapshotPointer | None, load: Load) -> Snapshot:
    if pointer is None:
        return Snapshot(version="")
    version = pointer["version"]
    loaded = load(store, version, tuple(store.list(f"published/{version}")))
    return Snapshot(version, pointer.get("published_at"), pointer.get("exchange_time"), loaded.missing, loaded.database)
