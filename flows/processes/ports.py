"""Ports on this machine: whether one is free, and which process answers on it."""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from flows.processes.children import log_tail
from ml.errors import ServiceError

HOST = "127.0.0.1"


def free_port() -> int:
    """A port of 127.0.0.1 on which no process listens at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port with connections in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def require_free_port(port: int, purpose: str, option: str) -> None:
    """Raise if a port is taken.

    Args:
        port: The port of 127.0.0.1.
        purpose: What it is for, e.g. "the app".
        option: The command-line option that chooses another one, e.g. "--app-port".

    Raises:
        ServiceError: naming the port and the remedy.
    """
    if not port_is_free(port):
        raise ServiceError(
            f"Port {port} for {purpose} is in use: end what listens there (`candleworks down` if it was ours), "
            f"or choose another with {option}."
        )


def answers(url: str, timeout_seconds: float = 2.0) -> bool:
    """Whether a GET of this URL is answered with a status below 400."""
    # 127.0.0.1 must be reached directly, even if the environment names a proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout_seconds) as response:
            return bool(response.status < 400)
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False


def listens(pid: int, port: int) -> bool:
    """Whether this process itself listens on the port; another server there must not be mistaken for ours."""
    # Imported here: psutil takes 30 ms to import, and most users of this module do not need it.
    import psutil  # noqa: PLC0415

    try:
        connections = psutil.Process(pid).net_connections(kind="tcp4")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)


def wait_for_answer(
    child: subprocess.Popen[bytes],
    port: int,
    what: str,
    *,
    path: str = "/",
    limit_seconds: float = 180.0,
    log_path: Path | None = None,
) -> None:
    """Wait until a child listens on its port and answers.

    Args:
        child: The server's process.
        port: Its port of 127.0.0.1.
        what: Its name in messages, e.g. "Prefect server".
        path: What to GET.
        limit_seconds: How long to wait.
        log_path: Its log, whose tail is shown on failure.

    Raises:
        ServiceError: the child ended, or did not answer in time; with the tail of its log.
    """
    deadline = time.monotonic() + limit_seconds
    while not (listens(child.pid, port) and answers(f"http://{HOST}:{port}{path}")):
        ended = child.poll() is not None
        if ended or time.monotonic() > deadline:
            how = f"ended with exit code {child.returncode}" if ended else f"did not answer in {limit_seconds:.0f} s"
            where = f" Its log {log_path} ends with:\n{log_tail(log_path)}" if log_path else ""
            raise ServiceError(f"The {what} {how} (http://{HOST}:{port}{path}).{where}")
        time.sleep(0.05)
