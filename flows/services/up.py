"""Run everything on this machine: Prefect server, work pools, deployments, workers and the app.

`up` stays in the foreground as the parent of all. Nothing is restarted silently: when a child ends, `up` says so and
stops the others. Ctrl-C (or SIGTERM) stops all in reverse order. When `up` is killed, its children die with it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from flows.services.deploy import COORDINATOR_POOL, DEPLOYMENTS, deploy, installation_environment
from flows.services.ports import HOST, require_free_port, wait_for_answer
from flows.services.processes import child_environment, log_tail, start_child, stop_child
from flows.services.records import ProcessRecord, read_records, record_of, remove_records, write_records
from flows.services.server import api_url, prefect_environment, start_prefect_server
from ml.errors import ServiceError

# The hourly run and the nightly sweep; the latter waits for its chunks, so it may not take a place from them.
COORDINATOR_RUNS = 2
WATCH_SECONDS = 0.5
SERVER_NAME = "Prefect server"


@dataclass(frozen=True)
class UpOptions:
    """What to run and where.

    Attributes:
        home: Home of the installation.
        config_path: Its candleworks.toml.
        store_url: The store that the app reads; default: the folder `store` of the home.
        server_port: Port of the Prefect server.
        app_port: Port of the app.
        cpu_workers: Chunks that run at the same time on CPUs of this machine; 0: no worker.
        gpu_workers: The same on GPUs.
        deployments: The folder with prefect.yaml and work-pools/.
    """

    home: Path
    config_path: Path
    store_url: str = ""
    server_port: int = 4200
    app_port: int = 8501
    cpu_workers: int = 1
    gpu_workers: int = 0
    deployments: Path = DEPLOYMENTS


@dataclass
class _Fleet:
    """The children of one `up`, in the order of their start."""

    home: Path
    children: list[tuple[ProcessRecord, subprocess.Popen[bytes], Path]] = field(default_factory=list)

    def add(self, name: str, child: subprocess.Popen[bytes], log_path: Path, address: str = "") -> None:
        self.children.append((record_of(name, child.pid, address), child, log_path))
        write_records(self.home, [record_of("up", os.getpid()), *(record for record, _, _ in self.children)])

    def require_alive(self) -> None:
        for record, child, log_path in self.children:
            if child.poll() is not None:
                raise ServiceError(
                    f"The {record.name} ended with exit code {child.returncode}; all others have been stopped. "
                    f"Its log {log_path} ends with:\n{log_tail(log_path)}"
                )

    def stop(self) -> None:
        for _, child, _ in reversed(self.children):
            stop_child(child)
        remove_records(self.home)


def up(options: UpOptions, console: Console | None = None) -> None:
    """Start everything, print the addresses, and stay until Ctrl-C, SIGTERM or the end of a child.

    Must run in the main thread (it handles signals).

    Args:
        options: What to run and where.
        console: Where to print.

    Raises:
        ServiceError: a port is in use or an earlier `up` still runs (nothing was changed), something did not come
            up, or a child ended (all others have been stopped).
    """
    console = console or Console()
    check(options)
    fleet = _Fleet(options.home)
    with _interruptible():
        try:
            console.print("Starting (Ctrl-C stops everything) ...")
            _start(options, fleet)
            console.print(_addresses(options, fleet))
            while True:
                fleet.require_alive()
                time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            console.print("Stopping ...")
        finally:
            # A second Ctrl-C must not leave half of them running.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            fleet.stop()
    console.print("Stopped.")


def running_server(home: Path) -> str | None:
    """Address of the API of the server that an `up` of this home runs; two servers must not share one database."""
    for record in read_records(home):
        if record.name == SERVER_NAME and record.find():
            return f"{record.address}/api"
    return None


def check(options: UpOptions) -> None:
    """Find what is in the way before anything is started or written.

    Raises:
        ServiceError: a port is in use, both ports are the same, the app is missing, or an earlier `up` still runs.
    """
    alive = [record for record in read_records(options.home) if record.find()]
    if alive:
        names = ", ".join(f"{record.name} (process {record.pid})" for record in alive)
        raise ServiceError(f"Still running for {options.home}: {names}. End it with `candleworks down`.")
    if options.server_port == options.app_port:
        raise ServiceError(f"Server and app cannot share port {options.app_port}: choose another with --app-port.")
    require_free_port(options.server_port, "the Prefect server", "--server-port")
    require_free_port(options.app_port, "the app", "--app-port")
    # Found without importing it: flows and app do not know each other.
    if importlib.util.find_spec("app") is None:
        raise ServiceError("The package `app` is not installed: install candleworks again.")


def _start(options: UpOptions, fleet: _Fleet) -> None:
    logs = options.home / "logs"
    url = api_url(options.server_port)
    environment = {
        **prefect_environment(options.home, url, quiet=False),
        **installation_environment(options.home, options.config_path),
    }
    server = start_prefect_server(options.home, options.server_port)
    fleet.add(SERVER_NAME, server.process, server.log_path, f"http://{HOST}:{options.server_port}")
    # The app needs no server: both come up at the same time.
    app_command = [sys.executable, "-m", "app", "--port", str(options.app_port)]
    app = start_child(app_command, _app_environment(options), logs / "app.log")
    fleet.add("app", app, logs / "app.log", f"http://{HOST}:{options.app_port}")
    server.wait()
    deploy(environment, logs / "deploy.log", options.deployments)
    workers = {COORDINATOR_POOL: COORDINATOR_RUNS, "cpu": options.cpu_workers, "gpu": options.gpu_workers}
    started_at = datetime.now(UTC)
    for pool, limit in workers.items():
        if limit:
            log_path = logs / f"worker-{pool}.log"
            child = start_child(_worker_command(pool, limit), child_environment(environment), log_path)
            fleet.add(f"{pool} worker", child, log_path)
    for pool, limit in workers.items():
        if limit:
            _wait_for_worker(url, pool, started_at, fleet)
    wait_for_answer(app, options.app_port, "app", path="/_stcore/health", log_path=logs / "app.log")


def _app_environment(options: UpOptions) -> dict[str, str]:
    store_url = options.store_url or str(options.home.resolve() / "store")
    return child_environment({"CANDLEWORKS_STORE": store_url})


def worker_name(pool: str) -> str:
    """Name under which this machine's worker of a pool is known to the server."""
    return f"{pool} on {platform.node() or 'localhost'}"


