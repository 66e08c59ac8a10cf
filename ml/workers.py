"""Who works: a name for this process that others can check for life when they share its machine."""

from __future__ import annotations

import os
import socket

import psutil


def worker_name() -> str:
    """``host:pid:started``; the start time tells this process from a later one with the same number."""
    process = psutil.Process()
    return f"{socket.gethostname()}:{os.getpid()}:{process.create_time():.2f}"


def is_gone(worker: str) -> bool:
    """Whether a worker of this machine has ended; False for workers elsewhere, of which nothing is known."""
    host, pid, started = worker.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != started
    except psutil.NoSuchProcess:
        return True
