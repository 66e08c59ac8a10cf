"""Suspects: test cases that a process was at when it died.

Most processes die innocently (a kill, a machine that is switched off), so a chunk is first done without any record of
its single cases. One that was lost is done again carefully: each case is written down before it begins and crossed out
after it. A case that is still written down when its worker has gone, while the process that had started that worker
lives on, took it down: a segmentation fault, or the kernel out of memory. After `DEATHS` of them it is not tried again.

A worker that went together with its parent (an interrupted sweep, a Prefect worker that was killed) says nothing about
the case. Of workers on other machines nothing is known, so those count.
"""

from __future__ import annotations

import json
import os
import socket

from ml.canonical import canonical_json
from ml.store import Store
from ml.workers import is_gone, worker_name

#: So often a case may take its process down before it is given up.
DEATHS = 2


def _path(dataset_id: str, case_key: str) -> str:
    return f"suspects/{dataset_id}/{case_key}.json"


def suspects(store: Store, dataset_id: str) -> dict[str, int]:
    """Case key -> how many processes it has taken down; also 0 for those that somebody is at now."""
    paths = store.list(f"suspects/{dataset_id}")
    return {path.rsplit("/", 1)[1].removesuffix(".json"): _deaths(store, path) for path in paths}


def begin(store: Store, dataset_id: str, case_key: str) -> None:
    """Write down that this process begins a case."""
    path = _path(dataset_id, case_key)
    entry = {"deaths": _deaths(store, path), "worker": worker_name(), "parent": worker_name(os.getppid())}
    store.replace(path, canonical_json(entry).encode())


def end(store: Store, dataset_id: str, case_key: str) -> None:
    """Cross a case out: it has a result."""
    store.delete(_path(dataset_id, case_key))


def _deaths(store: Store, path: str) -> int:
    try:
        entry = json.loads(store.read(path))
    except FileNotFoundError:
        return 0
    host = entry["worker"].rsplit(":", 2)[0]
    elsewhere = host != socket.gethostname()
    took_down = elsewhere or (is_gone(entry["worker"]) and not is_gone(entry["parent"]))
    return int(entry["deaths"]) + took_down
