"""Builds that are killed at some moment."""

from __future__ import annotations

import random
import threading
import time

from flows.warehouse.dbt_process import DbtProcess
from tests.dbt.built import BUILD_CANDLES, Built

#: What a build of the candle half builds beside the groups of features, at least: some models are part of others.
OTHER_MODELS = 10


def kill_a_build(built: Built, draw: random.Random) -> str:
    """Begin a build in a process of its own, and kill -9 it at a random moment; returns when that was.

    It is counted in models and not in seconds, since the machine does other things beside.
    """
    groups = list(built.place.project.glob("models/intermediate/features/*.sql"))
    models, delay = draw.randrange(len(groups) + OTHER_MODELS), draw.uniform(0, 0.2)
    process = DbtProcess(built.place, "output_killed")
    running = threading.Thread(target=process.run, args=(BUILD_CANDLES,))
    running.start()
    while running.is_alive() and _models_of(built) < models:
        time.sleep(0.01)
    time.sleep(delay)
    was_running = running.is_alive()
    process._child.kill()
    running.join()
    process.close()
    assert was_running, f"a build ended before {models} models: {process.output.read_text()}"
    return f"{delay:.2f} s after {models} models"


def _models_of(built: Built) -> int:
    log = built.log_path / "dbt.log"
    return log.read_text("utf-8").count(" OK created ") if log.exists() else 0
