"""Reads the rows that events are made of. The other modules take rows as arguments."""

from __future__ import annotations

from datetime import datetime
from typing import cast

import duckdb

from flows.workspace.workspace import Workspace
from ml.trading.records import SignalKey

#: Signals older than this, measured from the newest one, make no events: they were recorded by earlier runs.
WINDOW_DAYS = 7
#: The same for fills, by the last transactions sealed: after an outage many candles are traded at once.
WINDOW_TRANSACTIONS = 1000


class SignalRow(SignalKey):
    """A sealed signal in `raw.signals`; times are UTC without a zone, the price in quote units."""

    open_time: datetime
    close_time: datetime
    score: float | None
    #: 1 long, 0 flat, -1 short, null as before.
    side: float | None
    #: Signed number of steps beyond the threshold; 0 inside.
    band: int | None
    signs: str | None
    price: float | None


class FillRow(SignalKey):
    """A paper fill in `raw.fills`: price, fee and balance in quote units, quantity in base units."""

    hash: str
    time: datetime
    side: str
    price: float
    quantity: float
    fee: float | None
    reason: str | None
    balance: float | None


# With the last row before the window per series and signal: the first one within may differ from it.
_SIGNALS = f"""
    with rows as (
        select *, lead(close_time) over (partition by exchange, symbol, timeframe, signal order by open_time) as later,
            max(close_time) over () - interval {WINDOW_DAYS} day as first
        from raw.signals
    )
    select {", ".join(SignalRow.__annotations__)} from rows
    where close_time > first or later > first
    order by exchange, symbol, timeframe, signal, open_time, sequence
"""
_FILLS = f"""
    select {", ".join(FillRow.__annotations__)} from raw.fills
    where sequence > (select max(sequence) from raw.transactions) - {WINDOW_TRANSACTIONS}
    order by sequence, place
"""


def read_rows(workspace: Workspace) -> tuple[list[SignalRow], list[FillRow]]:
    """The signals of the last days and the last fills."""
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        return (
            cast(list[SignalRow], _rows(connection, _SIGNALS)),
            cast(list[FillRow], _rows(connection, _FILLS)),
        )


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[object]:
    found = connection.execute(query)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
