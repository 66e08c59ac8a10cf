"""Alarms: facts about the pipeline, and the events that they lead to: one alarm, then one all-clear.

The alarms of a subject are numbered in the outbox. A process creates the next number only where the facts contradict
the last one, so two processes that see the same fact record one event. A fact that is not known changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from flows.messages import ALARM_KINDS, Fields, FieldValue
from flows.notices.events import Event, event_id, kind_of, shown_time
from flows.settings import NoticeSettings
from ml.data.stored import object_bytes, read_derived
from ml.errors import StoreError
from ml.forecasting.published import current_version, has_table, read_table
from ml.forecasting.seals import ChainReport
from ml.records import SeriesKey
from ml.store import Store
from ml.timeframes import as_utc

_logger = logging.getLogger(__name__)
CLOCK = "notices/clock.json"
VERIFIED = "notices/verified.json"
#: The all-clear of a coverage needs it within this distance of its level: at the edge itself it would alternate.
CALM = 0.08
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Fact:
    """The state of one subject.

    Attributes:
        key: the subject, among those of its kind.
        is_bad: whether an alarm is due; None: neither an alarm nor its end.
        fields: see `flows.messages.SAMPLES`.
    """

    kind: str
    key: str
    is_bad: bool | None
    fields: Fields


#: Kind -> the facts of all of its subjects.
Facts = dict[str, list[Fact]]


class HealthRow(SeriesKey):
    """The columns of the snapshot's `data_health` that are read here."""

    last_close_time: datetime | None
    last_load_status: str | None
    freshness: str


class CoverageRow(SeriesKey):
    """The columns of the snapshot's `band_reliability` that are read here; `alarm` is decided in its mart."""

    level: float
    coverage: float
    forecasts: int
    alarm: bool


class _Clock(TypedDict):
    """The newest exchange time published, and when a check first saw it."""

    exchange_time: str | None
    seen_at: str


def silence_fact(store: Store, now: datetime, limit_hours: float) -> Fact:
    """Whether the published exchange time has not moved for too long.

    The exchange's time moves with each load that the exchange answers, and is published at the end of a run: it does
    not move if the flow is not started, the exchange does not answer, or a step fails. Measured is the time `now`
    since a check saw it move, so that the clocks of exchange and machine need not agree.
    """
    try:
        pointer = current_version(store)
        published = pointer.get("exchange_time") if pointer else None
    except StoreError as error:  # a snapshot that cannot be read serves its users no better than an old one
        _logger.warning("%s", error)
        published = None
    clock: _Clock | None = read_derived(store, CLOCK, {"seen_at": str})
    if clock is None or (published is not None and published != clock["exchange_time"]):
        clock = {"exchange_time": published, "seen_at": now.isoformat()}
        store.replace(CLOCK, object_bytes(clock))
    since = as_utc(datetime.fromisoformat(clock["seen_at"]))
    hours = (now - since).total_seconds() / _SECONDS_PER_HOUR
    fields: dict[str, FieldValue] = {"since": shown_time(since), "hours": hours, "limit_hours": limit_hours}
    return Fact("silence", "pipeline", hours > limit_hours, fields)


def stale_facts(rows: Iterable[HealthRow]) -> list[Fact]:
    """Per market whether candles of any of its timeframes are stale, or none ever came because loads fail."""
    markets: dict[tuple[str, str], list[HealthRow]] = {}
    for row in rows:
        markets.setdefault((row["exchange"], row["symbol"]), []).append(row)
    facts = []
    for (exchange, symbol), series in markets.items():
        stale = [row["timeframe"] for row in series if row["freshness"] == "stale"]
        status = series[0]["last_load_status"]
        if status in ("failed", "stopped") and all(row["freshness"] == "empty" for row in series):
            stale = [row["timeframe"] for row in series]
        closes = [row["last_close_time"] for row in series if row["last_close_time"] is not None]
        fields: dict[str, FieldValue] = {
            "exchange": exchange,
            "symbol": symbol,
            "timeframes": ", ".join(stale),
            "last_close": shown_time(max(closes)) if closes else None,
            "status": status,
            "note": "",
        }
        facts.append(Fact("stale", f"{exchange} {symbol}", bool(stale), fields))
    return facts


