"""SQL over the published snapshot, for questions that no table of the command line answers."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from flows.terminal.output import PrintedRow
from ml.errors import ConfigurationError, StoreError
from ml.forecasting.published import read_all_tables
from ml.store import Store


def query(store: Store, sql: str) -> tuple[list[str], list[PrintedRow]]:
    """Run SQL over the tables of the published snapshot; nothing else can be read, nothing can be written.

    Returns:
        The names of the columns, and one dictionary per row. Times are UTC.

    Raises:
        StoreError: nothing has been published yet, or a table is broken.
        ConfigurationError: DuckDB rejects the SQL; the message names the existing tables.
    """
    tables = _published_tables(store)
    hint = f"The tables of the snapshot: {', '.join(sorted(tables))}."
    with duckdb.connect(":memory:") as database:
        database.execute("set TimeZone = 'UTC'")
        for name, table in tables.items():
            database.register(name, table)
        database.execute("set enable_external_access = false; set lock_configuration = true")
        try:
            answer = database.sql(sql)
            if answer is None:
                raise ConfigurationError(f"The statement is empty. {hint}")
            columns = answer.columns
            rows: list[PrintedRow] = [dict(zip(columns, row, strict=True)) for row in answer.fetchall()]
        except duckdb.Error as error:
            said = str(error).split("\n")[0]
            raise ConfigurationError(f"{said}. {hint}") from error
    return columns, rows


def _published_tables(store: Store) -> dict[str, pa.Table]:
    tables = read_all_tables(store)
    if tables is None:
        raise StoreError(
            "Nothing has been published in this home yet. Run `candleworks demo`, or `candleworks publish`."
        )
    return tables
