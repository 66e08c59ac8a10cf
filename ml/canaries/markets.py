"""Simulated markets with a known truth: one in which nothing can be forecast, and one with an edge of known size.

In the null market the increments of the log price are independent and identically distributed: no volatility
clustering, no seasonality, no drift. The best forecast of high, low and close is their mean, which is a baseline; any
champion on such a market is a false one. The planted edge makes returns autocorrelated:

    return(t + 1) = edge x return(t) + noise,    in the close, and through it in high and low

so a forecaster that knows it explains the share edge^2 of the variance of the close. The markets of
`ml.data.simulation` resemble real ones; these are kept as simple as the hypothesis under test.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import lfilter

from ml.data.datasets import Dataset
from ml.data.targets import Floats
from ml.series import Series
from ml.timeframes import DAY_MS, milliseconds

SERIES = Series(exchange="canary", symbol="NULL/USD", timeframe="4h")
CANDLE_MS = milliseconds(SERIES.timeframe)
SUB_STEPS = 12
#: Standard deviation of a candle's log return, typical of four hours of a large coin.
VOLATILITY = 0.012
FIRST_PRICE = 100.0
START_MS = 1_600_000_000_000 // DAY_MS * DAY_MS
#: Feature column -> group, as in the feature catalogue.
CATALOGUE = {
    **{f"return_{window}": "returns" for window in (1, 3, 6, 12)},
    **{f"range_{window}": "range" for window in (1, 6, 24)},
    **{f"momentum_{name}": "momentum" for name in ("rsi_14", "place_24", "distance_24")},
    **{f"volume_{name}": "volume" for name in ("ratio_6", "ratio_24")},
    **{f"calendar_{name}": "calendar" for name in ("hour_sin", "hour_cos")},
}


def canary_market(rows: int, seed: int, edge: float = 0.0) -> Dataset:
    """A market as a dataset, with features of the usual groups.

    Args:
        rows: candles.
        seed: the same seed gives the same dataset.
        edge: in (-1, 1); lag-1 autocorrelation of returns. 0: the null market.
    """
    random = np.random.default_rng(seed)
    steps = random.normal(0.0, VOLATILITY / np.sqrt(SUB_STEPS), (rows, SUB_STEPS))
    closes = lfilter([1.0], [1.0, -edge], steps.sum(axis=1))  # r(t) = edge x r(t - 1) + noise(t)
    steps[1:] += edge * closes[:-1, None] / SUB_STEPS
    paths = np.cumsum(steps, axis=1)
    # Labels of a candle over the close before it: it opens there.
    moves = np.column_stack([np.maximum(paths.max(axis=1), 0), np.minimum(paths.min(axis=1), 0), paths[:, -1]])
    opens = FIRST_PRICE * np.exp(np.concatenate([[0.0], np.cumsum(moves[:-1, 2])]))
    volume = np.exp(random.normal(0.0, 0.5, rows))
    candles = np.column_stack([opens, opens[:, None] * np.exp(moves), volume])
    labels = np.vstack([moves[1:], np.full((1, 3), np.nan)])
    open_time_ms = START_MS + CANDLE_MS * np.arange(rows, dtype=np.int64)
    dataset = Dataset(
        series=SERIES,
        columns=tuple(CATALOGUE),
        groups=tuple(CATALOGUE.values()),
        features=features_of(candles, open_time_ms).astype(np.float32),
        labels=labels,
        candles=candles,
        open_time_ms=open_time_ms,
        run_length=np.arange(1, rows + 1, dtype=np.int32),
        timeframe_ms=CANDLE_MS,
    )
    return replace(dataset, id=dataset.identity())


def features_of(candles: Floats, open_time_ms: npt.NDArray[np.int64]) -> Floats:
    """Features (n, f) in the order of `CATALOGUE`, from the row's own candle and earlier ones; NaN where too few.

    Args:
        candles: (n, 5) open high low close volume.
        open_time_ms: (n,) milliseconds since 1970-01-01 UTC.
    """
    close, volume = pd.Series(np.log(candles[:, 3])), pd.Series(np.log(candles[:, 4]))
    high, low = pd.Series(np.log(candles[:, 1])), pd.Series(np.log(candles[:, 2]))
    change = close.diff()
    rise, fall = change.clip(lower=0).rolling(14).mean(), (-change.clip(upper=0)).rolling(14).mean()
    bottom, top = low.rolling(24).min(), high.rolling(24).max()
    turn = 2 * np.pi * (open_time_ms % DAY_MS) / DAY_MS
    columns: dict[str, pd.Series[float] | Floats] = {
        **{f"return_{window}": close.diff(window) for window in (1, 3, 6, 12)},
        **{f"range_{window}": (high - low).rolling(window).mean() for window in (1, 6, 24)},
        "momentum_rsi_14": rise / (rise + fall),
        "momentum_place_24": (close - bottom) / (top - bottom),
        "momentum_distance_24": close - close.rolling(24).mean(),
        **{f"volume_ratio_{window}": volume - volume.rolling(window).mean() for window in (6, 24)},
        "calendar_hour_sin": np.sin(turn),
        "calendar_hour_cos": np.cos(turn),
    }
    return np.column_stack([columns[name] for name in CATALOGUE])
