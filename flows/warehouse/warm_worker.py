"""The warm worker of a home: a process that keeps loaded what each flow run would spend seconds on loading.

Great Expectations, and dbt with its project, take longer to load than to do their hourly work, and each flow run is a
process of its own. `up` keeps this worker running. A flow finds it by its record in the home; without one it does the
work itself. The worker listens on this machine only, for users who can read the record: the owner of the home. This
module defines its work and how it is found; `flows.server.warm_worker` is its main program.
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

#: How often to check that the process whose command runs is still alive.
WATCH_SECONDS = 0.2

Gate = Callable[..., "GateReport"]


class WarmWorker:
    """The work of the process; the methods are called from other processes."""

    def check_batch(self, *arguments: Any) -> GateReport:
        """`expectations.gate.check_batch`."""
        from expectations.gate import check_batch  # noqa: PLC0415 - flows that find a warm worker need not import it

        return check_batch(*arguments)

    def run_dbt(self, pid: int, place: DbtPlace, command: Sequence[str]) -> tuple[int, Path]:
        """Run dbt for the process `pid` while it is alive; returns the exit code and the log of the command.

        A process that dies releases the warehouse's lock, so its command must not continue in the warehouse.
        """
        done = threading.Event()
        with process_for(place) as process:
            threading.Thread(target=_end_with, args=(pid, process.close, done), daemon=True).start()
            try:
                code = process.run(command)
            finally:
                done.set()
            if code:
                process.close()  # a failed command may have left it in a broken state
            return code, process.output


def _end_with(pid: int, end: Callable[[], None], done: threading.Event) -> None:
    while not done.wait(WATCH_SECONDS):
        if not psutil.pid_exists(pid):
            end()
            return


class WarmWorkerManager(BaseManager):
    """Carries pickled calls between processes; both sides prove that they know the key."""


_warm_worker = WarmWorker()
WarmWorkerManager.register("warm_worker", callable=lambda: _warm_worker, exposed=("check_batch", "run_dbt"))


def warm_worker_record(home: Path) -> Path:
    """The file with the port and key of a home's warm worker."""
    return home / "run" / "standby.json"


def find_warm_worker(home: Path) -> WarmWorker | None:
    """A proxy of the warm worker of a home; None if there is none."""
    try:
        record = json.loads(warm_worker_record(home).read_text(encoding="utf-8"))
        manager = WarmWorkerManager((HOST, record["port"]), bytes.fromhex(record["key"]))
        manager.connect()
        worker: WarmWorker = manager.warm_worker()  # type: ignore[attr-defined]
    except (OSError, EOFError, ValueError, KeyError, AuthenticationError):
        return None
    return worker


def warm_gate(home: Path) -> Gate:
    """`expectations.gate.check_batch`, run by the warm worker if there is one."""
    from expectations.gate import check_batch  # noqa: PLC0415 - importing it costs little, calling it seconds

    worker = find_warm_worker(home)
    if worker is None:
        return check_batch

    def check(*arguments: Any) -> GateReport:
        try:
            return worker.check_batch(*arguments)
        except (EOFError, ConnectionError):  # it was stopped meanwhile
            return check_batch(*arguments)

    return check


def warm_dbt(home: Path) -> Processes:
    """Lends dbt for a block: in the warm worker if there is one, else in a child of this process."""

    @contextlib.contextmanager
    def lend(place: DbtPlace) -> Iterator[RunsDbt]:
        worker = find_warm_worker(home)
        if worker is not None:
            yield _RemoteDbt(worker, place)
            return
        with process_for(place) as process:
            yield process

    return lend


@dataclass
class _RemoteDbt:
    worker: WarmWorker
    place: DbtPlace
    output: Path = Path(os.devnull)

    def run(self, command: Sequence[str]) -> int:
        code, self.output = self.worker.run_dbt(os.getpid(), self.place, command)
        return code
