"""A small home with everything in it: the demo over simulated candles of two markets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb

from ml.data.simulation import simulate
from tests.flows.conftest import ROWS, SPACE, START_MS, SYMBOLS

CONFIG = """
[markets]
symbols = ["BTC/USDT", "ETH/USDT"]
base_timeframe = "1h"
timeframes = ["1h", "4h"]
history_start = 2024-01-01T00:00:00Z
[sweep]
search_spaces = ["space.toml"]
chunk_seconds = 0.4
processes = 2
[promotion]
minimal_days = 10
alpha = 0.2
"""


def build_home(folder: Path) -> tuple[Path, Path]:
    """The home, and its settings file."""
    for symbol, frame in simulate(SYMBOLS, "1h", START_MS, ROWS, seed=11).items():
        target = folder / "candles" / "binance" / symbol.replace("/", "-")
        target.mkdir(parents=True)
        frame.to_parquet(target / "1h.parquet")
    config, home = folder / "candleworks.toml", folder / "home"
    config.write_text(CONFIG)
    (folder / "space.toml").write_text(SPACE)
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
