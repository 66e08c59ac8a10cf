"""A process that stands by for the flows of a home: it has loaded what each of them would load for seconds.

Great Expectations, and dbt with its project, take longer to load than their work takes every hour, and each run of a
flow is a process of its own. `up` keeps this process. A flow finds it by its record in the home, and does the same work
itself where none stands by. It listens on this machine only, for those who can read the record: the owner of the home.
Here is what it does and how it is found; `flows.server.warm_worker` is the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from flows.processes.ports import HOST
from flows.warehouse.dbt_process import DbtPlace, Processes, RunsDbt, process_for

if TYPE_CHECKING:
    from expectations.report import GateReport

#: How often is looked whether the process whose command runs still lives.
WATCH_SECONDS = 0.2

Gate = Callable[..., "GateReport"]


class WarmWorker:
    """What the process does; the methods are called from other processes."""

    def check_batch(self, *arguments: Any) -> GateReport:
        """`expectations.gate.check_batch`."""
        from expectations.gate import check_batch  # noqa: PLC0415 - flows that find a process need not import it

        return check_batch(*arguments)

    def run_dbt(self, pid: int, place: DbtPlace, command: Sequence[str]) -> tuple[int, Path]:
        """Run dbt for the process `pid`, no longer than that lives; returns the exit code and the log of the command.

        Who dies lets go of the warehouse's lock, so nothing may go on working in the warehouse for it.
        """
        done = threading.Event()
        with process_for(place) as process:
            threading.Thread(target=_end_with, args=(pid, process.close, done), daemon=True).start()
            try:
                code = process.run(command)
            finally:
                done.set()
            if code:
                process.close()  # what a failed command left in it, nobody knows
            return code, process.output


def _end_with(pid: int, end: Callable[[], None], done: threading.Event) -> None:
    while not done.wait(WATCH_SECONDS):
        if not psutil.pid_exists(pid):
            end()
            return


class WarmWorkerManager(BaseManager):
    """Carries calls between processes, pickled; both sides prove that they know the key."""


_warm_worker = WarmWorker()
WarmWorkerManager.register("standby", callable=lambda: _warm_worker, exposed=("check_batch", "run_dbt"))


def warm_worker_record(home: Path) -> Path:
    """Where the process of a home says how it is reached."""
    return home / "run" / "standby.json"


def find_warm_worker(home: Path) -> WarmWorker | None:
    """The process that stands by for a home, or rather a proxy of it; None where there is none."""
    try:
        record = json.loads(warm_worker_record(home).read_text(encoding="utf-8"))
        manager = WarmWorkerManager((HOST, record["port"]), bytes.fromhex(record["key"]))
        manager.connect()
        standby: WarmWorker = manager.standby()  # type: ignore[attr-defined]
    except (OSError, EOFError, ValueError, KeyError, AuthenticationError):
        return None
    return standby


def warm_gate(home: Path) -> Gate:
    """`expectations.gate.check_batch`, by the process that stands by where there is one."""
    from expectations.gate import check_batch  # noqa: PLC0415 - importing it costs little, calling it seconds

    standby = find_warm_worker(home)
    if standby is None:
        return check_batch

    def check(*arguments: Any) -> GateReport:
        try:
            return standby.check_batch(*arguments)
        except (EOFError, ConnectionError):  # it was ended meanwhile
            return check_batch(*arguments)

    return check


def warm_dbt(home: Path) -> Processes:
    """Lends dbt for a block: in the process that stands by where there is one, else in a child of this process."""

    @contextlib.contextmanager
    def lend(place: DbtPlace) -> Iterator[RunsDbt]:
        standby = find_warm_worker(home)
        if standby is not None:
            yield _DistantDbt(standby, place)
            return
        with process_for(place) as process:
            yield process

    return lend


@dataclass
class _DistantDbt:
    standby: WarmWorker
    place: DbtPlace
    output: Path = Path(os.devnull)

    def run(self, command: Sequence[str]) -> int:
        code, self.output = self.standby.run_dbt(os.getpid(), self.place, command)
        return code
