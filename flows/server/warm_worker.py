"""Main program of the warm worker of a home (see `flows.warehouse.warm_worker`).

python -m flows.server.warm_worker HOME
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from multiprocessing.managers import Server
from pathlib import Path

from expectations.suite import candle_suite
from flows.processes.ports import HOST
from flows.settings import Settings
from flows.warehouse.dbt_process import kept
from flows.warehouse.transform import dbt_place
from flows.warehouse.warm_worker import WarmWorkerManager, warm_worker_record
from flows.workspace.workspace import Workspace


def run_warm_worker(home: Path) -> None:
    """Load, write the record and serve until this process is stopped."""
    warm_worker_record(home).unlink(missing_ok=True)
    workspace = Workspace(home, Settings())  # only for its paths
    place = dbt_place(workspace.warehouse.path, target_path=workspace.dbt_target, log_path=workspace.logs)
    with kept(place):
        candle_suite()  # loads Great Expectations while dbt loads
        key = secrets.token_bytes(32)
        server = WarmWorkerManager((HOST, 0), key).get_server()
        _write_record(home, server, key)
        server.serve_forever()


def _write_record(home: Path, server: Server, key: bytes) -> None:
    """Readable by the owner only, and written atomically."""
    _, port = server.address  # type: ignore[misc]  # of a socket of the internet family
    path = warm_worker_record(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps({"port": port, "key": key.hex()}), encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    run_warm_worker(Path(sys.argv[1]).resolve())
