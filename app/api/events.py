"""Topics of the stream: which rows of a version come after a position.

A position is a place in a chain, so it means the same in every version and after a restart: an event is neither
repeated nor lost, also where several versions were published while a client was away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

import orjson

from app.api.forecasts import FORECASTS
from app.api.lists import JSON, Listing, Row, in_utc
from app.api.marts import SCORES, SIGNALS, TRADES, VERDICTS, Topic
from app.api.snapshots import require_table
from app.versions import Snapshot
from ml.forecasting.chain import Chain
from ml.store import Store

#: More than the trades of a signal: a transaction is a place in the chain, and may end several of them.
_TRADES = 1_000_000


@dataclass(frozen=True)
class Event:
    """An event: its topic, its position in the topic, and its JSON."""

    topic: Topic
    position: int
    data: str


class Topics:
    """The topics over the versions of a store."""

    def __init__(self, store: Store) -> None:
        self._exits = _Exits(store)
        sequences = {"forecast": FORECASTS, "score": SCORES, "verdict": VERDICTS, "signal": SIGNALS}
        self._read: dict[str, Callable[[Snapshot, int], list[tuple[int, Any]]]] = {
            **{topic: _by_sequence(listing) for topic, listing in sequences.items()},
            "trade": self._trades,
        }

    def after(self, snapshot: Snapshot, topic: Topic, position: int) -> list[Event]:
        """The events of a topic after a position, in order.

        Raises:
            ApiError: the version lacks the table.
            StoreError: a sealed record cannot be read.
        """
        found = self._read[topic](snapshot, position)
        return [Event(topic, place, orjson.dumps(item, option=JSON).decode()) for place, item in found]

    def beginning(self, snapshot: Snapshot, topic: Topic, backlog: int) -> int:
        """The position after which the newest `backlog` events of a version are."""
        places = [event.position for event in self.after(snapshot, topic, 0)]
        return ([0, *places])[max(0, len(places) - backlog)]

    def _trades(self, snapshot: Snapshot, position: int) -> list[tuple[int, Any]]:
        require_table(snapshot, TRADES.table)
        rows = snapshot.rows("select * from trading_trades where part = 'paper' and exit_time is not null")
        exits = self._exits.known() if rows else {}
        placed = [(exits[key] * _TRADES + row["number"], row) for row in rows if (key := _exit_of(row)) in exits]
        return sorted((one for one in placed if one[0] > position), key=lambda one: one[0])


def _by_sequence(listing: Listing) -> Callable[[Snapshot, int], list[tuple[int, Any]]]:
    def read(snapshot: Snapshot, position: int) -> list[tuple[int, Any]]:
        require_table(snapshot, listing.table)
        rows = snapshot.rows(f"from {listing.table} where sequence > ? order by sequence", position)
        return list(zip([row["sequence"] for row in rows], listing.items(rows), strict=True))

    return read


#: Series, signal and candle of a fill.
_Exit = tuple[str, str, str, str, datetime]


def _exit_of(row: Row) -> _Exit:
    return row["exchange"], row["symbol"], row["timeframe"], row["signal"], row["exit_time"]


class _Exits:
    """Places of fills in the chain of transactions, which is read on from its last known record."""

    def __init__(self, store: Store) -> None:
        self._chain = Chain(store, "transactions")
        self._last = 0
        self._known: dict[_Exit, int] = {}

    def known(self) -> dict[_Exit, int]:
        for record in self._chain.records(self._last):
            body = record["body"]
            opens = in_utc(datetime.fromisoformat(body["open_time"]))
            key = (body["exchange"], body["symbol"], body["timeframe"], body["signal"], opens)
            self._known[key] = self._last = record["sequence"]
        return self._known


def id_of(positions: dict[Topic, int]) -> str:
    """The id of an event: the position in its topic; of several topics, all of their positions."""
    if len(positions) == 1:
        return str(next(iter(positions.values())))
    return ",".join(f"{topic}:{position}" for topic, position in positions.items())


def positions_of(identity: str, topics: Sequence[Topic]) -> dict[Topic, int] | None:
    """The positions in an id, of those of the topics that it has; None if it is no id."""
    if len(topics) == 1 and identity.isascii() and identity.isdecimal():
        return {topics[0]: int(identity)}
    parts = [part.partition(":") for part in identity.split(",")]
    if not all(topic in get_args(Topic) and place.isascii() and place.isdecimal() for topic, _, place in parts):
        return None
    found = {topic: int(place) for topic, _, place in parts}
    return {topic: found[topic] for topic in topics if topic in found}
