"""Processes that share an outbox, and one that is killed while it sends: a webhook counts what arrives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flows.notices.delivery import ATTEMPT_LIMIT, deliver
from flows.notices.outbox import Outbox
from flows.settings import NoticeSettings
from ml.store import Store
from tests.conftest import REPOSITORY
from tests.flows.hooks import Hook
from tests.flows.notices.conftest import T0, at, fill_event, notice_settings

pytestmark = pytest.mark.e2e
EVENTS = 25
SCRIPT = """
import sys
from datetime import datetime
from flows.notices.delivery import deliver
from flows.notices.events import Event
from flows.notices.outbox import Outbox
from flows.settings import NoticeSettings
from ml.store import Store
url, store, now, count = sys.argv[1:]
outbox, now = Outbox(Store(store)), datetime.fromisoformat(now)
settings = NoticeSettings(targets=({"name": "one", "kind": "webhook"},), urls={"one": url})
print("ready", flush=True)
sys.stdin.readline()
events = [Event("transaction", f"e{n}", now, {"signal": f"e{n}"}) for n in range(int(count))]
outbox.record(events, (), now)
print(deliver(outbox, settings, now).sent)
"""


def start(store: Store, hook: Hook, now: str) -> subprocess.Popen[str]:
    """A process that waits for a line before it records and sends the events."""
    command = [sys.executable, "-c", SCRIPT, hook.url, store.url, now, str(EVENTS)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=Path(store.url).parent
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def settings_for(hook: Hook) -> NoticeSettings:
    return notice_settings({"name": "one", "kind": "webhook"}, urls={"one": hook.url})


def test_of_processes_that_start_together_one_sends_each_message(store: Store, hook: Hook) -> None:
    deliver(Outbox(store), settings_for(hook), T0)
    processes = [start(store, hook, at(1).isoformat()) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    sent = [int(process.communicate(timeout=120)[0]) for process in processes]
    assert sum(sent) == EVENTS
    assert Counter(hook.keys) == {fill_event(f"e{n}").id: 1 for n in range(EVENTS)}


def test_a_process_that_is_killed_while_it_sends_has_sent_each_message_once(store: Store, hook: Hook) -> None:
    deliver(Outbox(store), settings_for(hook), T0)
    process = start(store, hook, at(1).isoformat())

    def kill_at_the_fifth(_: dict[str, Any]) -> int:
        if len(hook.taken) == 5:
            process.send_signal(signal.SIGKILL)
            process.wait(60)
        return 204

    hook.answer = kill_at_the_fifth
    process.communicate("\n", timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert len(hook.taken) == 5
    later = at(1) + ATTEMPT_LIMIT
    done = deliver(Outbox(store), settings_for(hook), later)
    assert done.sent == EVENTS - 5
    assert len(done.warnings) == 1
    assert "may have arrived (the program ended while it was sending)" in done.warnings[0]
    assert Counter(hook.keys) == {fill_event(f"e{n}").id: 1 for n in range(EVENTS)}
    assert deliver(Outbox(store), settings_for(hook), later).sent == 0
