"""The warehouse: one DuckDB file with the loaded data (schema `raw`) and the models that dbt builds from it.

DuckDB lets one process write a file, and while it is open no other process can even read it. So flows exclude each
other: each works inside `Warehouse.locked()`, an operating system lock on `warehouse.lock` next to the file, which
waits for the holder and is released by the system when the holder dies. `Warehouse.connect()` opens the file; on first
use it is created under another name and renamed, so it is complete or absent. The ordered `MIGRATIONS` upgrade its
schema. A connection is for a few statements: close it before dbt runs, which opens the file from its own process.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from duckdb.func import SPECIAL
from filelock import FileLock, Timeout

from flows.workspace.migrations import MIGRATIONS, Migration
from ml.errors import StoreError
from ml.records import Metrics
from ml.texts import one_line

_logger = logging.getLogger(__name__)

#: Errors of the machine, not of a statement: disk full (also at a commit), file deleted, no memory.
_MACHINE_ERRORS = (duckdb.OperationalError, duckdb.FatalException)
#: Of a statement that reads what dbt builds, before it has.
_UNBUILT = re.compile(r'schema "(staging|intermediate|marts)" does not exist')
#: Bytes of the headers of a DuckDB file; a smaller one holds no table.
_HEADER_BYTES = 12_288


class Warehouse:
    """A warehouse file, opened for a few statements at a time."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.lock_path = self.path.with_suffix(".lock")

    @contextmanager
    def locked(self, timeout_seconds: float = 600.0) -> Iterator[Warehouse]:
        """Hold the warehouse exclusively, waiting up to `timeout_seconds` for the present holder.

        Raises:
            StoreError: it was still held after that time.
        """
        self._make_folder()
        lock = FileLock(self.lock_path)
        try:
            lock.acquire(timeout=timeout_seconds)
        except Timeout:
            raise StoreError(
                f"The warehouse {self.path} is still in use by another flow after {timeout_seconds:g} s. "
                "Wait for that run to end, or stop it, and start again."
            ) from None
        except OSError as error:
            raise StoreError(f"Cannot lock {self.lock_path}: {error.strerror}. Make its folder writable.") from error
        try:
            yield self
        finally:
            lock.release()

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file (session time zone UTC) with its raw tables created and up to date; closed at the end.

        Raises:
            StoreError: the file cannot be opened or written, or was written by a newer version.
        """
        self._make_folder()
        if not self.path.exists():
            self._create()
        elif not self.path.stat().st_size:
            _logger.warning(
                "The warehouse %s is damaged (empty): a new one is made. Restore it from a backup, or load everything "
                "again: `candleworks ingest`.",
                self.path,
            )
            self._create()
        connection = self._open(self.path)
        try:
            self._migrate(connection)
            yield connection
        except duckdb.CatalogException as error:
            if not _UNBUILT.search(str(error)):
                raise
            raise StoreError(
                f"The warehouse {self.path} has no features and marts: it is new, or was deleted. Run `candleworks "
                "ingest`, then `candleworks transform`."
            ) from error
        except _MACHINE_ERRORS as error:
            raise StoreError(
                f"DuckDB stopped working on the warehouse {self.path}: {one_line(error)}. Data stored before are kept. "
                f"{self._free_space()}; when there is enough, run again."
            ) from error
        finally:
            connection.close()

    def _create(self) -> None:
        """Create an empty warehouse under another name and rename it, so that a full disk leaves no incomplete one."""
        new = self.path.with_name(self.path.name + ".new")
        try:
            new.unlink(missing_ok=True)
            connection = self._open(new)
            try:
                self._migrate(connection)
                connection.execute("CHECKPOINT")
            finally:
                connection.close()
            self.path.with_name(self.path.name + ".wal").unlink(missing_ok=True)  # of a file that was deleted
            new.replace(self.path)
        except (OSError, *_MACHINE_ERRORS) as error:
            raise StoreError(
                f"Cannot create the warehouse {self.path}: {one_line(error)}. {self._free_space()}; when there is "
                "enough, run again."
            ) from error

    def _open(self, path: Path) -> duckdb.DuckDBPyConnection:
        try:
            connection = duckdb.connect(str(path))
            connection.execute("SET GLOBAL TimeZone = 'UTC'")  # global: cursors inherit it
        except duckdb.Error as error:
            raise StoreError(self._why_not_opened(error)) from error
        return connection

    def _free_space(self) -> str:
        free = shutil.disk_usage(self.path.parent).free
        return f"Its disk has {free / 2**20:,.0f} MiB free"

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"Cannot create {self.path.parent}: {error.strerror}. Choose another home with --home."
            ) from error

    def _why_not_opened(self, error: duckdb.Error) -> str:
        text = one_line(error)
        if "lock" in text:
            return (
                f"The warehouse {self.path} is open in another process, and DuckDB allows one. "
                f"Close that process (a DuckDB shell, a notebook) and start again. DuckDB says: {text}"
            )
        if self.path.exists() and self.path.stat().st_size < _HEADER_BYTES:
            return (
                f"The warehouse {self.path} is incomplete: it has {self.path.stat().st_size:,} bytes and holds "
                f"nothing. Delete it and run again; {self._free_space().lower()}. DuckDB says: {text}"
            )
        return (
            f"Cannot open the warehouse {self.path}. Check that it is a DuckDB file and may be written, and the disk "
            f"not full. {self._free_space()}. DuckDB says: {text}"
        )

    def _migrate(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Apply the migrations that this file has not seen, each in a transaction of its own."""
        try:
            current = schema_version(connection)
            newest = MIGRATIONS[-1].version
            if current > newest:
                raise StoreError(
                    f"The warehouse {self.path} has schema version {current}, this code knows up to {newest}. "
                    "Update Candleworks, or use another home."
                )
            if current < newest:
                _add_functions(connection)
            for migration in MIGRATIONS[current:]:
                _apply(connection, migration)
            _add_new_metrics(connection)
        except duckdb.Error as error:
            raise StoreError(
                f"Cannot bring the raw tables of {self.path} up to date: {one_line(error)}. Check free space and "
                f"permissions. {self._free_space()}."
            ) from error


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All changes of the block, or none."""
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def schema_version(connection: duckdb.DuckDBPyConnection) -> int:
    """Version of the raw schema in an open warehouse; 0 in an empty one."""
    try:
        # A query of a table that is missing would be answered from a Python object of its name.
        connection.execute("PRAGMA table_info('raw.schema_version')")
    except duckdb.CatalogException:
        return 0
    row = connection.execute("SELECT coalesce(max(version), 0) FROM raw.schema_version").fetchone()
    return int(row[0]) if row else 0


def _add_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Register the Python functions that migrations call."""
    # A warehouse that is up to date needs no models.
    from ml.execution.former_keys import case_of_today  # noqa: PLC0415
    from ml.execution.workers import machine_of  # noqa: PLC0415
    from ml.promotion.finalists import contender_key, is_ranked_result  # noqa: PLC0415

    def described(case_key: str, case_json: str) -> dict[str, str]:
        return dict(zip(("case_key", "case_json"), case_of_today(case_key, case_json), strict=True))

    case = duckdb.struct_type({"case_key": "VARCHAR", "case_json": "VARCHAR"})
    connection.create_function("case_of_today", described, ["VARCHAR", "VARCHAR"], case)
    connection.create_function("machine_of", machine_of, ["VARCHAR"], "VARCHAR")
    connection.create_function(
        "is_ranked_result", is_ranked_result, ["VARCHAR", "VARCHAR"], "BOOLEAN", null_handling=SPECIAL
    )
    connection.create_function("contender_key_of", contender_key, ["VARCHAR"], "VARCHAR", null_handling=SPECIAL)


def _add_new_metrics(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the metrics that `raw.results` lacks, so that a new one needs no migration; one taken away keeps its data."""
    # At each opening, so not from duckdb_columns(), which goes through all tables: it takes five times as long.
    known = {column for _, column, *_ in connection.execute("PRAGMA table_info('raw.results')").fetchall()}
    for name in Metrics.__annotations__:
        if name not in known:
            connection.execute(f"ALTER TABLE raw.results ADD COLUMN {name} DOUBLE")


def _apply(connection: duckdb.DuckDBPyConnection, migration: Migration) -> None:
    connection.execute("BEGIN")
    try:
        connection.execute("CREATE SCHEMA IF NOT EXISTS raw")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS raw.schema_version (version BIGINT, note VARCHAR, applied_at TIMESTAMP)"
        )
        connection.execute(migration.statements)
        connection.execute(
            "INSERT INTO raw.schema_version VALUES (?, ?, now()::TIMESTAMP)", [migration.version, migration.note]
        )
        connection.execute("COMMIT")
    except duckdb.Error:
        connection.execute("ROLLBACK")
        raise
