"""Forecasts of the next candle, by a champion, or by the baseline if there is no usable champion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ml.data.targets import CLOSE, HIGH, LOW, Floats, coherent, to_prices
from ml.evaluation.forecaster import Ensemble
from ml.metrics.baselines import BASELINES, baseline_labels, ewma_of_known_labels
from ml.metrics.intervals import (
    BAND_LEVEL,
    BAND_LEVELS,
    MINIMAL_SCORES,
    interval_labels,
    nonconformity_scores,
    score_quantile,
)
from ml.models.base import Inputs
from ml.records import CandleForecast


@dataclass(frozen=True, eq=False)
class RecentCandles:
    """The latest closed candles of a series, oldest first, with the labels known so far.

    Attributes:
        candles: (n, 5) open high low close volume.
        labels: (n, 3); NaN in the last row, whose next candle has not closed.
        missing: number of candles that have closed since and are missing.
    """

    candles: Floats
    labels: Floats
    missing: int = 0


def current_scale(recent: RecentCandles) -> float:
    """EWMA range at the last row, in log units; scaled by the square root of time over missing candles."""
    smooth = ewma_of_known_labels(recent.labels)[-1]
    return float(smooth[HIGH] - smooth[LOW]) * math.sqrt(1 + recent.missing)


def baseline_forecast(recent: RecentCandles, baseline: str) -> Floats:
    """Coherent labels (n, 3) of a baseline for all recent rows; the last one is the forecast."""
    mean = np.nanmean(recent.labels, axis=0)
    return coherent(baseline_labels(baseline, recent.candles, recent.labels, mean))


def baseline_scores(recent: RecentCandles, baseline: str) -> Floats:
    """Nonconformity scores of the baseline on the recent rows with known labels."""
    forecast = baseline_forecast(recent, baseline)
    smooth = ewma_of_known_labels(recent.labels)
    scale = smooth[:, HIGH] - smooth[:, LOW]
    known = np.isfinite(recent.labels).all(axis=1) & np.isfinite(forecast).all(axis=1) & (np.nan_to_num(scale) > 0)
    return nonconformity_scores(forecast[known], recent.labels[known], scale[known])


def forecast_candle(
    recent: RecentCandles,
    baseline: str,
    ensemble: Ensemble | None = None,
    window: Inputs | None = None,
    band_scores: Floats | None = None,
) -> CandleForecast:
    """Forecast the candle after the last recent one, or after the missing ones that follow it.

    Args:
        recent: closed candles; at least `MINIMAL_SCORES` with known labels.
        baseline: serves if `ensemble` is None; stored with every forecast.
        ensemble: the champion.
        window: its raw input (1, lags, f) for the last row.
        band_scores: nonconformity scores of the champion on rows it did not learn from, oldest first.

    Raises:
        ValueError: too few candles have known labels.
        PredictionError: the champion's output is not usable.
    """
    known = int(np.isfinite(recent.labels).all(axis=1).sum())
    scores = baseline_scores(recent, baseline) if known else np.empty(0)
    if len(scores) < MINIMAL_SCORES:
        raise ValueError(f"{len(scores)} closed candles with a known next one are too few, {MINIMAL_SCORES} are needed")
    labels = baseline_forecast(recent, baseline)[-1:]
    if ensemble is not None and window is not None:
        labels = ensemble.predict(window)
        scores = band_scores if band_scores is not None and len(band_scores) >= MINIMAL_SCORES else scores
    scale = current_scale(recent)
    close = recent.candles[-1:, 3]
    intervals = {
        str(level): _prices(interval_labels(labels, score_quantile(scores, level), np.array([scale])), close)
        for level in BAND_LEVELS
    }
    rivals = {name: _prices(baseline_forecast(recent, name)[-1:], close) for name in BASELINES}
    prices, by_baseline = _prices(labels, close), rivals[baseline]
    low, high = intervals[str(BAND_LEVEL)]
    return CandleForecast(
        open=float(close[0]),
        high=prices[HIGH],
        low=prices[LOW],
        close=prices[CLOSE],
        band_low=low,
        band_high=high,
        band_level=BAND_LEVEL,
        baseline_high=by_baseline[HIGH],
        baseline_low=by_baseline[LOW],
        baseline_close=by_baseline[CLOSE],
        scale=scale,
        bands=intervals,
        rivals=rivals,
    )


def _prices(labels: Floats, close: Floats) -> list[float]:
    """Labels (1, k) as prices in quote units, given the last close (1,)."""
    return [float(price) for price in to_prices(labels, close)[0]]
