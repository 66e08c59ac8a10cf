"""The outbox in the store: events, and per target and event the marks of its attempts.

```
notices/events/<event>.json                           an event, created exclusively
notices/targets/<target>/start.json                   events that existed when the target was new: never sent to it
notices/targets/<target>/<event>/<n>.attempt.json     attempt n has begun; created exclusively: its creator sends
notices/targets/<target>/<event>/<n>.<result>.json    sent, failed (nothing was taken) or unknown
notices/targets/<target>/<event>/0.unwanted.json      the filters of the target exclude it
```

One listing tells the state of all: results are in the names.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypedDict, cast

from flows.notices.events import Event, RecordedEvent, read_event
from ml.errors import StoreError
from ml.store import Store
from ml.timeframes import as_utc

FOLDER = "notices"
_EVENTS, _TARGETS = f"{FOLDER}/events", f"{FOLDER}/targets"
_START = "start"
ATTEMPT, UNWANTED = "attempt", "unwanted"
Result = Literal["sent", "failed", "unknown"]


class Attempt(TypedDict, total=False):
    """The content of a mark."""

    at: str
    text: str
    detail: str
    #: Not before this time another attempt is made; of a target that was down: for no event.
    retry_at: str
    is_down: bool


@dataclass
class Contents:
    """The names in the outbox: ids of events, and per target and event its marks (attempt number, name)."""

    events: set[str] = field(default_factory=set)
    marks: dict[str, dict[str, list[tuple[int, str]]]] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)

    def last(self, target: str, event: str) -> tuple[int, str]:
        """Number and result of the last attempt; (0, "") without any, `attempt` where it has no result."""
        marks = self.marks.get(target, {}).get(event, [])
        number = max((n for n, _ in marks), default=0)
        results = [mark for n, mark in marks if n == number and mark != ATTEMPT]
        return number, results[0] if results else ATTEMPT if marks else ""


class Outbox:
    """The outbox of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def contents(self) -> Contents:
        """All names, in one listing."""
        found = Contents()
        marks: dict[str, dict[str, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
        for path in self._store.list(FOLDER):
            parts = path.removesuffix(".json").split("/")[1:]
            match parts:
                case ["events", name]:
                    found.events.add(name)
                case ["targets", target, last] if last == _START:
                    found.started.add(target)
                case ["targets", target, event, mark]:
                    number, _, name = mark.partition(".")
                    if number.isdigit():
                        marks[target][event].append((int(number), name))
        found.marks = {target: dict(events) for target, events in marks.items()}
        return found

    def record(self, events: Iterable[Event], known: Collection[str], now: datetime) -> list[Event]:
        """Add events; those that are there already stay as they are.

        Returns:
            The added ones: of several processes that record an event, one adds it.
        """
        added = []
        for event in events:
            if event.id not in known:
                with suppress(FileExistsError):
                    self._store.create(f"{_EVENTS}/{event.id}.json", event.to_json(now))
                    added.append(event)
        return added

    def event(self, name: str) -> RecordedEvent:
        """The event with an id."""
        path = f"{_EVENTS}/{name}.json"
        return read_event(self._store.read(path), path)

    def start(self, target: str, events: Collection[str]) -> None:
        """Begin with a target: `events` are never sent to it."""
        self._store.replace(f"{_TARGETS}/{target}/{_START}.json", json.dumps(sorted(events)).encode())

    def stop(self, target: str) -> None:
        """End with a target that was removed from the settings. Its marks stay; when it is back it starts anew."""
        self._store.delete(f"{_TARGETS}/{target}/{_START}.json")

    def before(self, target: str) -> set[str]:
        """Ids of the events that existed when the target was new."""
        path = f"{_TARGETS}/{target}/{_START}.json"
        try:
            return set(map(str, json.loads(self._store.read(path)) or ()))
        except FileNotFoundError:
            return set()
        except (ValueError, TypeError):
            remedy = "Delete it: the target then starts anew with the next event."
            raise StoreError(f"{path} is damaged. {remedy}") from None

    def begin(self, target: str, event: str, number: int, now: datetime, text: str) -> bool:
        """Mark the begin of an attempt; False where another process has begun it."""
        return self._mark(target, event, number, ATTEMPT, {"at": now.isoformat(), "text": text})

    def exclude(self, target: str, event: str) -> None:
        """Mark an event as not wanted by a target."""
        self._mark(target, event, 0, UNWANTED, {})

    def finish(self, target: str, event: str, number: int, result: Result, content: Attempt) -> bool:
        """Mark the result of an attempt; False where it has one."""
        return self._mark(target, event, number, result, content)

    def mark(self, target: str, event: str, number: int, name: str) -> Attempt:
        """The content of a mark.

        Raises:
            StoreError: it cannot be read.
        """
        path = self._path(target, event, number, name)
        try:
            content = json.loads(self._store.read(path))
            if not isinstance(content, dict):
                raise TypeError
            for key in ("at", "retry_at"):
                as_utc(datetime.fromisoformat(content.get(key, "1970-01-01")))
        except (ValueError, TypeError):
            raise StoreError(f"{path} is no mark of an attempt. Delete it, then run again.") from None
        return cast(Attempt, content)

    def _path(self, target: str, event: str, number: int, name: str) -> str:
        return f"{_TARGETS}/{target}/{event}/{number}.{name}.json"

    def _mark(self, target: str, event: str, number: int, name: str, content: Attempt) -> bool:
        try:
            data = json.dumps(content, ensure_ascii=False).encode()
            self._store.create(self._path(target, event, number, name), data)
        except FileExistsError:
            return False
        return True