def _worker_command(pool: str, limit: int) -> list[str]:
    worker = [
        "worker",
        "start",
        "--type",
        "process",
        "--pool",
        pool,
        "--limit",
        str(limit),
        "--name",
        worker_name(pool),
    ]
    return [sys.executable, "-m", "prefect", *worker]


def _wait_for_worker(url: str, pool: str, since: datetime, fleet: _Fleet, limit_seconds: float = 120.0) -> None:
    """Wait until the server has heard from this machine's worker of a pool.

    Raises:
        ServiceError: a child ended, or the server heard nothing in time.
    """
    deadline = time.monotonic() + limit_seconds
    while not _worker_has_reported(url, pool, since):
        fleet.require_alive()
        if time.monotonic() > deadline:
            log_path = fleet.home / "logs" / f"worker-{pool}.log"
            raise ServiceError(f"The {pool} worker was silent for {limit_seconds:.0f} s. {log_tail(log_path)}")
        time.sleep(0.2)


def _worker_has_reported(url: str, pool: str, since: datetime) -> bool:
    request = urllib.request.Request(
        f"{url}/work_pools/{pool}/workers/filter", data=b"{}", headers={"Content-Type": "application/json"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as response:
            workers: list[Mapping[str, str]] = json.load(response)
    except OSError:
        return False
    mine = [worker["last_heartbeat_time"] for worker in workers if worker["name"] == worker_name(pool)]
    return any(datetime.fromisoformat(time_text) >= since - timedelta(seconds=1) for time_text in mine)


def _addresses(options: UpOptions, fleet: _Fleet) -> Table:
    table = Table("service", "address", "log")
    for record, _, log_path in fleet.children:
        table.add_row(record.name, record.address or "-", log_path.name)
    table.caption = f"Logs lie in {options.home / 'logs'}."
    return table


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does; the handlers from before come back afterwards."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
