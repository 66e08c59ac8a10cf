"""Delivery of the outbox to the targets: each in a thread of its own, so that none waits for another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flows.messages import render
from flows.notices.events import RecordedEvent, alarm_before
from flows.notices.outbox import ATTEMPT, UNWANTED, Attempt, Contents, Outbox
from flows.notices.signals import is_due
from flows.notices.targets import Message, Sender, make_sender
from flows.settings import NoticeSettings, TargetSettings
from ml.timeframes import as_utc

_logger = logging.getLogger(__name__)
LONGEST_PAUSE = timedelta(hours=6)
#: An attempt without a result after this time is unknown: the process that made it has ended.
ATTEMPT_LIMIT = timedelta(minutes=10)
#: A run does not wait longer than this for its targets; sends that take longer are left to themselves.
RUN_SECONDS = 60.0


@dataclass
class Delivered:
    """Number of messages that a run sent, the targets that began with it, and one line per problem."""

    sent: int = 0
    begun: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def pause_after(attempt: int, first_seconds: float) -> timedelta:
    """Pause after the failed attempt with a number (from 1): doubles from attempt to attempt, up to 6 hours."""
    return timedelta(seconds=min(first_seconds * 2.0 ** (attempt - 1), LONGEST_PAUSE.total_seconds()))


def wants(target: TargetSettings, recorded: RecordedEvent) -> bool:
    """Whether an event passes the filters of a target. Events of no market pass those by market."""
    event = recorded.event
    symbol, timeframe = event.fields.get("symbol"), event.fields.get("timeframe")
    return (
        (not target.events or event.kind in target.events)
        and (not target.symbols or symbol is None or symbol in target.symbols)
        and (not target.timeframes or timeframe is None or timeframe in target.timeframes)
        and (event.kind != "score_band" or is_due(event, target.band_interval))
    )


def deliver(
    outbox: Outbox,
    settings: NoticeSettings,
    now: datetime,
    senders: Mapping[str, Sender] | None = None,
    run_seconds: float = RUN_SECONDS,
    contents: Contents | None = None,
) -> Delivered:
    """Send every event that a target has not had and whose time has come.

    Args:
        outbox: of the store.
        settings: targets, templates, number and pauses of attempts.
        now: time of the run, UTC.
        senders: by target; None: those of the settings.
        run_seconds: how long the run waits for all targets together.
        contents: of the outbox, where the caller has listed it; an attempt that began since is met when it is marked.

    Raises:
        StoreError: the outbox cannot be read or written. Each target's work ends there; a later run continues.
    """
    senders = senders or {target.name: make_sender(target, settings) for target in settings.targets}
    contents = contents or outbox.contents()
    usable = [target for target in settings.targets if not senders[target.name].problem]
    warnings = [
        f"Notices to {target.name} are not sent: {senders[target.name].problem}."
        for target in settings.targets
        if target not in usable
    ]
    for name in contents.started - {target.name for target in settings.targets}:
        outbox.stop(name)
    begun = [target.name for target in usable if target.name not in contents.started]
    for name in begun:
        outbox.start(name, contents.events)
        _logger.info("Notices to %s begin now: earlier events are not sent to it.", name)
    runs = [_TargetRun(outbox, contents, settings, target, senders[target.name], now) for target in usable]
    _run_all(runs, run_seconds)
    warnings += [line for run in runs for line in run.warnings]
    for line in warnings:
        _logger.warning("%s", line)
    return Delivered(sum(run.sent for run in runs), begun, warnings)


def _run_all(runs: Iterable[_TargetRun], limit_seconds: float) -> None:
    """Run all targets at the same time; raises the first error that one of them met."""
    threads = [(run, threading.Thread(target=run.run_safely, daemon=True, name=run.name)) for run in runs]
    for _, thread in threads:
        thread.start()
    end = time.monotonic() + limit_seconds
    for run, thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            run.abandon(limit_seconds)
    for run, _ in threads:
        if run.error is not None:
            raise run.error


class _TargetRun:
    """One run over the events of one target."""

    def __init__(
        self,
        outbox: Outbox,
        contents: Contents,
        settings: NoticeSettings,
        target: TargetSettings,
        sender: Sender,
        now: datetime,
    ) -> None:
        self._outbox = outbox
        self._contents = contents
        self._settings = settings
        self._target = target
        self._sender = sender
        self._now = now
        self._is_abandoned = False
        self.name = target.name
        self.sent = 0
        self.warnings: list[str] = []
        self.error: Exception | None = None

    def run_safely(self) -> None:
        """Send the pending events; an error is kept for the thread that waits."""
        try:
            self._run()
        except Exception as error:
            self.error = error

    def abandon(self, limit_seconds: float) -> None:
        """Begin no further message; the present one may still end."""
        self._is_abandoned = True
        self.warnings.append(
            f"Notices to {self.name}: a send takes longer than {limit_seconds:g} s. The others wait for the next run."
        )

    def _run(self) -> None:
        before = self._outbox.before(self.name)
        names = [name for name in self._contents.events - before if self._is_pending(name)]
        pending = [(name, self._outbox.event(name)) for name in names]
        pending.sort(key=lambda one: (one[1].recorded_at, one[1].event.time, one[0]))
        if self._is_paused(names):
            return
        blocked: set[str] = set()
        for name, recorded in pending:
            if not self._is_wanted(name, recorded, before):
                self._outbox.exclude(self.name, name)
            elif recorded.event.topic not in blocked:
                is_settled, is_down = self._attempt(name, recorded)
                if not is_settled:
                    blocked.add(recorded.event.topic)
                if is_down or self._is_abandoned:
                    return

    def _is_pending(self, name: str) -> bool:
        number, result = self._contents.last(self.name, name)
        return result in ("", ATTEMPT) or (result == "failed" and number < self._settings.attempts)

    def _is_wanted(self, name: str, recorded: RecordedEvent, before: set[str]) -> bool:
        """Whether to send it: an event that was begun, or passes the filters; an all-clear only with its alarm."""
        if self._contents.last(self.name, name)[0]:
            return True
        alarm = alarm_before(name)
        has_no_alarm = alarm in before or self._contents.last(self.name, alarm)[1] == UNWANTED
        return wants(self._target, recorded) and not (alarm and has_no_alarm)

    def _is_paused(self, names: Iterable[str]) -> bool:
        """Whether the target did not answer, and its pause has not ended."""
        marks = (self._failure(name) for name in names)
        return any(mark and mark.get("is_down") and self._now < _retry_at(mark) for mark in marks)

    def _failure(self, name: str) -> Attempt | None:
        number, result = self._contents.last(self.name, name)
        return self._outbox.mark(self.name, name, number, result) if result == "failed" else None

    def _attempt(self, name: str, recorded: RecordedEvent) -> tuple[bool, bool]:
        """Send one event if its time has come.

        Returns:
            Whether later events of its topic may be sent, and whether the target is down.
        """
        number, result = self._contents.last(self.name, name)
        if result == ATTEMPT and not self._sender.is_repeatable:
            return self._close_unknown(name, number), False
        if (failure := self._failure(name)) and self._now < _retry_at(failure):
            return False, False
        event = recorded.event
        text = render(event.template, self._settings.templates, event.fields)
        if result != ATTEMPT:
            number += 1
            if not self._outbox.begin(self.name, name, number, self._now, text):
                return False, False  # another process sends it
        message: Message = {
            "id": name,
            "kind": event.template,
            "time": event.time.isoformat(),
            "text": text,
            "fields": event.fields,
        }
        return self._send(message, number)

    def _send(self, message: Message, number: int) -> tuple[bool, bool]:
        delivery = self._sender.send(message)
        name = message["id"]
        content: Attempt = {"at": self._now.isoformat(), "detail": delivery.detail}
        is_last = number >= self._settings.attempts
        if delivery.result == "failed":
            retry_at = self._now + pause_after(number, self._settings.retry_seconds)
            content |= {"retry_at": retry_at.isoformat(), "is_down": delivery.is_down}
            outcome = "it is given up" if is_last else f"attempt {number + 1} is due at {retry_at:%Y-%m-%d %H:%M} UTC"
            self._warn(name, f"failed in attempt {number} of {self._settings.attempts} ({delivery.detail}); {outcome}")
        if delivery.result == "unknown":
            self._warn(name, f"may have arrived ({delivery.detail}); it is not sent again")
        if self._outbox.finish(self.name, name, number, delivery.result, content) and delivery.result == "sent":
            self.sent += 1
        return delivery.result != "failed" or is_last, delivery.is_down

    def _close_unknown(self, name: str, number: int) -> bool:
        """An attempt without a result: of a process that is still sending, or that has ended."""
        begun = as_utc(datetime.fromisoformat(self._outbox.mark(self.name, name, number, ATTEMPT)["at"]))
        if self._now - begun < ATTEMPT_LIMIT:
            return False
        content: Attempt = {"at": self._now.isoformat(), "detail": "the program ended while it was sending"}
        if self._outbox.finish(self.name, name, number, "unknown", content):
            self._warn(name, "may have arrived (the program ended while it was sending); it is not sent again")
        return True

    def _warn(self, name: str, text: str) -> None:
        self.warnings.append(f"Notice {name} to {self.name} {text}. See `candleworks notices`.")


def _retry_at(mark: Attempt) -> datetime:
    return as_utc(datetime.fromisoformat(mark["retry_at"]))
