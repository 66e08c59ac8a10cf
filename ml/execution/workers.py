"""Worker names: they identify a process, so that others on the same machine can check whether it is alive."""

from __future__ import annotations

import math
import os
import socket

import psutil

#: Start times are relative to the boot time, which shifts a little when the clock is adjusted.
START_TOLERANCE_SECONDS = 2.0
NAME_PARTS = 3


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

    A process lives for minutes and its successor has another id, so marking a process would have no effect. The name
    is reported by the worker itself; where its result is signed with the key of a lent machine, the name of that
    machine replaces it (`renamed`), so that no other one can write in its name.
    """
    return worker.rsplit(":", 2)[0]


def renamed(worker: str, machine: str) -> str:
    """The name of a worker as one of `machine`; a name of another form becomes that of the machine alone."""
    parts = worker.rsplit(":", 2)
    return ":".join([machine, *parts[1:]]) if len(parts) == NAME_PARTS else machine


def is_gone(worker: str) -> bool:
    """Whether a worker of this machine has exited; False for workers of other machines, whose state is unknown."""
    host, _, process_id = worker.partition(":")
    pid, _, started = process_id.partition(":")
    if host != socket.gethostname() or not pid.isdecimal() or not _is_number(started):
        return False
    try:
        process = psutil.Process(int(pid))
        # A killed process keeps its id until its parent has reaped it.
        ended = process.status() == psutil.STATUS_ZOMBIE
        return ended or abs(process.create_time() - float(started)) > START_TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return True


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
