"""Poison cases: test cases that repeatedly crash their worker process.

Most worker processes die for reasons unrelated to the case (a kill, a machine that is switched off), so a chunk is
first done without records of single cases. A lost chunk is repeated in careful mode: each case is recorded before it
begins, and the record is deleted after it. If a record exists and its worker has exited, the death is of one of three
kinds:

- Explained: the process left the trace of a fatal signal (`crash_file`), or the kernel has killed a process for memory
  since. After `EXPLAINED` such deaths the case is given up.
- Unrelated: the parent process of the worker has exited too, as in an interrupted sweep or a stopped worker. Such a
  death is not counted.
- Unexplained: any other, such as a kill -9 or an exit in native code. After `DEATHS` deaths of both counted kinds the
  case is given up.

Deaths of workers on other machines cannot be examined and are unexplained.
"""

from __future__ import annotations

import faulthandler
import os
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ml.canonical import canonical_json
from ml.data.stored import read_derived
from ml.execution.workers import is_gone, machine_of, worker_name
from ml.store import Store

#: A stored name.
FOLDER = "suspects"
#: Worker deaths after which a case is given up: explained ones, and explained and unexplained ones together.
EXPLAINED = 2
DEATHS = 6


@dataclass(frozen=True)
class Deaths:
    """Number of worker processes that died during a case."""

    explained: int = 0
    unexplained: int = 0

    @property
    def is_poison(self) -> bool:
        """Whether the case must not be tried again."""
        return self.explained >= EXPLAINED or self.explained + self.unexplained >= DEATHS


def poison_cases(store: Store, dataset_id: str) -> dict[str, Deaths]:
    """Case key -> deaths of the recorded cases; a case in progress is listed, with its earlier deaths only."""
    paths = store.list(f"{FOLDER}/{dataset_id}")
    return {path.rsplit("/", 1)[1].removesuffix(".json"): _deaths(store, path) for path in paths}


def begin(store: Store, dataset_id: str, case_key: str) -> None:
    """Record that this process begins a case."""
    crash_file()
    path = _path(dataset_id, case_key)
    known = _deaths(store, path)
    entry = {"worker": worker_name(), "parent": worker_name(os.getppid()), "memory_kills": _memory_kills()}
    store.replace(path, canonical_json({**vars(known), **entry}).encode())


def end(store: Store, dataset_id: str, case_key: str) -> None:
    """Delete the record of a case: it has a result."""
    store.delete(_path(dataset_id, case_key))


@cache
def crash_file() -> int:
    """Descriptor of the file to which a fatal signal writes the stack trace of this process.

    It stays open until the process exits; the trace is written in C, so it works even if Python is stuck.
    """
    path = _crash_path(worker_name())
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
    faulthandler.enable(descriptor)
    return descriptor


def _crash_path(worker: str) -> Path:
    return Path(tempfile.gettempdir()) / "candleworks-crashes" / worker.replace(":", "-")


def _path(dataset_id: str, case_key: str) -> str:
    return f"{FOLDER}/{dataset_id}/{case_key}.json"


def _memory_kills() -> int:
    """Processes that the kernel has killed for memory since boot (Linux; 0 elsewhere)."""
    with suppress(OSError):
        lines = Path("/proc/vmstat").read_text("ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0


def _deaths(store: Store, path: str) -> Deaths:
    entry = read_derived(
        store, path, {"explained": int, "unexplained": int, "worker": str, "parent": str, "memory_kills": int}
    )
    if entry is None:
        return Deaths()
    known = Deaths(entry["explained"], entry["unexplained"])
    if machine_of(entry["worker"]) != socket.gethostname():
        return Deaths(known.explained, known.unexplained + 1)
    if not is_gone(entry["worker"]):
        return known
    crash = _crash_path(entry["worker"])
    if (crash.exists() and crash.stat().st_size) or _memory_kills() > entry["memory_kills"]:
        return Deaths(known.explained + 1, known.unexplained)
    return known if is_gone(entry["parent"]) else Deaths(known.explained, known.unexplained + 1)
