"""The shell command that makes another machine a worker of a pool."""

from __future__ import annotations

import shlex
from pathlib import Path

from flows.server.api import require_home_secret
from flows.server.up import running_server
from flows.workspace.secret import home_secret
from ml.errors import ServiceError


def worker_line(home: Path, pool: str, limit: int) -> str:
    """A shell command that starts a worker of this home's server on another machine.

    The secret goes into the environment of that worker: every user there could list its arguments.

    Args:
        home: Home of the workspace, whose `up` runs.
        pool: Work pool whose chunks it does.
        limit: How many at a time.

    Raises:
        ServiceError: no server runs, or it has another secret.
    """
    url = running_server(home)
    if url is None:
        raise ServiceError(f"No Prefect server runs for {home}. Start it with `candleworks up`.")
    require_home_secret(url, home)
    variables = {"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": home_secret(home)}
    words = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    command = ["prefect", "worker", "start", "--type", "process", "--pool", pool, "--limit", str(limit)]
    return " ".join([*words, shlex.join(command)])
