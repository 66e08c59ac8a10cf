"""A small home with everything in it: the demo over simulated candles of two markets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
    return home, config
