"""Lending: the shell command that makes another machine a worker of a pool, and its end."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path

from flows.pools.worker_process import KEY_VARIABLE
from flows.server.api import require_home_secret
from flows.server.up import running_server
from flows.workspace.worker_keys import Pool, lend
from ml.errors import ServiceError


def worker_line(home: Path, name: str, pool: Pool, limit: int, now: datetime) -> str:
    """A shell command that starts a worker of this home's server on another machine, with new keys of its own.

    The keys go into the environment of that worker: every user there could list its arguments.

    Args:
        home: Home of the workspace, whose `up` runs.
        name: Of the machine; "" chooses one.
        pool: Work pool whose chunks it does.
        limit: How many at a time.
        now: UTC.

    Raises:
        ServiceError: no server runs, or it has another secret.
        ConfigurationError: the name cannot be given.
    """
    url = running_server(home)
    if url is None:
        raise ServiceError(f"No Prefect server runs for {home}. Start it with `candleworks up`.")
    require_home_secret(url, home)
    lent = lend(home, name, pool, now)
    variables = {
        "PREFECT_API_URL": url,
        "PREFECT_API_AUTH_STRING": f"{lent.machine.name}:{lent.password}",
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
        KEY_VARIABLE: lent.key.text,
    }
    words = [f"{variable}={shlex.quote(value)}" for variable, value in variables.items()]
    worker = ["--type", "process", "--pool", pool, "--limit", str(limit), "--name", lent.machine.name]
    return " ".join([*words, shlex.join(["prefect", "worker", "start", *worker])])
