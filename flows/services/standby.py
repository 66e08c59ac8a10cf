"""The process that stands by for the flows of a home (see `flows.warehouse.standby`).

python -m flows.services.standby HOME
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from multiprocessing.managers import Server
from pathlib import Path

from expectations.suite import candle_suite
from flows.home.installation import Installation
from flows.processes.ports import HOST
from flows.warehouse.dbt_process import kept
from flows.warehouse.standby import StandbyManager, standby_record
from flows.warehouse.transform import dbt_place
from ml.config import Settings


def stand_by(home: Path) -> None:
    """Load, write the record and serve until this process is ended."""
    standby_record(home).unlink(missing_ok=True)
    installation = Installation(home, Settings())  # only for its paths
    place = dbt_place(installation.warehouse.path, target_path=installation.dbt_target, log_path=installation.logs)
    with kept(place):
        candle_suite()  # loads Great Expectations, while dbt loads beside it
        key = secrets.token_bytes(32)
        server = StandbyManager((HOST, 0), key).get_server()
        _write_record(home, server, key)
        server.serve_forever()


def _write_record(home: Path, server: Server, key: bytes) -> None:
    """For the owner's eyes only, and whole or not at all."""
    _, port = server.address  # type: ignore[misc]  # of a socket of the internet family
    path = standby_record(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps({"port": port, "key": key.hex()}), encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    stand_by(Path(sys.argv[1]).resolve())
