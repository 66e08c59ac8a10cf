"""Run everything on this machine: Prefect server, work pools, deployments, workers, the app and the HTTP API.

`up` stays in the foreground as the parent of all. When a child exits, `up` reports it and restarts it; when that
happens too often, it stops all. Ctrl-C (or SIGTERM) stops all in reverse order. When `up` is killed, its children die
with it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from flows.pools.worker_process import KEY_VARIABLE
from flows.processes.children import child_environment, log_tail, start_child
from flows.processes.ports import HOST, require_free_port, wait_for_answer
from flows.reporting import Terminal
from flows.server.api import PrefectApi
from flows.server.deploy import COORDINATOR_POOL, DEPLOYMENTS, deploy, workspace_environment
from flows.server.fleet import Child, Fleet
from flows.server.http_api import address_of, api_command, api_environment, check_host
from flows.server.prefect_server import PrefectServer, api_url, prefect_environment, start_prefect_server
from flows.server.process_records import read_records
from flows.settings import ApiSettings
from flows.workspace.secret import home_secret, secret_path
from flows.workspace.server_database import require_sound_database
from flows.workspace.worker_keys import home_worker_key
from ml.errors import ServiceError

# The hourly run, the nightly sweep, which waits for its chunks and must not occupy their slot, the daily analyses, and
# the watch, which must not wait for a run that hangs.
COORDINATOR_RUNS = 4
WATCH_SECONDS = 0.5
SERVER_NAME = "Prefect server"
COORDINATOR_WORKER = f"{COORDINATOR_POOL} worker"


@dataclass(frozen=True)
class UpOptions:
    """What to run and where.

    Attributes:
        home: Home of the workspace.
        config_path: Its candleworks.toml.
        store_url: The store that the app reads; default: the folder `store` of the home.
        server_port: Port of the Prefect server.
        server_names: Its host names in addition to those of the loopback address.
        app_port: Port of the app.
        cpu_workers: Chunks at the same time on CPUs of this machine; 0: no worker.
        gpu_workers: The same on GPUs.
        deployments: The folder with prefect.yaml and work-pools/.
        poll_seconds: How often workers ask for work.
        api: Of the HTTP API; None: it is not run.
    """

    home: Path
    config_path: Path
    store_url: str = ""
    server_port: int = 4200
    server_names: tuple[str, ...] = ()
    app_port: int = 8501
    cpu_workers: int = 1
    gpu_workers: int = 0
    deployments: Path = DEPLOYMENTS
    poll_seconds: float = 3.0
    api: ApiSettings | None = None


def up(options: UpOptions, console: Console | None = None) -> None:
    """Start everything, print the addresses, and supervise it until Ctrl-C, SIGTERM or a ServiceError.

    Must run in the main thread (it handles signals).

    Args:
        options: What to run and where.
        console: Where to print.

    Raises:
        ServiceError: a port is in use or an earlier `up` still runs (nothing was changed), something did not come
            up, or a child exited too often (all others have been stopped).
    """
    console = console or Terminal()
    check(options)
    try:
        console.print("Starting (Ctrl-C stops everything) ...")
        with everything(options, console) as fleet:
            console.print(_addresses(options, fleet))
            while True:
                fleet.restart_exited(lambda line: console.print(line, soft_wrap=True, highlight=False))
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        console.print("Stopped.")


@contextlib.contextmanager
def everything(options: UpOptions, console: Console) -> Iterator[Fleet]:
    """All services, running for the block, in which SIGTERM and SIGHUP act as Ctrl-C does.

    Raises:
        ServiceError: something did not come up (all others have been stopped).
    """
    fleet = Fleet(options.home)
    with _interruptible():
        try:
            _start(options, fleet)
            yield fleet
        except KeyboardInterrupt:
            console.print("Stopping ...")
            raise
        finally:
            # A second Ctrl-C must not leave half of them running.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            fleet.stop()


def running_server(home: Path) -> str | None:
    """API address of the server that `up` runs for this home, if any; two servers must not share one database."""
    for record in read_records(home):
        if record.name == SERVER_NAME and record.find():
            return f"{record.address}/api"
    return None


def check(options: UpOptions) -> None:
    """Check all preconditions before anything is started or written.

    Raises:
        ServiceError: a port is in use, both ports are the same, the app is missing, an earlier `up` still runs, or the
            secret or the database of the home cannot be used.
    """
    alive = [record for record in read_records(options.home) if record.find()]
    if alive:
        names = ", ".join(f"{record.name} (process {record.pid})" for record in alive)
        raise ServiceError(f"Still running for {options.home}: {names}. End it with `candleworks down`.")
    if options.server_port == options.app_port:
        raise ServiceError(f"Server and app cannot share port {options.app_port}: choose another with --app-port.")
    require_free_port(options.server_port, "the Prefect server", "--server-port")
    require_free_port(options.app_port, "the app", "--app-port")
    if options.api is not None:
        _check_api(options, options.api)
    # Found without importing it: flows and app are independent of each other.
    if importlib.util.find_spec("app") is None:
        raise ServiceError("The package `app` is not installed: install candleworks again.")
    if secret_path(options.home).exists():
        home_secret(options.home)
    require_sound_database(options.home)


def _check_api(options: UpOptions, api: ApiSettings) -> None:
    if api.port in (options.server_port, options.app_port):
        raise ServiceError(f"The HTTP API cannot share port {api.port}: choose another with --api-port.")
    require_free_port(api.port, "the HTTP API", "--api-port")
    check_host(api)


def _start(options: UpOptions, fleet: Fleet) -> None:
    logs = options.home / "logs"
    url = api_url(options.server_port)
    # The same for all restarts: a secret that is deleted meanwhile changes with the next `up`.
    secret = home_secret(options.home)
    environment = {
        **prefect_environment(options.home, url, quiet=False),
        **workspace_environment(options.home, options.config_path),
        "PREFECT_WORKER_QUERY_SECONDS": str(options.poll_seconds),
    }

    def deploy_all() -> None:
        deploy(environment, logs / "deploy.log", options.deployments)

    server = fleet.add(_server(options, secret))
    # App and API need no server: all come up at the same time.
    pages = [fleet.add(_app(options)), *([fleet.add(_api(options, options.api))] if options.api else [])]
    server.after()
    deploy_all()
    api = PrefectApi(url, secret)
    workers = {COORDINATOR_POOL: COORDINATOR_RUNS, "cpu": options.cpu_workers, "gpu": options.gpu_workers}
    started_at = datetime.now(UTC)
    for pool, limit in workers.items():
        if limit:
            key = {} if pool == COORDINATOR_POOL else {KEY_VARIABLE: home_worker_key(options.home).text}
            worker = _worker(pool, limit, {**environment, **key}, logs)
            if pool == COORDINATOR_POOL:
                # Its runs died with it: until they are marked they hold the only slot of their deployment.
                worker.before = deploy_all
            fleet.add(worker)
    for pool, limit in workers.items():
        if limit:
            _wait_for_worker(api, pool, started_at, fleet)
    for child in pages:
        child.after()


def _server(options: UpOptions, secret: str) -> Child:
    def launch() -> subprocess.Popen[bytes]:
        names = options.server_names
        return start_prefect_server(options.home, options.server_port, secret=secret, names=names).process

    address = f"http://{HOST}:{options.server_port}"
    child = Child(SERVER_NAME, launch, options.home / "logs" / "prefect-server.log", address)
    child.after = lambda: PrefectServer(child.process, options.server_port, child.log_path).wait()
    return child


def _app(options: UpOptions) -> Child:
    log_path, port = options.home / "logs" / "app.log", options.app_port
    command = [sys.executable, "-m", "app", "--port", str(port)]
    child = Child(
        "app", lambda: start_child(command, _app_environment(options), log_path), log_path, f"http://{HOST}:{port}"
    )
    child.after = lambda: wait_for_answer(child.process, port, "app", path="/_stcore/health", log_path=log_path)
    return child


def _api(options: UpOptions, settings: ApiSettings) -> Child:
    log_path, port = options.home / "logs" / "api.log", settings.port
    environment = child_environment(api_environment(_store_url(options), settings))
    child = Child("API", lambda: start_child(api_command(), environment, log_path), log_path, address_of(settings))
    child.after = lambda: wait_for_answer(child.process, port, "HTTP API", path="/v1/health", log_path=log_path)
    return child


def _worker(pool: str, limit: int, environment: Mapping[str, str], logs: Path) -> Child:
    log_path = logs / f"worker-{pool}.log"
    command = _worker_command(pool, limit)
    return Child(f"{pool} worker", lambda: start_child(command, child_environment(environment), log_path), log_path)


def _app_environment(options: UpOptions) -> dict[str, str]:
    return child_environment({"CANDLEWORKS_STORE": _store_url(options)})


def _store_url(options: UpOptions) -> str:
    return options.store_url or str(options.home.resolve() / "store")


def worker_name(pool: str) -> str:
    """The server's name of this machine's worker of a pool."""
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


def _wait_for_worker(api: PrefectApi, pool: str, since: datetime, fleet: Fleet, limit_seconds: float = 120.0) -> None:
    """Wait until the server has heard from this machine's worker of a pool.

    Raises:
        ServiceError: a child exited, or the server heard nothing in time.
    """
    deadline = time.monotonic() + limit_seconds
    while not _worker_has_reported(api, pool, since):
        fleet.require_alive()
        if time.monotonic() > deadline:
            log_path = fleet.home / "logs" / f"worker-{pool}.log"
            raise ServiceError(f"The {pool} worker sent no heartbeat for {limit_seconds:.0f} s. {log_tail(log_path)}")
        time.sleep(0.2)


def _worker_has_reported(api: PrefectApi, pool: str, since: datetime) -> bool:
    try:
        workers: list[Mapping[str, str]] = api.post(f"/work_pools/{pool}/workers/filter", {})
    except OSError:
        return False
    mine = [worker["last_heartbeat_time"] for worker in workers if worker["name"] == worker_name(pool)]
    return any(datetime.fromisoformat(time_text) >= since - timedelta(seconds=1) for time_text in mine)


def _addresses(options: UpOptions, fleet: Fleet) -> Table:
    table = Table("service", "address", "log")
    for child in fleet.children:
        table.add_row(child.name, child.address or "-", child.log_path.name)
    logs, password = options.home / "logs", secret_path(options.home)
    table.caption = f"Logs are in {logs}. Prefect's pages ask for a password: it is in {password}."
    return table


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does; the previous handlers are restored afterwards."""

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
