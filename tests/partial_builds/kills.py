"""Builds that are killed at some moment."""

from __future__ import annotations

import threading
import time

from flows.warehouse.dbt_process import DbtProcess
from tests.dbt.built import BUILD_CANDLES, Built


def kill_a_build(built: Built, seconds: float) -> int:
    """Begin a build in a process of its own, and kill -9 it after so long; returns how many models it had built."""
    process = DbtProcess(built.place, "output_killed")
    assert process.run(["ls", "--select", "dim_markets"]) == 0, process.output.read_text()  # it has loaded the project
    running = threading.Thread(target=process.run, args=(BUILD_CANDLES,))
    running.start()
    time.sleep(seconds)
    process._child.kill()
    running.join()
    process.close()
    log = built.log_path / "dbt.log"
    return log.read_text("utf-8").count(" OK created ") if log.exists() else 0
