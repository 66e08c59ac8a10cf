"""Suspects: test cases that a process was at when it died.

Most processes die innocently (a kill, a machine that is switched off), so a chunk is first done without any record of
its single cases. One that was lost is done again carefully: each case is written down before it begins and crossed out
after it. When a case is still written down and its worker has gone, there are three kinds of deaths:

- Explained: the process left a trace of a fatal signal (`crash_file`), or the kernel has killed for memory meanwhile.
  After `EXPLAINED` of them the case is given up.
- Not the case's: the process that had started the worker has gone too. An interrupted sweep, or a killed worker.
- Unexplained: any other, such as a kill -9 from outside or an exit in native code. It takes `DEATHS` of all kinds.

Of workers on other machines nothing is known; their deaths are unexplained.
"""

from __future__ import annotations

import faulthandler
import json
import os
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ml.canonical import canonical_json
from ml.execution.workers import is_gone, worker_name
from ml.store import Store

#: So often a case may take its process down before it is given up: for a known reason, and for any.
EXPLAINED = 2
DEATHS = 6


@dataclass(frozen=True)
class Deaths:
    """How many processes died over a case: for a known reason, and without one."""

    explained: int = 0
    unexplained: int = 0

    @property
    def is_poison(self) -> bool:
        """Whether the case is not to be tried again."""
        return self.explained >= EXPLAINED or self.explained + self.unexplained >= DEATHS


def poison_cases(store: Store, dataset_id: str) -> dict[str, Deaths]:
    """Case key -> what is known against it; nothing yet against those that somebody is at now."""
    paths = store.list(f"suspects/{dataset_id}")
    return {path.rsplit("/", 1)[1].removesuffix(".json"): _deaths(store, path) for path in paths}


def begin(store: Store, dataset_id: str, case_key: str) -> None:
    """Write down that this process begins a case."""
    crash_file()
    path = _path(dataset_id, case_key)
    known = _deaths(store, path)
    entry = {"worker": worker_name(), "parent": worker_name(os.getppid()), "memory_kills": _memory_kills()}
    store.replace(path, canonical_json({**vars(known), **entry}).encode())


def end(store: Store, dataset_id: str, case_key: str) -> None:
    """Cross a case out: it has a result."""
    store.delete(_path(dataset_id, case_key))


@cache
def crash_file() -> int:
    """Descriptor of the file where this process leaves a trace when a fatal signal ends it.

    Open to the end of the process, and written in C, also when Python is stuck.
    """
    path = _crash_path(worker_name())
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
    faulthandler.enable(descriptor)
    return descriptor


def _crash_path(worker: str) -> Path:
    return Path(tempfile.gettempdir()) / "candleworks-crashes" / worker.replace(":", "-")


def _path(dataset_id: str, case_key: str) -> str:
    return f"suspects/{dataset_id}/{case_key}.json"


def _memory_kills() -> int:
    """Processes that the kernel has killed for memory since the machine was started (Linux; elsewhere 0)."""
    with suppress(OSError):
        lines = Path("/proc/vmstat").read_text("ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0


def _deaths(store: Store, path: str) -> Deaths:
    try:
        entry = json.loads(store.read(path))
    except FileNotFoundError:
        return Deaths()
    known = Deaths(entry["explained"], entry["unexplained"])
    if entry["worker"].rsplit(":", 2)[0] != socket.gethostname():
        return Deaths(known.explained, known.unexplained + 1)
    if not is_gone(entry["worker"]):
        return known
    crash = _crash_path(entry["worker"])
    if (crash.exists() and crash.stat().st_size) or _memory_kills() > entry["memory_kills"]:
        return Deaths(known.explained + 1, known.unexplained)
    return known if is_gone(entry["parent"]) else Deaths(known.explained, known.unexplained + 1)
