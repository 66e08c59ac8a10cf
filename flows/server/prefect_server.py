"""A local Prefect API server, and the environment in which Prefect code finds it.

The server keeps its state in SQLite under `home/prefect`; the first start migrates the empty database (about 5 s of
CPU), later ones take about 2.5 s. It is uvicorn on Prefect's application, as Prefect itself starts its temporary
server: `prefect server start` would import the whole command line and keep one more process.

Prefect reads its settings when it is imported. So the safe order is: enter `local_prefect_server`, then import the
modules that hold flows. When Prefect has been imported already (tests), the settings are replaced for the block;
threads that Prefect starts see them, threads that you start yourself do not.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.processes.children import child_environment, start_child, stop_child
from flows.processes.ports import HOST, free_port, require_free_port, wait_for_answer
from flows.server.access import access_environment
from flows.server.gateway import HOME_VARIABLE
from flows.workspace.secret import home_secret
from flows.workspace.server_database import require_sound_database

# Variables that would direct Prefect to another server or profile than the one started here.
FOREIGN_SETTINGS = ("PREFECT_API_KEY", "PREFECT_PROFILE")


def api_url(port: int) -> str:
    """Address of the API of a server on this machine."""
    return f"http://{HOST}:{port}/api"


def prefect_environment(home: Path, url: str, *, quiet: bool = True) -> dict[str, str]:
    """The environment variables with which Prefect code talks to the server of this home.

    Args:
        home: Home of the workspace; PREFECT_HOME becomes its folder `prefect`.
        url: Address of the API, ending in /api.
        quiet: Show and store warnings only; an unattended worker should log everything.

    Raises:
        ServiceError: the secret of the home cannot be used.
    """
    loopback = [HOST, "localhost", *filter(None, os.environ.get("NO_PROXY", "").split(","))]
    return {
        "PREFECT_HOME": str(home.resolve() / "prefect"),
        "PREFECT_API_URL": url,
        "PREFECT_API_AUTH_STRING": home_secret(home),
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
        # Without a server: raise an error instead of silently starting a second, temporary one.
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "WARNING" if quiet else "INFO",
        "PREFECT_CLI_COLORS": "false",
        # A dead flow run is noticed after three missed heartbeats; 30 s is the least that Prefect allows.
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        "NO_PROXY": ",".join(dict.fromkeys(loopback)),
    }


@dataclass(frozen=True)
class PrefectServer:
    """A server that has been started, not necessarily up yet."""

    process: subprocess.Popen[bytes]
    port: int
    log_path: Path

    @property
    def url(self) -> str:
        """Address of its API."""
        return api_url(self.port)

    def wait(self, limit_seconds: float = 180.0) -> None:
        """Wait until it answers.

        Raises:
            ServiceError: it ended or did not answer in time; with the tail of its log.
        """
        wait_for_answer(
            self.process,
            self.port,
            "Prefect server",
            path="/api/health",
            limit_seconds=limit_seconds,
            log_path=self.log_path,
        )


def start_prefect_server(
    home: Path, port: int = 0, *, services: bool = True, ui: bool = True, secret: str = "", names: Sequence[str] = ()
) -> PrefectServer:
    """Start a server and return at once; it dies with this process. Access is restricted: see `flows.server.access`.

    Args:
        home: Home of the workspace.
        port: Port of 127.0.0.1; 0 takes a free one.
        services: Run the scheduler, automations and similar services. Flows that are called directly (the demo)
            need none of them: without, the server only records task runs and events.
        ui: Serve Prefect's own web pages.
        secret: The secret that it requires; default: that of the home.
        names: Its host names in addition to those of the loopback address.

    Raises:
        ServiceError: the port is in use, or the secret or the database of the home cannot be used.
    """
    if port:
        require_free_port(port, "the Prefect server", "--server-port")
    require_sound_database(home)
    port = port or free_port()
    log_path = home / "logs" / "prefect-server.log"
    settings = {
        **access_environment(port, secret or home_secret(home), names),
        HOME_VARIABLE: str(home.resolve()),
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_ENABLED": str(ui).lower(),
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # Prefect's leases in memory would be lost with the server, and with them their slots under concurrency limits.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # This service only renames due runs to "Late", but after a pause it does so for many at once, in parallel, and
        # SQLite answers "database is locked" for up to a minute. Workers take due runs in either state.
        "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
        "PREFECT__SERVER_FINAL": "1",
    }
    if not services:
        settings |= {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_API_BLOCKS_REGISTER_ON_START": "false"}
    environment = child_environment({**prefect_environment(home, api_url(port)), **settings})
    for name in FOREIGN_SETTINGS:
        environment.pop(name, None)
    Path(environment["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    application = ["--factory", "flows.server.prefect_app:create_app", "--timeout-graceful-shutdown", "2"]
    address = ["--host", HOST, "--port", str(port), "--log-level", "warning"]
    process = start_child([sys.executable, "-m", "uvicorn", *application, *address], environment, log_path)
    return PrefectServer(process, port, log_path)


@contextlib.contextmanager
def local_prefect_server(home: Path, port: int = 0, *, services: bool = False) -> Iterator[str]:
    """A running server for the block; Prefect code inside it finds it. Yields the address of its API.

    Raises:
        ServiceError: the port is in use, or the server did not come up within 180 s.
    """
    server = start_prefect_server(home, port, services=services, ui=services)
    try:
        server.wait()
        with prefect_settings(prefect_environment(home, server.url)):
            yield server.url
    finally:
        stop_child(server.process)


@contextlib.contextmanager
def prefect_settings(environment: Mapping[str, str]) -> Iterator[None]:
    """Apply `prefect_environment` to this process for the block, whether or not Prefect has been imported."""
    before = {name: os.environ.get(name) for name in (*environment, *FOREIGN_SETTINGS)}
    for name in FOREIGN_SETTINGS:
        os.environ.pop(name, None)
    os.environ.update(environment)
    try:
        with _replaced_settings() if "prefect" in sys.modules else contextlib.nullcontext():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _replaced_settings() -> Iterator[None]:
    """Read the settings again from the environment, in a Prefect that is loaded already."""
    from prefect.context import SettingsContext  # noqa: PLC0415 - a module of this name must not load Prefect
    from prefect.settings import Profile, Settings  # noqa: PLC0415

    with SettingsContext(profile=Profile(name="candleworks", settings={}), settings=Settings()):
        yield
