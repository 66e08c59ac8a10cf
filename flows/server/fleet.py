"""The child processes of one `up`: started in order, restarted when they exit, stopped in reverse order.

A supervisor that gives up at the first dead worker costs a night; one that restarts a broken service for ever hides it.
So a child that exits is restarted with a message, and when one exits too often within an hour, all are stopped.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from flows.processes.children import log_tail, stop_child
from flows.server.process_records import ProcessRecord, record_of, remove_records, write_records
from ml.errors import ServiceError

RESTARTS_PER_HOUR = 3
HOUR_SECONDS = 3600.0


def _nothing() -> None:
    """The default of `before` and `after`."""


@dataclass
class Child:
    """One process and how to start it.

    Attributes:
        name: its name in messages.
        launch: starts it and returns at once.
        log_path: its log.
        address: where it answers; empty if it serves nothing.
        before: called before a restart.
        after: called after a restart; waits until it is ready.
    """

    name: str
    launch: Callable[[], subprocess.Popen[bytes]]
    log_path: Path
    address: str = ""
    before: Callable[[], None] = _nothing
    after: Callable[[], None] = _nothing
    process: subprocess.Popen[bytes] = field(init=False)
    record: ProcessRecord = field(init=False)
    restarted_at: list[float] = field(init=False, default_factory=list)

    def start(self) -> None:
        """Start it, for the first time or again."""
        self.process = self.launch()
        self.record = record_of(self.name, self.process.pid, self.address)


class Fleet:
    """All children, recorded in the home so that `down` finds them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.children: list[Child] = []
        self.restarts = 0

    def __getitem__(self, name: str) -> Child:
        """The child with this name."""
        return next(child for child in self.children if child.name == name)

    def add(self, child: Child) -> Child:
        """Start a child and keep it."""
        child.start()
        self.children.append(child)
        self._write()
        return child

    def _write(self) -> None:
        write_records(self.home, [record_of("up", os.getpid()), *(child.record for child in self.children)])

    def require_alive(self) -> None:
        """Raise if a child has exited: during start-up that is an error, and it is not restarted.

        Raises:
            ServiceError: one has exited.
        """
        for child in self.children:
            if child.process.poll() is not None:
                raise ServiceError(f"The {self._ended(child)}; all others have been stopped. {self._log(child)}")

    def restart_exited(self, say: Callable[[str], None]) -> None:
        """Restart the children that have exited, in start order: dependencies first.

        Raises:
            ServiceError: one exited too often, or does not come up again.
        """
        for child in self.children:
            if child.process.poll() is None:
                continue
            now = time.monotonic()
            child.restarted_at = [at for at in child.restarted_at if now - at < HOUR_SECONDS]
            if len(child.restarted_at) >= RESTARTS_PER_HOUR:
                raise ServiceError(
                    f"The {self._ended(child)}, for the {RESTARTS_PER_HOUR + 1}th time within an hour; "
                    f"all others have been stopped. {self._log(child)}"
                )
            say(f"The {self._ended(child)}; restarting it. Its log: {child.log_path}")
            stop_child(child.process)  # kills the rest of its process group
            child.restarted_at.append(now)
            child.before()
            child.start()
            self._write()
            child.after()
            self.restarts += 1

    def stop(self) -> None:
        """Stop all in reverse order and forget them."""
        for child in reversed(self.children):
            stop_child(child.process)
        remove_records(self.home)

    @staticmethod
    def _ended(child: Child) -> str:
        return f"{child.name} ended with exit code {child.process.returncode}"

    @staticmethod
    def _log(child: Child) -> str:
        return f"Its log {child.log_path} ends with:\n{log_tail(child.log_path)}"
