"""Who works: a name for this process that others can check for life when they share its machine."""

from __future__ import annotations

import os
import socket

import psutil

#: The start of a process is counted from the boot, whose time moves a little when the clock is set right.
START_TOLERANCE_SECONDS = 2.0


def worker_name(pid: int | None = None) -> str:
    """``host:pid:started`` of a process (default: this one); the start tells it from a later one of the same number."""
    pid = os.getpid() if pid is None else pid
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        started = 0.0  # it ended just now: no process has this name, so it counts as gone
    return f"{socket.gethostname()}:{pid}:{started:.2f}"


def machine_of(worker: str) -> str:
    """The machine in a worker's name: what trust is given to and taken from.

    A process lasts minutes and its successor has another number, so a name of a process would mark nobody. The name of
    the machine is the worker's own word: whoever forges results can also lie about it, and then earns with every forged
    result no more than that it is computed once more.
    """
    return worker.rsplit(":", 2)[0]


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
