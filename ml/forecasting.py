"""Forecasts of the next candle: from a champion, or from the baseline where no champion can or may serve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.bands import BAND_LEVEL, MINIMAL_SCORES, band_labels, conformity_scores, score_quantile
from ml.baselines import baseline_labels, ewma_of_known_labels
from ml.forecaster import Committee
from ml.models.base import Inputs
from ml.targets import CLOSE, HIGH, LOW, Floats, coherent, to_prices


@dataclass(frozen=True, eq=False)
class RecentCandles:
    """The latest closed candles of a series, oldest first, with the labels that are known by now.

    Attributes:
        candles: (n, 5) open high low close volume.
        labels: (n, 3); the last row's is NaN, its candle has not come yet.
    """

    candles: Floats
    labels: Floats


@dataclass(frozen=True)
class CandleForecast:
    """The next candle in quote units. The band holds low and high together with probability `band_level`.

    `scale` is the EWMA range in log units, `baseline_*` what the baseline says.
    """

    open: float
    high: float
    low: float
    close: float
    band_low: float
    band_high: float
    band_level: float
    baseline_high: float
    baseline_low: float
    baseline_close: float
    scale: float


def current_scale(recent: RecentCandles) -> float:
    """EWMA range at the last row, in log units."""
    smooth = ewma_of_known_labels(recent.labels)[-1]
    return float(smooth[HIGH] - smooth[LOW])


def baseline_forecast(recent: RecentCandles, baseline: str) -> Floats:
    """Coherent labels (n, 3) of a baseline for all recent rows; the last one is the forecast."""
    mean = np.nanmean(recent.labels, axis=0)
    return coherent(baseline_labels(baseline, recent.candles, recent.labels, mean))


def baseline_scores(recent: RecentCandles, baseline: str) -> Floats:
    """Conformity scores of the baseline on the recent rows whose truth is known."""
    forecast = baseline_forecast(recent, baseline)
    smooth = ewma_of_known_labels(recent.labels)
    scale = smooth[:, HIGH] - smooth[:, LOW]
    known = np.isfinite(recent.labels).all(axis=1) & np.isfinite(forecast).all(axis=1) & (np.nan_to_num(scale) > 0)
    return conformity_scores(forecast[known], recent.labels[known], scale[known])


def forecast_candle(
    recent: RecentCandles,
    baseline: str,
    committee: Committee | None = None,
    window: Inputs | None = None,
    band_scores: Floats | None = None,
) -> CandleForecast:
    """Forecast the candle after the last recent one.

    Args:
        recent: closed candles; at least `MINIMAL_SCORES` with known labels.
        baseline: serves when `committee` is None, and is stored beside every forecast.
        committee: the champion.
        window: its raw input (1, lags, f) for the last row.
        band_scores: conformity scores of the champion on rows it did not learn from, oldest first.

    Raises:
        ValueError: too few candles are known to say anything.
        PredictionError: the champion's output is not usable.
    """
    known = int(np.isfinite(recent.labels).all(axis=1).sum())
    scores = baseline_scores(recent, baseline) if known else np.empty(0)
    if len(scores) < MINIMAL_SCORES:
        raise ValueError(f"{len(scores)} closed candles with a known next one are too few, {MINIMAL_SCORES} are needed")
    by_baseline = baseline_forecast(recent, baseline)[-1:]
    labels = by_baseline
    if committee is not None and window is not None:
        labels = committee.predict(window)
        scores = band_scores if band_scores is not None and len(band_scores) >= MINIMAL_SCORES else scores
    scale = current_scale(recent)
    band = band_labels(labels, score_quantile(scores), np.array([scale]))
    close = recent.candles[-1:, 3]
    prices, baseline_prices = to_prices(labels, close)[0], to_prices(by_baseline, close)[0]
    low, high = to_prices(band, close)[0]
    return CandleForecast(
        open=float(close[0]),
        high=float(prices[HIGH]),
        low=float(prices[LOW]),
        close=float(prices[CLOSE]),
        band_low=float(low),
        band_high=float(high),
        band_level=BAND_LEVEL,
        baseline_high=float(baseline_prices[HIGH]),
        baseline_low=float(baseline_prices[LOW]),
        baseline_close=float(baseline_prices[CLOSE]),
        scale=scale,
    )
