"""Tables that dbt reads about verdicts, folded from the loaded verdicts by the functions that promotion uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict, cast

import duckdb

from flows.warehouse.load import with_text_times
from ml.promotion.verdicts import marked_machines, reigns_of
from ml.records import VerdictRecord


class LoadedVerdict(VerdictRecord):
    """A row of `raw.verdicts`."""

    sequence: int


class ReignRow(TypedDict):
    """A row of `raw.reigns`: the service of a champion."""

    sequence: int
    exchange: str
    symbol: str
    timeframe: str
    promoted_at: str
    ended_at: str | None
    ended_by: str | None
    end_reason: str | None
    model_id: str | None
    model_ids: list[str]
    trained_through: str | None
    reviewed_at: str | None
    review_skill: float | None
    is_current: bool


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


def _reign_rows(verdicts: Sequence[VerdictRecord]) -> list[ReignRow]:
    """Rows of `raw.reigns`."""
    by_series: dict[tuple[str, str, str], list[VerdictRecord]] = {}
    for verdict in verdicts:
        by_series.setdefault((verdict["exchange"], verdict["symbol"], verdict["timeframe"]), []).append(verdict)
    return [
        {
            "sequence": cast(LoadedVerdict, reign.promotion)["sequence"],
            "exchange": exchange,
            "symbol": symbol,
            "timeframe": timeframe,
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
        for (exchange, symbol, timeframe), of_series in by_series.items()
        for reign in reigns_of(of_series)
    ]


def loaded_verdicts(connection: duckdb.DuckDBPyConnection) -> list[LoadedVerdict]:
    """Rows of `raw.verdicts`, oldest first, with times as text as in the sealed records."""
    rows = connection.execute("SELECT * FROM raw.verdicts ORDER BY sequence").to_arrow_table().to_pylist()
    return [with_text_times(cast(LoadedVerdict, row)) for row in rows]
