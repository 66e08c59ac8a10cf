"""A small home with everything in it: the demo over simulated candles of two markets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb

from tests.flows.conftest import record_candles, write_settings


def build_home(folder: Path) -> tuple[Path, Path]:
    """The home, and its settings file."""
    record_candles(folder / "candles")
    config, home = write_settings(folder), folder / "home"
    words = ["demo", "--candles", str(folder / "candles"), "--hours", "2", "--home", str(home), "--config", str(config)]
    subprocess.run([sys.executable, "-m", "flows", *words], check=True, capture_output=True)
    _leave_a_log(home / "warehouse.duckdb")
    return home, config


def _leave_a_log(warehouse: Path) -> None:
    """End as a process that is killed does, so that the last changes are in ``warehouse.duckdb.wal``."""
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("pragma disable_checkpoint_on_shutdown")
        connection.execute("set checkpoint_threshold = '1TB'")
        connection.execute("create table if not exists raw.last_words as select 1 as word")
