"""Prediction intervals: a joint interval for the next candle's low and high, by conformal prediction.

The interval has nominal coverage P(low >= band_low and high <= band_high) = level. The nonconformity score of a row is
the distance of the actual candle from the forecast range in units of the current scale; the interval is the forecast
widened by a quantile of the latest scores. Scaling by the EWMA range makes calm and volatile periods comparable, and
the moving window lets the width follow the market.

This is the first version of the evaluation, and what models saved under it are served with. `ml.metrics.conformal` has
the scale and the quantile by hour of the present one.

Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005); locally weighted scores after
Lei et al., Distribution-Free Predictive Inference for Regression (2018).
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ml.data.targets import HIGH, LOW, Floats

BAND_LEVEL = 0.8
#: Levels of the intervals of a forecast; the middle one is the main level.
BAND_LEVELS = (0.5, BAND_LEVEL, 0.95)
#: Window of the quantile in scores, and the fewest scores it needs.
SCORE_WINDOW = 1000
MINIMAL_SCORES = 50


def nonconformity_scores(predicted: Floats, actual: Floats, scale: Floats) -> Floats:
    """Distance of the actual candle from the predicted low..high, in units of `scale` (n,); negative inside."""
    above = actual[:, HIGH] - predicted[:, HIGH]
    below = predicted[:, LOW] - actual[:, LOW]
    scores: Floats = np.maximum(above, below) / scale
    return scores


def score_quantile(scores: Floats, level: float = BAND_LEVEL) -> float:
    """The ceil((n + 1) level)-th smallest of the latest n scores, which covers a new one with probability `level`."""
    latest = np.sort(scores[-SCORE_WINDOW:])
    rank = min(len(latest), math.ceil((len(latest) + 1) * level))
    return float(latest[rank - 1])


def rolling_quantiles(earlier: Floats, scores: Floats, level: float = BAND_LEVEL, horizon: int = 1) -> Floats:
    """For each of `scores` (n,) the quantile of the scores known `horizon` rows before it; `earlier` precede them."""
    history = pd.Series(np.concatenate([earlier[-SCORE_WINDOW:], scores]))
    rolling = history.shift(horizon).rolling(SCORE_WINDOW, min_periods=MINIMAL_SCORES)
    return rolling.quantile(level).to_numpy()[-len(scores) :]


def interval_labels(predicted: Floats, quantile: Floats | float, scale: Floats) -> Floats:
    """(n, 2) labels of the interval's low and high; it always contains the open (0)."""
    width = np.asarray(quantile) * scale
    low = np.minimum(predicted[:, LOW] - width, 0.0)
    high = np.maximum(predicted[:, HIGH] + width, 0.0)
    return np.stack([low, high]).T  # each side is contiguous, as the metrics read it


def interval_metrics(intervals: Floats, actual: Floats, level: float = BAND_LEVEL) -> tuple[float, float, float]:
    """Joint coverage of the intervals (n, 2), and the mean pinball loss and Winkler score in percent of the last close.

    The sides of a joint 80 % interval are scored as the 10 % and 90 % quantiles: the pinball loss is the mean of both
    sides. The Winkler score is the width and, on each side, 2 / (1 - level) times the distance by which the candle
    leaves the interval; smaller is better, and it is least for the narrowest interval that keeps both tails.

    Source: Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation (2007), 6.2, with the low
    against the lower bound and the high against the upper one.
    """
    known = np.isfinite(intervals).all(axis=1)
    if not known.all():
        intervals, actual = intervals[known], actual[known]
    if len(intervals) == 0:
        return math.nan, math.nan, math.nan
    inside = (actual[:, LOW] >= intervals[:, 0]) & (actual[:, HIGH] <= intervals[:, 1])
    low, high = np.exp(actual[:, LOW]), np.exp(actual[:, HIGH])
    # How far each bound is inside the candle; both scores are sums of these, of their positive parts and the range.
    below, above = np.exp(intervals[:, 0]) - low, high - np.exp(intervals[:, 1])
    left = (np.maximum(below, 0.0) + np.maximum(above, 0.0)).mean()
    short, tail = (below + above).mean(), (1 - level) / 2
    winkler = 100 * ((high - low).mean() - short + left / tail)
    return float(inside.mean()), float(50 * (left - tail * short)), float(winkler)
