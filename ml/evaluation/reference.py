"""The reference procedure: the LSTM of Superalgos' Bitcoin Factory as published, to measure its worth.

Price levels, MinMax scaling over ALL rows (the test rows too), 10 lags, LSTM of 50 units, mean absolute error, Adam,
batches of 72 without shuffling, 750 epochs, 80 % train and 20 % test, no purge. All of this is kept, faults included.
Only the evaluation is added: the same errors in percent, and the baselines on the same test rows.

Source: the published description of the test client's LSTM script, reimplemented from its behaviour.
"""

from __future__ import annotations

import time

import keras
import numpy as np

from ml.data.datasets import Dataset, windows
from ml.data.targets import NEXT_CANDLE, Floats
from ml.metrics.baselines import BASELINES_OF, Baselines
from ml.metrics.prices import relative_errors, rmse_pct, rmse_quote, skill
from ml.records import ReferenceResult

LAGS = 10
UNITS = 50
EPOCHS = 750
BATCH_SIZE = 72
TRAIN_FRACTION = 0.8
SEED = 0
#: Columns of the candles (open high low close volume), labels first: high, low, close, open, volume.
COLUMNS = (1, 2, 3, 0, 4)
LABEL_COUNT = 3


def minmax_all_rows(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Scale columns to 0..1 by the minimum and maximum of all rows; returns scaled, minimum, range."""
    low, high = values.min(axis=0), values.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    return (values - low) / span, low, span


def build_network(lags: int, columns: int) -> keras.Model:
    """The network of the procedure, compiled."""
    network = keras.Sequential(
        [keras.Input((lags, columns)), keras.layers.LSTM(UNITS), keras.layers.Dense(LABEL_COUNT)]
    )
    network.compile(optimizer="adam", loss="mae")
    return network


def evaluate_reference(dataset: Dataset, epochs: int = EPOCHS) -> ReferenceResult:
    """Train and test by the procedure, then compare the test error with the baselines on the same rows.

    Args:
        dataset: one series; its gaps are ignored, as in the procedure.
        epochs: 750 in the procedure.

    Returns:
        All but `dataset_id`; `skill` is against the baseline that was best on the train rows.
    """
    candles = np.asarray(dataset.candles)[:, COLUMNS]
    scaled, low, span = minmax_all_rows(candles)
    # Window i has rows i .. i + 9; its target is row i + 10.
    inputs = windows(scaled.astype(np.float32), LAGS)[:-1]
    targets = scaled[LAGS:, :LABEL_COUNT].astype(np.float32)
    cut = int(len(inputs) * TRAIN_FRACTION)
    keras.utils.set_random_seed(SEED)
    network = build_network(LAGS, len(COLUMNS))
    started = time.perf_counter()
    network.fit(
        np.ascontiguousarray(inputs[:cut]),
        targets[:cut],
        epochs=epochs,
        batch_size=BATCH_SIZE,
        shuffle=False,
        verbose=0,
    )
    seconds = time.perf_counter() - started
    predicted = network.predict(np.ascontiguousarray(inputs[cut:]), batch_size=4096, verbose=0).astype(np.float64)
    prices = predicted * span[:LABEL_COUNT] + low[:LABEL_COUNT]
    return {
        **dataset.series.key,
        "model": "reference LSTM (price levels)",
        "epochs": epochs,
        "fit_seconds": seconds,
        **_against_baselines(dataset, prices, first_row=cut + LAGS - 1, train_rows=cut),
    }


def _against_baselines(dataset: Dataset, prices: Floats, first_row: int, train_rows: int) -> ReferenceResult:
    """Errors of predicted prices (m, 3) for the candles after rows first_row ..., and of the baselines on them."""
    candles, labels = np.asarray(dataset.candles), dataset.labels_of(NEXT_CANDLE)
    baselines = Baselines(candles, labels, dataset.open_time_ms, dataset.timeframe_ms)
    # Rows before a gap have no next candle to compare with.
    answered = np.asarray(np.isfinite(labels).all(axis=1))
    known = answered & baselines.known_by(BASELINES_OF[1])
    rows = np.arange(first_row, first_row + len(prices))
    rows, prices = rows[known[rows]], prices[known[rows]]
    close = candles[rows, 3]
    errors = prices / close[:, None] - np.exp(labels[rows])
    learnt, train = np.flatnonzero(answered[:train_rows]), np.flatnonzero(known[:train_rows])
    early, late = np.array_split(train, 2)

    def train_error(name: str) -> float:
        """Two-fold cross-validation, as `ml.evaluation.evaluate.best_baseline`."""
        forecasts = [baselines.forecast(name, early, late), baselines.forecast(name, late, early)]
        return rmse_pct(relative_errors(np.concatenate(forecasts), labels[train]))

    against = {
        name: rmse_pct(relative_errors(baselines.forecast(name, rows, learnt), labels[rows]))
        for name in BASELINES_OF[1]
    }
    baseline = min(BASELINES_OF[1], key=train_error)
    error = rmse_pct(errors)
    return {
        "n_test": len(rows),
        "rmse_pct": error,
        "rmse_quote": rmse_quote(errors, close),
        "baseline": baseline,
        "baseline_rmse_pct": against[baseline],
        "skill": skill(error, against[baseline]),
        "skill_mean_range": skill(error, against["mean_range"]),
        "skill_last_candle": skill(error, against["last_candle"]),
    }
