"""Small tables in which something is planted that can be learnt."""

from __future__ import annotations

import numpy as np

from ml.data.datasets import Dataset, windows
from ml.models.base import Floats, Inputs
from tests.synthetic import make_dataset


def noisy_step(rows: int = 1000) -> tuple[Inputs, Floats]:
    """high follows the sign of the first column, low that of the second, close is noise."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(rows, 2, 3)).astype(np.float32)
    steps = np.sign(inputs[:, 1, :2]).astype(np.float64)
    labels = np.column_stack([steps, np.zeros(rows)]) * 0.01 + random.normal(0, 0.001, (rows, 3))
    return inputs, labels


def moves(dataset: Dataset, lags: int = 2) -> tuple[Inputs, Floats, Floats]:
    """Standardised windows (n, lags, f) of a dataset, the classes (n, 1) and the events (n, 2) of the next candle.

    The class is -1 or 1 where the close moves by more than half a deviation, else 0; the events are a high and a low
    further away than their median.
    """
    known = np.isfinite(dataset.features).all(axis=1) & np.isfinite(dataset.labels).all(axis=1)
    rows, labels = dataset.features[known], dataset.labels[known][lags - 1 :]
    standard = np.clip((rows - rows.mean(axis=0)) / rows.std(axis=0), -8, 8).astype(np.float32)
    close = labels[:, 2]
    classes = np.sign(close) * (np.abs(close) > 0.5 * close.std())
    wide = np.abs(labels[:, :2]) > np.median(np.abs(labels[:, :2]), axis=0)
    return windows(standard, lags), classes[:, None], wide.astype(np.float64)


def followed_moves(rows: int = 1600) -> tuple[Inputs, Floats, Floats]:
    """The same of simulated candles whose close goes on as it went in the candle before."""
    return moves(make_dataset(rows, edge=0.8))
