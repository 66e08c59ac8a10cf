"""Simulated markets with a known truth: nothing can be forecast, the range alone, or the close with a known edge.

In the null market the increments of the log price are independent and identically distributed: no volatility
clustering, no seasonality, no drift. The best forecast of high, low and close is their mean, which is a baseline; any
champion on such a market is a false one. The planted edge makes returns autocorrelated:

    return(t + 1) = edge x return(t) + noise,    in the close, and through it in high and low

so a forecaster that knows it explains the share edge^2 of the variance of the close. In the range market the expected
range is a sum of its means over a candle, a day, a week and a month, and all else is luck: the baseline har_range is
right, and any champion over it is a false one. The markets of
`ml.data.simulation` resemble real ones; these are kept as simple as the hypothesis under test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import lfilter

from ml.data.datasets import Dataset
from ml.data.targets import Floats
from ml.metrics.baselines import har_windows
from ml.series import Series
from ml.timeframes import DAY_MS, milliseconds

SERIES = Series(exchange="canary", symbol="NULL/USD", timeframe="4h")
CANDLE_MS = milliseconds(SERIES.timeframe)
SUB_STEPS = 12
#: Standard deviation of a candle's log return, typical of four hours of a large coin.
VOLATILITY = 0.012
FIRST_PRICE = 100.0
#: Of the range market: the mean range, the share of it that follows earlier ranges, and the shape of the luck (gamma).
MEAN_RANGE, PERSISTENCE, RANGE_SHAPE = 0.02, 0.9, 4.0
START_MS = 1_600_000_000_000 // DAY_MS * DAY_MS
#: Feature column -> group, as in the feature catalogue.
CATALOGUE = {
    **{f"return_{window}": "returns" for window in (1, 3, 6, 12)},
    **{f"range_{window}": "range" for window in (1, 6, 24)},
    **{f"momentum_{name}": "momentum" for name in ("rsi_14", "place_24", "distance_24")},
    **{f"volume_{name}": "volume" for name in ("ratio_6", "ratio_24")},
    **{f"calendar_{name}": "calendar" for name in ("hour_sin", "hour_cos")},
}


@dataclass(frozen=True)
class Trial:
    """One market to select on.

    Attributes:
        rows: candles.
        seed: the same seed gives the same market.
        edge: in (-1, 1); lag-1 autocorrelation of returns. 0: the null market.
        range_only: the range market, which has no edge.
    """

    rows: int
    seed: int
    edge: float = 0.0
    range_only: bool = False


def canary_market(trial: Trial) -> Dataset:
    """The market of a trial as a dataset, with features of the usual groups."""
    random = np.random.default_rng(trial.seed)
    moves = _range_moves(random, trial.rows) if trial.range_only else _edge_moves(random, trial.rows, trial.edge)
    return _dataset(moves, np.exp(random.normal(0.0, 0.5, trial.rows)))


def _edge_moves(random: np.random.Generator, rows: int, edge: float) -> Floats:
    """High, low and close (n, 3) of each candle over the close before it, in log units: it opens there."""
    steps = random.normal(0.0, VOLATILITY / np.sqrt(SUB_STEPS), (rows, SUB_STEPS))
    closes = lfilter([1.0], [1.0, -edge], steps.sum(axis=1))  # r(t) = edge x r(t - 1) + noise(t)
    steps[1:] += edge * closes[:-1, None] / SUB_STEPS
    paths = np.cumsum(steps, axis=1)
    return np.column_stack([np.maximum(paths.max(axis=1), 0), np.minimum(paths.min(axis=1), 0), paths[:, -1]])


def _range_moves(random: np.random.Generator, rows: int) -> Floats:
    """The same of the range market: range = expected range x luck with the mean 1, divided into rise and fall by luck.

    Source: Corsi, A Simple Approximate Long-Memory Model of Realized Volatility (2009).
    """
    windows = har_windows(CANDLE_MS)
    before = max(windows)
    luck = random.gamma(RANGE_SHAPE, 1 / RANGE_SHAPE, before + rows)
    total = np.zeros(before + rows + 1)  # cumulative ranges
    for t in range(before + rows):
        means = [(total[t] - total[t - window]) / window if t >= before else MEAN_RANGE for window in windows]
        expected = (1 - PERSISTENCE) * MEAN_RANGE + PERSISTENCE * float(np.mean(means))
        total[t + 1] = total[t] + expected * luck[t]
    ranges, share = np.diff(total)[before:], random.beta(2, 2, rows)
    high, low = share * ranges, (share - 1) * ranges
    return np.column_stack([high, low, low + ranges * random.random(rows)])


def _dataset(moves: Floats, volume: Floats) -> Dataset:
    rows = len(moves)
    opens = FIRST_PRICE * np.exp(np.concatenate([[0.0], np.cumsum(moves[:-1, 2])]))
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
