"""The steps of flows and commands: record new events, then deliver the outbox."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import TypedDict

from flows.messages import render
from flows.notices.alarms import alarm_events, collect_facts, remember_verified
from flows.notices.delivery import ATTEMPT_LIMIT, Delivered, deliver
from flows.notices.events import Event
from flows.notices.outbox import ATTEMPT, UNWANTED, Outbox
from flows.notices.rows import read_rows
from flows.notices.signals import fill_events, signal_events
from flows.notices.targets import make_sender, trial_message
from flows.settings import NoticeSettings
from flows.warehouse.verification import reports_of
from flows.workspace.workspace import Workspace
from ml.errors import ConfigurationError
from ml.timeframes import as_utc

#: States of a message: waiting (no attempt yet), sending, sent, retry, failed (given up), unknown (may have arrived).
NOT_ARRIVED = ("failed", "unknown")


class NoticeRecord(TypedDict):
    """A message to one target, as it is listed."""

    time: datetime
    kind: str
    target: str
    state: str
    attempts: int
    detail: str
    text: str
    event: str


class TrialRecord(TypedDict):
    """The test message to one target."""

    target: str
    kind: str
    state: str
    detail: str


def send_notices(workspace: Workspace, now: datetime) -> Delivered:
    """At the end of a run: the events of new signals, fills and alarms, and the delivery of all that are due."""
    settings = workspace.settings.notices
    if not settings.targets:
        return _stop_all(workspace)
    signals, fills = read_rows(workspace)
    intervals = [target.band_interval for target in settings.targets]
    return _run(workspace, now, [*signal_events(signals, intervals), *fill_events(fills)], chains=True)


def check(workspace: Workspace, now: datetime) -> Delivered:
    """Between runs: alarms from the snapshot, and deliveries that are due. The warehouse is not opened."""
    if not workspace.settings.notices.targets:
        return _stop_all(workspace)
    return _run(workspace, now, [], chains=False)


def _run(workspace: Workspace, now: datetime, events: Iterable[Event], *, chains: bool) -> Delivered:
    outbox, settings = Outbox(workspace.store), workspace.settings.notices
    contents = outbox.contents()
    known = contents.events
    verify = partial(reports_of, workspace) if chains else None
    facts = collect_facts(workspace.store, settings, known, now, verify)
    alarms = alarm_events(facts, known, lambda name: outbox.event(name).event, now)
    new = [*events, *alarms]
    outbox.record(new, known, now)
    known.update(event.id for event in new)
    if "chain" in facts:
        remember_verified(workspace.store, now)
    return deliver(outbox, settings, now, contents=contents)


def _stop_all(workspace: Workspace) -> Delivered:
    """Without targets nothing is recorded; one that is added later begins then."""
    outbox = Outbox(workspace.store)
    for target in outbox.contents().started:
        outbox.stop(target)
    return Delivered()


def require_targets(settings: NoticeSettings) -> None:
    """Refuse a command that sends without targets.

    Raises:
        ConfigurationError: the settings name none.
    """
    if not settings.targets:
        raise ConfigurationError(
            "The settings name no target for notices. Add a table [[notices.targets]] with name and kind, such as "
            'name = "log", kind = "console".'
        )


def send_trials(settings: NoticeSettings, now: datetime) -> list[TrialRecord]:
    """Send a test message to each target, past the outbox, one after the other."""
    records: list[TrialRecord] = []
    for target in settings.targets:
        sender = make_sender(target, settings)
        state, detail = "failed", sender.problem
        if not sender.problem:
            delivery = sender.send(trial_message(target.name, now))
            state, detail = delivery.result, delivery.detail
        records.append({"target": target.name, "kind": target.kind, "state": state, "detail": detail})
    return records


def notice_records(workspace: Workspace, now: datetime) -> list[NoticeRecord]:
    """Every message to every target that began with it, newest first, also of targets that were removed since."""
    outbox, settings = Outbox(workspace.store), workspace.settings.notices
    contents = outbox.contents()
    events = {name: outbox.event(name) for name in contents.events}
    records: list[NoticeRecord] = []
    for target in sorted(contents.started | contents.marks.keys()):
        before = outbox.before(target)
        for name, recorded in events.items():
            number, result = contents.last(target, name)
            if result == UNWANTED or (not result and (name in before or target not in contents.started)):
                continue
            mark = outbox.mark(target, name, number, result) if result else {}
            state = {"": "waiting", ATTEMPT: "sending", "failed": "retry"}.get(result, result)
            if result == ATTEMPT and now - as_utc(datetime.fromisoformat(mark["at"])) >= ATTEMPT_LIMIT:
                state = "unknown"
            if result == "failed" and number >= settings.attempts:
                state = "failed"
            event = recorded.event
            records.append(
                {
                    "time": event.time,
                    "kind": event.template,
                    "target": target,
                    "state": state,
                    "attempts": number,
                    "detail": mark.get("detail", ""),
                    "text": render(event.template, settings.templates, event.fields),
                    "event": name,
                }
            )
    records.sort(key=lambda record: (record["time"], record["event"], record["target"]), reverse=True)
    return records
