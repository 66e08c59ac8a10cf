"""What `up` keeps for its home, kept for many homes: a Prefect server.

To start it takes a hundred times longer than most of what the tests ask of it. The flows find it where they find that
of `up`: in the records of their home. Tests whose subject is a start, or what a command does alone, have a home
without.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.processes.children import stop_child
from flows.processes.ports import HOST
from flows.server.prefect_server import start_prefect_server
from flows.server.process_records import record_of, write_records
from flows.server.up import SERVER_NAME
from flows.workspace.secret import secret_path

#: Prefect's events of other tests, whose servers are gone, are not waited for.
EVENTS_SECONDS = 5.0


@dataclass(frozen=True)
class SharedServices:
    """A running server of the home `own`, and a database of Prefect without a run."""

    server_pid: int
    server_address: str
    own: Path
    empty_prefect: Path

    def attach(self, home: Path) -> Path:
        """Let the flows of a home find the server; returns the home."""
        write_records(home, [record_of(SERVER_NAME, self.server_pid, self.server_address)])
        shutil.copy(secret_path(self.own), secret_path(home))
        return home

    def with_migrated_prefect(self, home: Path) -> Path:
        """Give a home without a server the database that its own would migrate for 4 s; returns the home."""
        (home / "prefect").mkdir(parents=True)
        shutil.copy(self.empty_prefect, home / "prefect" / "prefect.db")
        return home


@contextmanager
def run_shared_services(folder: Path) -> Iterator[SharedServices]:
    """Start the server for the block."""
    own = folder / "home"
    own.mkdir()
    server = start_prefect_server(own, services=False, ui=False)
    try:
        server.wait()
        empty = folder / "prefect.db"
        with closing(sqlite3.connect(own / "prefect" / "prefect.db")) as ours, closing(sqlite3.connect(empty)) as copy:
            ours.backup(copy)
        yield SharedServices(server.process.pid, f"http://{HOST}:{server.port}", own, empty)
    finally:
        _send_events()
        stop_child(server.process)


def _send_events() -> None:
    """Prefect sends from a thread what flows did here, and at the end of this process would wait for it for ever."""
    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker  # noqa: PLC0415 - loads Prefect

        EventsWorker.drain_all(timeout=EVENTS_SECONDS, at_exit=False)
