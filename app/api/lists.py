"""Lists: one page of the rows of a table, in a fixed order, with the cursor of the next page.

Rows are ordered by a key that never changes, so a walk through the pages sees each row once, also while a newer
version is published in between.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from app.api.cursors import Part, cursor_of, key_of
from app.api.problems import ApiError
from app.api.snapshots import require_table
from app.schema import TABLES
from app.versions import Snapshot
from ml.timeframes import TIMEFRAMES

#: Times of the snapshot are UTC without zone.
JSON = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
SERIES = ("exchange", "symbol", "timeframe")
_TYPES: dict[str, type] = {"VARCHAR": str, "BIGINT": int, "DOUBLE": float, "TIMESTAMP": datetime, "BOOLEAN": bool}

Item = TypeVar("Item")
#: A row of a query, whose columns are those of its table.
Row = dict[str, Any]


class Page(BaseModel, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(description="Of the next page; null on the last one.")


class SeriesQuery(BaseModel):
    """Filters by series. An unknown parameter is an error: a misspelt filter must not return everything."""

    model_config = ConfigDict(extra="forbid")

    market: str | None = Field(None, description="Symbol, such as BTC/USDT.")
    timeframe: str | None = Field(None, description="Such as 1h.")
    exchange: str | None = Field(None, description="Name of the exchange.")


class ListQuery(SeriesQuery):
    """Parameters of every list."""

    cursor: str | None = Field(None, description="`next_cursor` of the page before.")
    limit: int = Field(100, ge=1, le=500, description="Most items of the page.")


def _iso_text(value: object) -> object:
    """Refuse numbers, which would count as seconds since 1970."""
    if isinstance(value, str) and not _DATE.match(value):
        raise ValueError("expected a time such as 2026-01-31T12:00:00Z")
    return value


_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
Since = Annotated[
    datetime | None,
    BeforeValidator(_iso_text),
    Field(None, description="Only rows from this time on; ISO 8601, default zone UTC."),
]


def in_utc(time: datetime) -> datetime:
    """A time as the snapshot has it: UTC without zone."""
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time


@dataclass(frozen=True)
class Condition:
    """A condition of a query with the values of its parameters."""

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Listing:
    """A list.

    Attributes:
        route: the last part of its path.
        table: of `app.schema.TABLES`, in whose place `source` may be a query.
        key: columns whose values identify a row, in the order of the list.
        newest_first: whether the order is descending.
        source: the query that the rows come from; default the table.
        to_item: makes the item of a row; default the row itself.
    """

    route: str
    table: str
    key: tuple[str, ...]
    newest_first: bool = False
    source: str = ""
    to_item: Callable[[Row], Any] | None = None

    def items(self, rows: Sequence[Row]) -> list[Any]:
        """The items of rows."""
        return [self.to_item(row) for row in rows] if self.to_item else list(rows)


def item_model(name: str, table: str, more: dict[str, type] | None = None) -> type[BaseModel]:
    """The model of the rows of a table: its columns, each of which may be null."""
    columns = dict(entry.split(" ") for entry in TABLES[table].split(", "))
    fields: dict[str, Any] = {column: (_TYPES[kind] | None, None) for column, kind in columns.items()}
    fields |= {column: (kind | None, None) for column, kind in (more or {}).items()}
    return create_model(name, __doc__=f"A row of {table}.", **fields)


def page_of(item: type[BaseModel]) -> type[BaseModel]:
    """The model of a page of items that `item_model` has made."""
    return Page[item]  # type: ignore[valid-type]


def of_series(snapshot: Snapshot, query: SeriesQuery) -> list[Condition]:
    """The conditions of the filters by series.

    Raises:
        ApiError: no series matches, so the answer would be empty for a reason that the client should know.
    """
    asked = {"symbol": query.market, "timeframe": query.timeframe, "exchange": query.exchange}
    conditions = [Condition(f"{column} = ?", (value,)) for column, value in asked.items() if value is not None]
    if conditions:
        require_table(snapshot, "markets")
        where, values = joined(conditions)
        if not snapshot.value(f"select count(*) from markets where {where}", *values):
            raise ApiError(404, "unknown-series", _no_such_series(snapshot, asked))
    return conditions


def _no_such_series(snapshot: Snapshot, asked: dict[str, str | None]) -> str:
    wanted = ", ".join(f"{name} {value!r}" for name, value in asked.items() if value is not None)
    known = []
    for name in asked:
        values = {str(row[name]) for row in snapshot.rows(f"select distinct {name} from markets")}
        order = (lambda value: TIMEFRAMES.get(value, 0)) if name == "timeframe" else None
        known.append(f"{name} {', '.join(sorted(values, key=order) or ['none'])}")
    return f"No series has {wanted}. There are: {'; '.join(known)}."


def joined(conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
    """Conditions as SQL and the values of all parameters."""
    return " and ".join(one.sql for one in conditions) or "true", [value for one in conditions for value in one.values]


def read_page(snapshot: Snapshot, listing: Listing, query: ListQuery, conditions: Sequence[Condition]) -> bytes:
    """A page as JSON.

    Raises:
        ApiError: the table cannot be read, or the cursor is none of this list.
    """
    require_table(snapshot, listing.table)
    conditions = [*of_series(snapshot, query), *conditions]
    if query.cursor is not None:
        key = key_of(listing.route, query.cursor, len(listing.key))
        conditions.append(_after(listing, key))
    where, values = joined(conditions)
    order = ", ".join(f"{column} {'desc' if listing.newest_first else 'asc'} nulls last" for column in listing.key)
    sql = f"select * from ({listing.source or f'from {listing.table}'}) where {where} order by {order} limit ?"
    rows = snapshot.rows(sql, *values, query.limit + 1)
    shown = rows[: query.limit]
    more = len(rows) > len(shown)
    cursor = cursor_of(listing.route, [shown[-1][column] for column in listing.key]) if more else None
    return orjson.dumps({"items": listing.items(shown), "next_cursor": cursor}, option=JSON)


def _after(listing: Listing, key: Sequence[Part]) -> Condition:
    """Rows after the one with a key: the first column that differs decides."""
    sign = "<" if listing.newest_first else ">"
    kinds = dict(entry.split(" ") for entry in TABLES[listing.table].split(", "))
    alternatives: list[str] = []
    values: list[Part] = []
    for place, column in enumerate(listing.key):
        equal = [f"{name} = ?::{kinds[name]}" for name in listing.key[:place]]
        alternatives.append(" and ".join([*equal, f"{column} {sign} ?::{kinds[column]}"]))
        values += key[: place + 1]
    return Condition(f"({' or '.join(f'({one})' for one in alternatives)})", tuple(values))


def series_and_version(request: Request) -> Snapshot:
    """The version that a request sees."""
    snapshot: Snapshot = request.app.state.snapshots.current()
    return snapshot
