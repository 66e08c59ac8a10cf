"""Datasets of recorded real candles, made in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ml.data.datasets import Dataset
from ml.series import Series


def recorded_dataset(path: Path, symbol: str) -> Dataset:
    """Hourly candles of a file with the ranges of the last candles as features; neither dbt nor TA-Lib."""
    frame = pd.read_parquet(path)
    time_ms = frame["open_time"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    follows = np.diff(time_ms, prepend=time_ms[0] - 3_600_000) == 3_600_000
    run_length = pd.Series(follows).groupby((~follows).cumsum()).cumcount().to_numpy() + 1
    before = frame["close"].shift(1)
    moves = [np.log(frame[name] / before) for name in ("high", "low", "close")]
    labels = np.stack([np.where(np.append(follows[1:], False), move.shift(-1), np.nan) for move in moves], axis=1)
    hour = frame["open_time"].dt.hour * 2 * np.pi / 24
    features = {f"{i}_{n}": move.rolling(n).mean() for i, move in enumerate(moves[:2]) for n in (1, 6, 24, 72, 168)}
    features |= {"sin": np.sin(hour), "cos": np.cos(hour)}
    return Dataset(
        series=Series(exchange="binance", symbol=symbol, timeframe="1h"),
        columns=tuple(features),
        groups=("test",) * len(features),
        features=np.stack([column.to_numpy(np.float32) for column in features.values()], axis=1),
        labels=labels,
        candles=frame[["open", "high", "low", "close", "volume"]].to_numpy(),
        open_time_ms=time_ms,
        run_length=run_length.astype(np.int32),
        timeframe_ms=3_600_000,
    )
