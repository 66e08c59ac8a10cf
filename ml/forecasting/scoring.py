"""Scores: the errors of a sealed forecast after its candle has closed, and those of the baseline for comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ml.data.targets import CLOSE, HIGH, LOW, Floats
from ml.metrics.prices import pinball_pct, relative_errors, rmse_pct, skill
from ml.records import ForecastRecord, ScoreRecord

#: Fewer scored forecasts than this: their error, skill and coverage are luck, and are not shown.
ENOUGH_LIVE = 20


def _labels(high: float, low: float, close: float, last_close: float) -> Floats:
    return np.log(np.array([[high, low, close]]) / last_close)


def score_forecast(forecast: ForecastRecord, actual: Mapping[str, float]) -> ScoreRecord:
    """Errors of one forecast in percent of the close it was made from.

    Args:
        forecast: body of a sealed forecast: open (the last close), high, low, close, band_low, band_high, band_level,
            baseline_high, baseline_low, baseline_close, scale, model, case_key (None if a baseline serves), rivals
            (name -> [high, low, close] of every baseline).
        actual: open, high, low, close of the closed candle.

    Returns:
        The figures of a score record. `direction_hit` is None if forecast or candle did not move, the nonconformity
        score is the distance of the candle from the forecast range in units of the scale (negative inside; None
        without a scale), `rival_errors` has the error of every baseline and, if one served, of the model, by name.
    """
    last_close = forecast["open"]
    predicted = _labels(forecast["high"], forecast["low"], forecast["close"], last_close)
    truth = _labels(actual["high"], actual["low"], actual["close"], last_close)
    by_baseline = _labels(forecast["baseline_high"], forecast["baseline_low"], forecast["baseline_close"], last_close)
    errors = relative_errors(predicted, truth)
    error, baseline_error = rmse_pct(errors), rmse_pct(relative_errors(by_baseline, truth))
    side = math.copysign(1, predicted[0, CLOSE]) * math.copysign(1, truth[0, CLOSE])
    moved = predicted[0, CLOSE] != 0 and truth[0, CLOSE] != 0
    tail = (1 - forecast["band_level"]) / 2
    band_low, band_high = np.array([forecast["band_low"], forecast["band_high"]]) / last_close
    low, high = np.array([actual["low"], actual["high"]]) / last_close
    pinball = (
        pinball_pct(np.array([band_low]), np.array([low]), tail)
        + pinball_pct(np.array([band_high]), np.array([high]), 1 - tail)
    ) / 2
    outside = max(truth[0, HIGH] - predicted[0, HIGH], predicted[0, LOW] - truth[0, LOW])
    return {
        "actual_open": float(actual["open"]),
        "actual_high": float(actual["high"]),
        "actual_low": float(actual["low"]),
        "actual_close": float(actual["close"]),
        "error_pct": error,
        "baseline_error_pct": baseline_error,
        "skill": skill(error, baseline_error),
        "high_error_pct": float(100 * errors[0, HIGH]),
        "low_error_pct": float(100 * errors[0, LOW]),
        "close_error_pct": float(100 * errors[0, CLOSE]),
        "pinball_pct": pinball,
        "covered": bool(actual["low"] >= forecast["band_low"] and actual["high"] <= forecast["band_high"]),
        "direction_hit": bool(side > 0) if moved else None,
        "conformity": float(outside / forecast["scale"]) if forecast["scale"] > 0 else None,
        "rival_errors": _rival_errors(forecast, truth, error),
    }


def _rival_errors(forecast: ForecastRecord, truth: Floats, error: float) -> dict[str, float]:
    errors = {
        name: rmse_pct(relative_errors(np.log(np.array([prices]) / forecast["open"]), truth))
        for name, prices in forecast["rivals"].items()
    }
    # A family may have the name of a baseline, which then takes precedence.
    return ({forecast["model"]: error} if forecast["case_key"] else {}) | errors
