"""Hand-made candles for the tests of the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from expectations.report import MarketContext
from expectations.rules import RULES
from ml.timeframes import HOUR_MS

HOURLY = MarketContext.of("binance", "BTC/USDT", "1h")
START_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS  # 2023-11-14 22:00


def candles(rows: int, start_ms: int = START_MS, step_ms: int = HOUR_MS, seed: int = 0) -> pd.DataFrame:
    """A random walk around 100 whose candles are coherent and whose opens are the closes before."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, rows)))
    opened = np.concatenate([[100.0], close[:-1]])
    return pd.DataFrame(
        {
            "open_time": pd.to_datetime(start_ms + step_ms * np.arange(rows), unit="ms", utc=True),
            "open": opened,
            "high": np.maximum(opened, close) * 1.002,
            "low": np.minimum(opened, close) * 0.998,
            "close": close,
            "volume": random.uniform(1, 9, rows),
        }
    )


def end_ms(frame: pd.DataFrame, timeframe_ms: int = HOUR_MS) -> int:
    """The moment the newest candle closes."""
    return int(frame["open_time"].max().timestamp() * 1000) + timeframe_ms


def real(folder: Path, name: str) -> pd.DataFrame:
    """A recorded file, `exchange/BASE-QUOTE/timeframe`."""
    return pd.read_parquet(folder / f"{name}.parquet")


def market_of(name: str) -> MarketContext:
    exchange, pair, timeframe = name.split("/")
    return MarketContext.of(exchange, pair.replace("-", "/"), timeframe)


def plain_broken_rows(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """What `expectations.suite.broken_rows` answers, in plain pandas: 50 times as fast, for tests with many batches.

    `test_properties.py` holds the two against each other.
    """
    columns = {str(column): frame[column].to_numpy() for column in frame}
    found = {}
    for rule in RULES:
        bad = np.zeros(len(frame), dtype=bool)
        for kind, given in rule.expectations:
            bad |= _breaks(kind, given, columns)
        if bad.any():
            found[rule.name] = np.flatnonzero(bad)
    return found


def _breaks(kind: str, given: dict[str, Any], columns: dict[str, np.ndarray]) -> np.ndarray:
    """Rows that break one expectation. A missing value breaks none but that there is a value."""
    if kind == "ExpectColumnPairValuesAToBeGreaterThanB":
        below: np.ndarray = columns[given["column_A"]] < columns[given["column_B"]]
        return below
    values = columns[given["column"]]
    missing = pd.isna(values)
    if kind == "ExpectColumnValuesToNotBeNull":
        return missing
    if kind == "ExpectColumnValuesToBeInSet":
        (allowed,) = given["value_set"]
        return ~missing & (values != allowed)
    assert kind == "ExpectColumnValuesToBeBetween"
    low = given.get("min_value", -np.inf)
    too_low = values <= low if given.get("strict_min") else values < low
    return ~missing & (too_low | (values > given.get("max_value", np.inf)))