def coverage_facts(rows: Iterable[CoverageRow]) -> list[Fact]:
    """Per series and level whether the interval covers clearly too few or too many live candles."""
    facts = []
    for row in rows:
        key = f"{row['exchange']} {row['symbol']} {row['timeframe']} {row['level']}"
        is_calm = abs(row["coverage"] - row["level"]) <= CALM
        fields: dict[str, FieldValue] = {
            "exchange": row["exchange"],
            "symbol": row["symbol"],
            "timeframe": row["timeframe"],
            "level": row["level"],
            "coverage": row["coverage"],
            "forecasts": row["forecasts"],
            "note": "",
        }
        facts.append(Fact("coverage", key, True if row["alarm"] else False if is_calm else None, fields))
    return facts


def chain_facts(reports: Iterable[ChainReport]) -> list[Fact]:
    """Per sealed chain whether it fails to verify."""
    return [
        Fact(
            "chain",
            report.chain,
            bool(report.problem),
            {"chain": report.chain, "records": report.records, "problem": report.problem},
        )
        for report in reports
    ]


def chains_are_due(store: Store, recorded: Collection[str], now: datetime, hours: float) -> bool:
    """Whether all chains are to be verified: after `hours`, and in each run while one of them has an alarm."""
    verified = read_derived(store, VERIFIED, {"at": str})
    if verified is None or any(kind_of(name) == "chain" for name in open_alarms(recorded)):
        return True
    age = now - as_utc(datetime.fromisoformat(verified["at"]))
    return age.total_seconds() >= hours * _SECONDS_PER_HOUR


def collect_facts(
    store: Store,
    settings: NoticeSettings,
    recorded: Collection[str],
    now: datetime,
    verify: Callable[[], Iterable[ChainReport]] | None = None,
) -> Facts:
    """The facts of each kind that could be read; a kind that is missing is not known now.

    Args:
        store: of the workspace. The snapshot is read, never the warehouse, so that no lock is waited for.
        settings: limits.
        recorded: ids of the events in the outbox.
        now: time of the check, UTC.
        verify: verifies the chains, which reads all of their records; None: not now.
    """
    facts: Facts = {"silence": [silence_fact(store, now, settings.silent_hours)]}
    try:
        if has_table(store, "data_health"):
            facts["stale"] = stale_facts(read_table(store, "data_health"))
        if has_table(store, "band_reliability"):
            facts["coverage"] = coverage_facts(read_table(store, "band_reliability"))
    except StoreError as error:
        _logger.warning("%s", error)
    if verify is not None and chains_are_due(store, recorded, now, settings.verify_hours):
        facts["chain"] = chain_facts(verify())
    return facts


def remember_verified(store: Store, now: datetime) -> None:
    """Note that the facts of the chains are recorded, see `chains_are_due`."""
    store.replace(VERIFIED, object_bytes({"at": now.isoformat()}))


def alarm_events(facts: Facts, recorded: Collection[str], read: Callable[[str], Event], now: datetime) -> list[Event]:
    """The alarms and all-clears that the facts lead to.

    Args:
        facts: all subjects of each kind; one with an alarm that is not among them is no longer watched, which ends it.
        recorded: ids of the events in the outbox.
        read: the event with an id.
        now: their time, UTC.
    """
    numbers = _last_numbers(recorded)
    events = []
    for kind, subjects in facts.items():
        for fact in subjects:
            number = numbers.pop(event_id(kind, fact.key), 0)
            if fact.is_bad is not None and fact.is_bad != (number % 2 == 1):
                events.append(Event(kind, fact.key, now, fact.fields, number + 1))
        for name, number in numbers.items():
            if kind_of(name) == kind and number % 2 == 1:
                alarm = read(f"{name}-{number:06d}")
                fields = {**alarm.fields, "note": "It is no longer watched."}
                events.append(Event(kind, alarm.key, now, fields, number + 1))
    return events


def open_alarms(recorded: Collection[str]) -> list[str]:
    """Ids of the alarms that are not over."""
    return [f"{name}-{number:06d}" for name, number in _last_numbers(recorded).items() if number % 2 == 1]


def _last_numbers(recorded: Iterable[str]) -> dict[str, int]:
    """Id of each subject without number -> number of its last event."""
    numbers: dict[str, int] = {}
    for name in recorded:
        if kind_of(name) in ALARM_KINDS:
            subject, _, number = name.rpartition("-")
            numbers[subject] = max(numbers.get(subject, 0), int(number))
    return numbers
