"""The processes that `up` has started, on disk, so that `down` finds them even when `up` itself was killed.

`home/run/up.json` identifies each process by its id *and* its time of creation: the system reuses ids, and another
process that got one of ours must never be stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ml.errors import ServiceError

# The creation time comes from the kernel's uptime and the wall clock; a clock that is set moves it a little.
CREATION_TOLERANCE_SECONDS = 1.0


@dataclass(frozen=True)
class ProcessRecord:
    """One process of `up`. `created_at` is in seconds since 1970; `address` is empty for processes without one."""

    name: str
    pid: int
    created_at: float
    address: str = ""

    def find(self) -> psutil.Process | None:
        """The process, if it is still running and is the recorded one."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created_at) <= CREATION_TOLERANCE_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def record_of(name: str, pid: int, address: str = "") -> ProcessRecord:
    """Record of a running process."""
    return ProcessRecord(name, pid, psutil.Process(pid).create_time(), address)


def record_path(home: Path) -> Path:
    """Where the records of a home are."""
    return home / "run" / "up.json"


def write_records(home: Path, records: Sequence[ProcessRecord]) -> None:
    """Replace the records of a home in one step. The first one is `up` itself."""
    path = record_path(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps([asdict(record) for record in records], indent=2), encoding="utf-8")
    draft.replace(path)


def read_records(home: Path) -> list[ProcessRecord]:
    """The records of a home; empty when nothing was started or all was stopped cleanly.

    Raises:
        ServiceError: the file is broken.
    """
    path = record_path(home)
    try:
        return [ProcessRecord(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise ServiceError(f"{path} is broken ({error}). End what `candleworks up` started, then delete it.") from error


def remove_records(home: Path) -> None:
    """Forget the processes of a home."""
    record_path(home).unlink(missing_ok=True)
