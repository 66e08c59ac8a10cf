"""Tables that dbt reads about verdicts, folded from the loaded verdicts by the functions that promotion uses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import cast

import duckdb

from ml.promotion.verdicts import marked_machines, reigns_of
from ml.records import Row, VerdictRecord
from ml.timeframes import as_utc


def write_verdict_tables(connection: duckdb.DuckDBPyConnection, trusted_again: Mapping[str, datetime]) -> None:
    """Replace `raw.marked_machines` and `raw.reigns`; `trusted_again` as for `marked_machines`."""
    verdicts = loaded_verdicts(connection)
    connection.execute("BEGIN")
    connection.execute("DELETE FROM raw.marked_machines")
    for machine in sorted(marked_machines(verdicts, trusted_again)):
        connection.execute("INSERT INTO raw.marked_machines VALUES (?)", [machine])
    connection.execute("DELETE FROM raw.reigns")
    for row in _reign_rows(verdicts):
        connection.execute(
            f"INSERT INTO raw.reigns ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values())
        )
    connection.execute("COMMIT")


def _reign_rows(verdicts: list[VerdictRecord]) -> list[Row]:
    """Rows of `raw.reigns`."""
    by_series: dict[tuple[str, str, str], list[VerdictRecord]] = {}
    for verdict in verdicts:
        by_series.setdefault((verdict["exchange"], verdict["symbol"], verdict["timeframe"]), []).append(verdict)
    return [
        {
            **{name: reign.promotion.get(name) for name in ("sequence", "exchange", "symbol", "timeframe")},
            "promoted_at": reign.promotion["decided_at"],
            "ended_at": reign.ended_at,
            "ended_by": reign.ended_by or None,
            "end_reason": reign.end_reason or None,
            "model_id": reign.model_ids[-1],
            "model_ids": list(reign.model_ids),
            "trained_through": reign.trained_through,
            "reviewed_at": reign.reviewed_at,
            "review_skill": reign.review_skill,
            "is_current": not reign.ended_by,
        }
        for of_series in by_series.values()
        for reign in reigns_of(of_series)
    ]


def loaded_verdicts(connection: duckdb.DuckDBPyConnection) -> list[VerdictRecord]:
    """Rows of `raw.verdicts`, oldest first, with times as text as in the sealed records."""
    rows = connection.execute("SELECT * FROM raw.verdicts ORDER BY sequence").to_arrow_table().to_pylist()
    return [
        cast(
            VerdictRecord,
            {name: as_utc(value).isoformat() if isinstance(value, datetime) else value for name, value in row.items()},
        )
        for row in rows
    ]
