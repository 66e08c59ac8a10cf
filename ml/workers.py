"""Who works: a name for this process that others can check for life when they share its machine."""

from __future__ import annotations

import os
import socket

import psutil

#: The start of a process is counted from the boot, whose time moves a little when the clock is set right.
START_TOLERANCE_SECONDS = 2.0


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
        process = psutil.Process(int(pid))
        # A killed process keeps its number until its parent has noticed.
        ended = process.status() == psutil.STATUS_ZOMBIE
        return ended or abs(process.create_time() - float(started)) > START_TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return True
