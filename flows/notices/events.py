"""Events: the subjects of notices, each with an identity that any process computes alike."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from flows.messages import ALARM_KINDS, OVER, Fields, FieldValue
from ml.canonical import digest
from ml.errors import StoreError
from ml.timeframes import as_utc

_ID_DIGITS = 24


@dataclass(frozen=True)
class Event:
    """An event of the data, or one half of an alarm.

    Attributes:
        kind: one of `flows.messages.KINDS`.
        key: its identity among the events of its kind; of an alarm, its subject.
        time: when it happened, UTC.
        fields: values for the template; see `flows.messages.SAMPLES`.
        number: of an alarm, its place among those of its subject: odd numbers raise it, even ones end it. Else 0.
    """

    kind: str
    key: str
    time: datetime
    fields: Fields
    number: int = 0

    @property
    def id(self) -> str:
        """Name of its file in the outbox."""
        return event_id(self.kind, self.key, self.number)

    @property
    def is_over(self) -> bool:
        """Whether it ends an alarm."""
        return self.number > 0 and self.number % 2 == 0

    @property
    def template(self) -> str:
        return self.kind + (OVER if self.is_over else "")

    @property
    def topic(self) -> str:
        """Messages of one topic are sent in their order."""
        if self.kind in ALARM_KINDS:
            return f"{self.kind} {self.key}"
        return " ".join(str(self.fields.get(name)) for name in ("exchange", "symbol", "timeframe", "signal"))

    def to_json(self, recorded_at: datetime) -> bytes:
        """Its file, with the time when it was recorded."""
        content = {**asdict(self), "time": self.time.isoformat(), "recorded_at": recorded_at.isoformat()}
        return json.dumps(content, ensure_ascii=False).encode()


@dataclass(frozen=True)
class RecordedEvent:
    """An event in the outbox, and when it was recorded (UTC)."""

    event: Event
    recorded_at: datetime


def event_id(kind: str, key: str, number: int = 0) -> str:
    """Name of an event's file; alarms of one subject differ only in their last digits."""
    name = f"{kind}-{digest(key)[:_ID_DIGITS]}"
    return f"{name}-{number:06d}" if number else name


def kind_of(name: str) -> str:
    """Kind of the event with an id."""
    return name.partition("-")[0]


def alarm_before(name: str) -> str:
    """Id of the alarm that the event with an id ends; empty if it ends none."""
    first, _, number = name.rpartition("-")
    is_over = kind_of(name) in ALARM_KINDS and int(number) % 2 == 0
    return f"{first}-{int(number) - 1:06d}" if is_over else ""


def read_event(content: bytes, path: str) -> RecordedEvent:
    """An event from its file.

    Raises:
        StoreError: it is none.
    """
    try:
        values = json.loads(content)
        fields = values["fields"]
        if not isinstance(fields, dict):
            raise TypeError
        checked: dict[str, FieldValue] = dict(fields)
        event = Event(
            kind=str(values["kind"]),
            key=str(values["key"]),
            time=as_utc(datetime.fromisoformat(str(values["time"]))),
            fields=checked,
            number=int(str(values["number"])),
        )
        return RecordedEvent(event, as_utc(datetime.fromisoformat(str(values["recorded_at"]))))
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{path} is no recorded event. Delete it, then run again.") from None


def shown_time(time: datetime) -> str:
    """A time in a message: UTC, to the minute."""
    return f"{as_utc(time):%Y-%m-%d %H:%M}"
