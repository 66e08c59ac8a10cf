"""Baselines: forecasts that need no model. The worth of a model is its gain over the best of them.

- last_candle: the next candle repeats the last one's high and low.
- mean_range: last close, with the mean rise and fall of the train rows.
- drift: the same, and the close moves by the mean move of the train rows (Hyndman & Athanasopoulos, Forecasting, 5.2).
- ewma_range: last close, with an exponentially weighted mean of the latest rises and falls (span 6).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.data.targets import CLOSE, HIGH, LOW, Floats

BASELINES = ("last_candle", "mean_range", "drift", "ewma_range")
#: Fitted on the train rows; the others use only the candles before a row.
TRAINED = ("mean_range", "drift")
EWMA_SPAN = 6


def ewma_of_known_labels(labels: Floats, span: int = EWMA_SPAN, horizon: int = 1) -> Floats:
    """Exponentially weighted mean of the labels that are known at each row.

    The label of row t describes candle t + horizon, so the labels up to row t - horizon are known at row t.

    Args:
        labels: (n, 3), NaN where unknown.

    Returns:
        (n, 3); the first row, and rows before any label is known, are NaN.

    Source: J.P. Morgan, RiskMetrics Technical Document (1996), with alpha = 2 / (span + 1).
    """
    smooth = pd.DataFrame(labels).ewm(span=span, adjust=False, ignore_na=True).mean()
    return smooth.shift(horizon).to_numpy()


def baseline_labels(name: str, candles: Floats, labels: Floats, train_mean: Floats, horizon: int = 1) -> Floats:
    """A baseline's forecast for every row.

    Args:
        name: one of `BASELINES`.
        candles: (n, 5) open high low close volume.
        labels: (n, 3), of which each row uses only those known before it.
        train_mean: (3,) mean of the labels of the train rows.
        horizon: candles from a row to the candle that its label describes.

    Returns:
        (n, 3) labels; the close is the last close (0), except for drift.
    """
    forecast = np.zeros((len(candles), 3))
    if name == "last_candle":
        close = candles[:, 3]
        forecast[:, HIGH] = np.log(candles[:, 1] / close)
        forecast[:, LOW] = np.log(candles[:, 2] / close)
    elif name == "mean_range":
        forecast[:, HIGH] = train_mean[HIGH]
        forecast[:, LOW] = train_mean[LOW]
    elif name == "drift":
        forecast[:] = train_mean
    elif name == "ewma_range":
        forecast[:] = ewma_of_known_labels(labels, horizon=horizon)
        forecast[:, CLOSE] = 0.0
    else:
        raise ValueError(f"unknown baseline {name!r}; one of {', '.join(BASELINES)}")
    return forecast
