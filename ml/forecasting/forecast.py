"""Forecasts of the next candle, by a champion, or by the baseline if there is no usable champion."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ml.data.targets import CLOSE, HIGH, LOW, Floats, coherent, to_prices
from ml.evaluation.forecaster import Ensemble
from ml.forecasting.history import History
from ml.forecasting.young_markets import ALL_MARKETS, YoungMarkets
from ml.metrics.baselines import BASELINES, REGRESSIONS
from ml.metrics.conformal import KEPT_SCORES, BandScores, expected_range
from ml.metrics.intervals import BAND_LEVEL, BAND_LEVELS, MINIMAL_SCORES, interval_labels, nonconformity_scores
from ml.models.base import Inputs
from ml.records import CandleForecast

#: Fewest rows with known labels for which a regression serves; with fewer `YOUNG_BASELINE` does.
MINIMAL_HISTORY = 500
YOUNG_BASELINE = "ewma_range"
#: Up to this many candles a market that no case was evaluated on yet is forecast from the other markets: on ADA and SOL
#: that was better than every baseline of their own for longer than this.
YOUNG = 2000


def served_baseline(history: History, baseline: str) -> str:
    """The baseline that serves: the given one, unless the history is too short to fit a regression."""
    return baseline if len(history.learnt) >= MINIMAL_HISTORY or baseline not in REGRESSIONS else YOUNG_BASELINE


def is_young(history: History, best: str | None) -> bool:
    """Whether a market is forecast from the others; `best` is its best baseline, None while no case was evaluated."""
    return best is None and len(history.candles) < YOUNG


def baseline_forecast(history: History, baseline: str, rows: npt.NDArray[np.int64]) -> Floats:
    """Coherent labels (m, 3) of a baseline for rows of the history."""
    return coherent(history.forecast(baseline, rows, history.learnt))


def baseline_scores(history: History, baseline: str) -> BandScores:
    """Nonconformity scores of the baseline on the latest rows with known labels."""
    rows = history.learnt[history.known_by([baseline])[history.learnt]][-KEPT_SCORES:]
    forecast = baseline_forecast(history, baseline, rows)
    known = np.isfinite(forecast).all(axis=1)
    rows, forecast = rows[known], forecast[known]
    scores = nonconformity_scores(forecast, history.labels[rows], expected_range(forecast, history.scale[rows]))
    return BandScores(scores, history.open_time_ms[rows] + history.timeframe_ms)


def forecast_candle(
    history: History,
    baseline: str,
    ensemble: Ensemble | None = None,
    window: Inputs | None = None,
    band_scores: BandScores | None = None,
    young: YoungMarkets | None = None,
) -> CandleForecast:
    """Forecast the candle after the last closed one, or after the missing ones that follow it.

    Args:
        history: closed candles; at least `MINIMAL_SCORES` with known labels, or 2 of a young market.
        baseline: serves if `ensemble` is None; stored with every forecast.
        ensemble: the champion.
        window: its raw input (1, lags, f) for the last row.
        band_scores: nonconformity scores of the champion on rows it did not learn from, oldest first.
        young: of a young market, the other ones; they take the place of `baseline` where they have a forecast.

    Raises:
        ValueError: too few candles have known labels.
        PredictionError: the champion's output is not usable.
    """
    if not len(history.learnt):
        raise _too_young(0)
    last = np.array([len(history.candles) - 1])
    by_name = {name: baseline_forecast(history, name, last) for name in BASELINES}
    by_others = None if young is None else young.forecast(history)
    if young is not None and by_others is not None:
        baseline, by_name[ALL_MARKETS], band_scores = ALL_MARKETS, by_others, young.scores
    by_champion = None if ensemble is None or window is None else ensemble.predict(window)
    labels = by_name[baseline] if by_champion is None else by_champion
    scores = band_scores
    if scores is None or len(scores) < MINIMAL_SCORES:
        scores = baseline_scores(history, baseline)
    if len(scores) < MINIMAL_SCORES:
        raise _too_young(len(scores))
    close = history.candles[-1:, 3]
    # Over missing candles the range grows with the square root of time.
    scale = scores.next_scale(labels, history.scale[-1:]) * math.sqrt(1 + history.missing)
    opens_ms = int(history.open_time_ms[-1]) + (1 + history.missing) * history.timeframe_ms
    quantiles = {level: scores.next_quantile(opens_ms, history.timeframe_ms, level) for level in BAND_LEVELS}
    intervals = {
        str(level): _prices(interval_labels(labels, quantile, scale), close) for level, quantile in quantiles.items()
    }
    rivals = {name: _prices(theirs, close) for name, theirs in by_name.items() if np.isfinite(theirs).all()}
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
        scale=float(scale[0]),
        baseline=baseline,
        bands=intervals,
        rivals=rivals,
    )


def _too_young(known: int) -> ValueError:
    return ValueError(f"{known} closed candles with a known next one are too few, {MINIMAL_SCORES} are needed")


def _prices(labels: Floats, close: Floats) -> list[float]:
    """Labels (1, k) as prices in quote units, given the last close (1,)."""
    return [float(price) for price in to_prices(labels, close)[0]]
