"""Predictions of a saved model for all rows of a table of inputs, such as years of candles at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ml.data.datasets import windows
from ml.data.targets import LABELS, TARGETS, Floats, to_prices
from ml.evaluation.forecaster import Ensemble
from ml.search.cases import TestCase

#: Windows that are copied out of the table at once, at most 200 MB of 200 candles.
ROWS_AT_ONCE = 8_192
Rows = npt.NDArray[np.intp]


def whole_rows(open_time_ms: npt.NDArray[np.int64], inputs: npt.NDArray[np.float32], lags: int, step_ms: int) -> Rows:
    """Rows at which a window of `lags` rows ends that has no gap and no unknown value.

    Args:
        open_time_ms: (n,) ascending.
        inputs: (n, f).
        lags: rows of a window.
        step_ms: length of a candle.
    """
    known = np.asarray(np.isfinite(inputs).all(axis=1))
    breaks = np.asarray(~known)
    breaks[1:] |= np.diff(open_time_ms) != step_ms
    places = np.arange(len(inputs))
    # A row that is not known begins no run: the next one does.
    starts = np.maximum.accumulate(np.where(breaks, places + ~known, 0))
    return np.flatnonzero(places - starts + 1 >= lags)


def predicted(ensemble: Ensemble, inputs: npt.NDArray[np.float32], rows: Rows, lags: int) -> Floats:
    """Predictions (len(rows), k) for the windows of the table (n, f) that end at the rows.

    Raises:
        PredictionError: the model's output is not usable.
    """
    every = windows(inputs, lags)
    parts = [
        ensemble.predict(np.ascontiguousarray(every[rows[start : start + ROWS_AT_ONCE] - lags + 1]))
        for start in range(0, len(rows), ROWS_AT_ONCE)
    ]
    return np.concatenate(parts)


def columns_of(case: TestCase) -> Sequence[str]:
    """Names of the predicted columns: prices of the next candle, else labels, or the probability of each class."""
    target = TARGETS[case.target]
    if target.kind == "candle":
        return LABELS
    if target.kind == "classes":
        return [f"probability_{name}" for name in target.classes.values()]
    return [name.removeprefix("label_") for name in target.labels]


def in_quote(case: TestCase, labels: Floats, closes: Floats) -> Floats:
    """Predictions (n, k): of candles in quote units, given the last closes (n,); others as they are."""
    return to_prices(labels, closes) if TARGETS[case.target].kind == "candle" else labels
