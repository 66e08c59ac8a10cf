"""Tables that dbt reads about verdicts, folded from the loaded verdicts by the functions that promotion uses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import cast

import duckdb

from ml.promotion.verdicts import marked_machines
from ml.records import VerdictRecord
from ml.timeframes import as_utc


def write_verdict_tables(connection: duckdb.DuckDBPyConnection, trusted_again: Mapping[str, datetime]) -> None:
    """Replace `raw.marked_machines`; `trusted_again` as for `marked_machines`."""
    verdicts = _loaded_verdicts(connection)
    connection.execute("BEGIN")
    connection.execute("DELETE FROM raw.marked_machines")
    for machine in sorted(marked_machines(verdicts, trusted_again)):
        connection.execute("INSERT INTO raw.marked_machines VALUES (?)", [machine])
    connection.execute("COMMIT")


def _loaded_verdicts(connection: duckdb.DuckDBPyConnection) -> list[VerdictRecord]:
    """Rows of `raw.verdicts`, oldest first, with times as text as in the sealed records."""
    rows = connection.execute("SELECT * FROM raw.verdicts ORDER BY sequence").to_arrow_table().to_pylist()
    return [
        cast(
            VerdictRecord,
            {name: as_utc(value).isoformat() if isinstance(value, datetime) else value for name, value in row.items()},
        )
        for row in rows
    ]
