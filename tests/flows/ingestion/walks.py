"""Candles for the tests of loads."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.timeframes import milliseconds, utc_ms


def walk(start: str, n: int, timeframe: str = "1h", seed: int = 1) -> pd.DataFrame:
    """A seeded random walk of `n` candles without gaps."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, n)))
    opens = np.concatenate(([100.0], close[:-1]))
    return pd.DataFrame(
        {
            "open_time": pd.to_datetime(utc_ms(start) + np.arange(n) * milliseconds(timeframe), unit="ms", utc=True),
            "open": opens,
            "high": np.maximum(opens, close) * 1.001,
            "low": np.minimum(opens, close) * 0.999,
            "close": close,
            "volume": rng.lognormal(3, 0.5, n),
        }
    )
