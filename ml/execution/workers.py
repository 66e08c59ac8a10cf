"""Worker names: they identify a process, so that others on the same machine can check whether it is alive."""

from __future__ import annotations

import os
import socket

import psutil

#: Start times are relative to the boot time, which shifts a little when the clock is adjusted.
START_TOLERANCE_SECONDS = 2.0


def worker_name(pid: int | None = None) -> str:
    """``host:pid:started`` of a process (default: this one); the start time distinguishes reused process ids."""
    pid = os.getpid() if pid is None else pid
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        started = 0.0  # it has just exited: no process matches this name
    return f"{socket.gethostname()}:{pid}:{started:.2f}"


def machine_of(worker: str) -> str:
    """The machine in a worker's name, the unit of trust.

    A process lives for minutes and its successor has another id, so marking a process would have no effect. The machine
    name is reported by the worker itself: a forger of results can also forge it, but then gains only one more
    recomputation per forged result.
    """
    return worker.rsplit(":", 2)[0]


def is_gone(worker: str) -> bool:
    """Whether a worker of this machine has exited; False for workers of other machines, whose state is unknown."""
    host, pid, started = worker.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(pid))
        # A killed process keeps its id until its parent has reaped it.
        ended = process.status() == psutil.STATUS_ZOMBIE
        return ended or abs(process.create_time() - float(started)) > START_TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return True
