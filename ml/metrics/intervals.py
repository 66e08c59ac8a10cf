"""The error band: a joint interval for the next candle's low and high, by conformal prediction that adapts.

The band promises P(low >= band_low and high <= band_high) = level. How far a row lies outside the forecast, in units
of the current range, is its conformity score; the band is the forecast widened by the quantile of the latest scores.
Scaling by the EWMA range makes calm and wild times comparable, and the moving window lets the width follow the market.

Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005); locally weighted scores after
Lei et al., Distribution-Free Predictive Inference for Regression (2018).
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ml.data.targets import HIGH, LOW, Floats
from ml.metrics.prices import pinball_pct

BAND_LEVEL = 0.8
#: Levels that a forecast states its band at; the middle one is the promise.
BAND_LEVELS = (0.5, BAND_LEVEL, 0.95)
#: Scores that the quantile looks back over, and how many it needs at least.
SCORE_WINDOW = 1000
MINIMAL_SCORES = 50


def nonconformity_scores(predicted: Floats, actual: Floats, scale: Floats) -> Floats:
    """How far the truth left the predicted low..high, in units of `scale` (n,); negative inside."""
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
    """For each of `scores` (n,) the quantile of the scores known `horizon` rows before; `earlier` are older."""
    history = pd.Series(np.concatenate([earlier[-SCORE_WINDOW:], scores]))
    rolling = history.shift(horizon).rolling(SCORE_WINDOW, min_periods=MINIMAL_SCORES)
    return rolling.quantile(level).to_numpy()[-len(scores) :]


def interval_labels(predicted: Floats, quantile: Floats | float, scale: Floats) -> Floats:
    """(n, 2) labels of the band's low and high; never narrower than the open (0)."""
    width = np.asarray(quantile) * scale
    low = np.minimum(predicted[:, LOW] - width, 0.0)
    high = np.maximum(predicted[:, HIGH] + width, 0.0)
    return np.stack([low, high], axis=1)


def interval_metrics(bands: Floats, actual: Floats, level: float = BAND_LEVEL) -> tuple[float, float]:
    """Joint coverage of the bands (n, 2), and the mean pinball loss in percent of both sides.

    Each side of a joint band at 80 % is evaluated as the 10 % and 90 % quantile.
    """
    known = np.isfinite(bands).all(axis=1)
    bands, actual = bands[known], actual[known]
    if len(bands) == 0:
        return math.nan, math.nan
    inside = (actual[:, LOW] >= bands[:, 0]) & (actual[:, HIGH] <= bands[:, 1])
    tail = (1 - level) / 2
    low = pinball_pct(np.exp(bands[:, 0]), np.exp(actual[:, LOW]), tail)
    high = pinball_pct(np.exp(bands[:, 1]), np.exp(actual[:, HIGH]), 1 - tail)
    return float(inside.mean()), (low + high) / 2
