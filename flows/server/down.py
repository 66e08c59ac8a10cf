"""Stop the processes that `up` has started or left behind."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import psutil

from flows.server.process_records import read_records, remove_records

# `up` needs this long to stop its children in order, in the worst case.
UP_GRACE_SECONDS = 20.0
CHILD_GRACE_SECONDS = 5.0


def down(home: Path) -> list[str]:
    """Stop a running `up` of this home, and every process that an earlier one left behind.

    Processes are identified by id and time of creation, so another process that got a reused id is left alone.

    Args:
        home: Home of the workspace.

    Returns:
        Names of the stopped processes; empty if none was running.

    Raises:
        ServiceError: the record is broken.
    """
    records = read_records(home)
    found = [(record, process) for record in records if (process := record.find())]
    names = [record.name for record, _ in found]
    # Their own children too (flow runs of a worker), listed before their parents exit.
    descendants = [child for _, process in found for child in _descendants(process)]
    if found and found[0][0] == records[0]:
        # `up` itself stops its children in the right order.
        _end([found[0][1]], UP_GRACE_SECONDS)
    _end([process for _, process in found], CHILD_GRACE_SECONDS)
    _end(descendants, CHILD_GRACE_SECONDS)
    remove_records(home)
    return names


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _end(processes: Sequence[psutil.Process], grace_seconds: float) -> None:
    """Ask processes to end, then kill those that did not. psutil checks the time of creation before each signal."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, grace_seconds)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, grace_seconds)
