"""Kills through Prefect: a chunk's flow run, a worker with all its runs, and the one who submits.

A flow run whose process dies is marked as crashed by its worker at once. One that dies with its worker stays "Running"
until the heartbeat automation finds it, which is what this drill waits for.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas import filters
from prefect.client.schemas.objects import StateType

from flows.processes.children import child_environment, start_child, stop_child
from flows.server.deploy import deploy, workspace_environment
from flows.server.prefect_server import prefect_environment, prefect_settings, start_prefect_server
from tests.drill.leases import undisturbed
from tests.drill.work import Work, differences

Say = Callable[[str], None]
CASES, CASES_A_CHUNK = 600, 100
LIMIT_SECONDS = 300.0
NO_HEARTBEAT = "No heartbeat"


def _wait_for(what: str, condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {LIMIT_SECONDS:.0f} s for {what}")
        time.sleep(0.2)
    return value


class _PrefectDrill:
    """A submitter and a worker of the pool `cpu`, on a server that runs."""

    def __init__(self, work: Work, folder: Path, environment: dict[str, str]) -> None:
        self.work, self.folder = work, folder
        self.environment = child_environment(environment)
        self.submitter = self.start("tests.drill.submitter", *work.arguments)
        self.worker = self.start_worker()

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = self.folder / f"{module}.log"
        return start_child([sys.executable, "-m", module, *arguments], self.environment, log)

    def start_worker(self) -> subprocess.Popen[bytes]:
        return self.start("prefect", "worker", "start", "--type", "process", "--pool", "cpu", "--limit", "2")

    def chunk_processes(self) -> list[int]:
        """Processes that hold a chunk now; they are below the worker."""
        pids = [int(lease.worker.split(":")[1]) for lease in self.work.held()]
        below = {child.pid for child in psutil.Process(self.worker.pid).children(recursive=True)}
        return sorted(set(pids) & below)

    def at_work(self) -> int:
        """A process in the midst of a chunk."""
        pids: list[int] = _wait_for("a chunk at work", self.chunk_processes)
        return pids[0]

    def kill_chunk_process(self) -> None:
        os.kill(self.at_work(), signal.SIGKILL)

    def kill_worker(self) -> None:
        self.at_work()
        os.kill(self.worker.pid, signal.SIGKILL)
        self.worker.wait()
        self.worker = self.start_worker()

    def kill_submitter(self) -> None:
        self.at_work()
        os.kill(self.submitter.pid, signal.SIGKILL)
        self.submitter.wait()
        self.submitter = self.start("tests.drill.submitter", *self.work.arguments)

    def crashed(self) -> list[str]:
        """Why runs have crashed, as the server knows it."""
        crashed = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=[StateType.CRASHED]))
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(flow_run_filter=filters.FlowRunFilter(state=crashed))
        return [(run.state.message or "") if run.state else "" for run in runs]

    def found_by_heartbeat(self) -> bool:
        return any(message.startswith(NO_HEARTBEAT) for message in self.crashed())

    def run(self, seed: int, say: Say) -> None:
        kills = [self.kill_chunk_process, self.kill_worker, self.kill_submitter]
        chooser = random.Random(seed)
        chooser.shuffle(kills)
        for number, kill in enumerate(kills, 1):
            self.at_work()
            time.sleep(chooser.uniform(0, 1))
            kill()
            done = f"{len(self.work.done())} of {self.work.cases} cases done"
            say(f"{number} of {len(kills)}: {kill.__name__.replace('_', ' ')}, {done}")
        killed_at = time.monotonic()
        _wait_for("the heartbeat automation", self.found_by_heartbeat)
        say(f"runs of the killed worker found {time.monotonic() - killed_at:.0f} s after the last kill")
        _wait_for("the end of the sweep", lambda: self.submitter.poll() is not None)
        assert self.submitter.returncode == 0, (self.folder / "tests.drill.submitter.log").read_text()[-2000:]


def drill(folder: Path, *, seed: int, say: Say) -> list[str]:
    """The whole drill; returns how its results differ from those of an undisturbed sweep."""
    calm = undisturbed(folder, CASES, CASES_A_CHUNK)
    say(f"undisturbed: {CASES} cases done")
    work = Work(str(folder / "disturbed"), CASES, CASES_A_CHUNK)
    work.chunks()  # writes the dataset before anybody looks for it
    server = start_prefect_server(folder, ui=False)
    try:
        server.wait()
        environment = {
            **prefect_environment(folder, server.url),
            **workspace_environment(folder, folder / "candleworks.toml"),
        }
        deploy(environment, folder / "deploy.log")
        say(f"server at {server.url}, heartbeat every {environment['PREFECT_FLOWS_HEARTBEAT_FREQUENCY']} s")
        with prefect_settings(environment):
            prefect_drill = _PrefectDrill(work, folder, environment)
            try:
                prefect_drill.run(seed, say)
            finally:
                stop_child(prefect_drill.submitter)
                stop_child(prefect_drill.worker)
    finally:
        stop_child(server.process)
    return differences(work, calm)
