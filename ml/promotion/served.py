"""The holdout of a series as it would have been served: by a case that is refitted on the way, or by the baseline.

This is for reports: nothing may be chosen by it. A promotion opens the holdout once (`ml.promotion.holdout`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from ml.data.datasets import Dataset
from ml.data.targets import CLOSE, Floats, coherent
from ml.evaluation.evaluate import evaluate_prepared
from ml.evaluation.preparation import PreparedCase, prepare
from ml.evaluation.walk_forward import Walk
from ml.metrics.conformal import hour_or_weekday
from ml.metrics.prices import Days, direction_gains, skill
from ml.metrics.scorer import Rows
from ml.promotion.holdout import predictions_of, target_times_ms, walk_holdout
from ml.promotion.significance import block_length, resampled_days, skill_interval
from ml.search.cases import EVALUATION, TestCase

#: What skills of forecasters of the range are usually against, so that reports of different projects compare.
COMMON_BASELINE = "ewma_range"


class ServedFigures(TypedDict):
    """Figures on the usable holdout rows, with 90 % intervals of skills over the days.

    `skill` is against the baseline that was best on the train rows, 0 where it serves; `skill_ewma_range` and those of
    single labels are against `COMMON_BASELINE`. Coverage is that of the 80 % interval: in all, and the
    least and most covered hour of day (weekday at 1d and above) and fifth of the rows by EWMA range.
    """

    baseline: str
    rows: int
    skill: float
    skill_lower: float
    skill_upper: float
    skill_ewma_range: float
    ewma_lower: float
    ewma_upper: float
    skill_high: float
    skill_low: float
    skill_close: float
    band_coverage: float
    hour_least: float
    hour_most: float
    fifth_least: float
    fifth_most: float
    winkler_pct: float


def served_figures(dataset: Dataset, case: TestCase | None) -> ServedFigures:
    """The figures of a champion's case, or of the baseline that serves without one.

    Raises:
        CaseError: too few rows are usable.
    """
    # Any case binds the rows that all baselines can forecast.
    bound = case or TestCase(series=dataset.series, model="last_candle", evaluation=EVALUATION)
    prepared = prepare(bound, dataset)
    evaluation, walk = evaluate_prepared(prepared)
    walked, rows = (walk, walk_holdout(prepared)), prepared.rows("holdout")
    predicted = None if case else _by_baseline(prepared, walked, evaluation.baseline)
    predictions = predictions_of(prepared, walked, rows, predicted)
    scorer = prepared.candle_scorer
    days = Days(target_times_ms(prepared, rows))
    own, best, common = predictions.own, predictions.against[evaluation.baseline], predictions.against[COMMON_BASELINE]
    lower, upper = _interval(days, own.losses, best.losses)
    ewma_lower, ewma_upper = _interval(days, own.losses, common.losses)
    figures = scorer.figures(predictions, COMMON_BASELINE)[0]
    covered = scorer.covered(predictions)
    least, most = _coverage(covered, hour_or_weekday(target_times_ms(prepared, rows), dataset.timeframe_ms))
    fifth_least, fifth_most = _coverage(covered, _fifths(scorer.scale[rows]))
    return {
        "baseline": evaluation.baseline,
        "rows": len(rows),
        "skill": skill(own.error, best.error),
        "skill_lower": lower,
        "skill_upper": upper,
        "skill_ewma_range": figures["skill"],
        "ewma_lower": ewma_lower,
        "ewma_upper": ewma_upper,
        "skill_high": figures["skill_high"],
        "skill_low": figures["skill_low"],
        "skill_close": figures["skill_close"],
        "band_coverage": figures["band_coverage"],
        "hour_least": least,
        "hour_most": most,
        "fifth_least": fifth_least,
        "fifth_most": fifth_most,
        "winkler_pct": figures["winkler_pct"],
    }


class DirectionFigures(TypedDict):
    """The direction of the close on the usable holdout rows, by a case that learns it."""

    direction_accuracy: float
    direction_se: float
    #: Mean gain per candle of trading every call, after costs, and of holding.
    direction_net_pct: float
    holding_pct: float
    #: The difference of the two in standard errors.
    over_holding_t: float


def direction_figures(dataset: Dataset, case: TestCase) -> DirectionFigures:
    """How often a case that learns the close has its direction right, refitted on the way, and what trading it gains.

    Raises:
        CaseError: too few rows are usable.
    """
    prepared = prepare(case, dataset)
    evaluation, walk = evaluate_prepared(prepared)
    predictions = predictions_of(prepared, (walk, walk_holdout(prepared)), prepared.rows("holdout"), None)
    figures = prepared.candle_scorer.figures(predictions, evaluation.baseline)[0]
    moves = prepared.labels[predictions.rows, CLOSE]
    over = direction_gains(predictions.predicted[:, CLOSE], moves) - np.expm1(moves)
    return {
        "direction_accuracy": figures["direction_accuracy"],
        "direction_se": figures["direction_se"],
        "direction_net_pct": figures["direction_net_pct"],
        "holding_pct": float(100 * np.expm1(moves).mean()),
        "over_holding_t": float(over.mean() / (over.std(ddof=1) / np.sqrt(len(over)))),
    }


def _by_baseline(prepared: PreparedCase, walked: Sequence[Walk], baseline: str) -> Floats:
    """The forecasts (m, 3) of a baseline for the rows of the walks, refitted as the case is."""
    folds = [fold for walk in walked for fold in walk.folds]
    forecasts = [prepared.scorer.forecast(baseline, fold.predict, fold.baseline) for fold in folds]
    return coherent(np.concatenate(forecasts))


def _interval(days: Days, losses: Floats, baseline: Floats) -> tuple[float, float]:
    mine, theirs = days.means(losses), days.means(baseline)
    weights = resampled_days(len(mine), block_length(theirs))
    lower, upper = skill_interval(mine[:, None], theirs[:, None], weights)[:, 0]
    return float(lower), float(upper)


def _fifths(scale: Floats) -> Rows:
    fifths: Rows = np.searchsorted(np.quantile(scale, [0.2, 0.4, 0.6, 0.8]), scale)
    return fifths


def _coverage(covered: Floats, groups: Rows) -> tuple[float, float]:
    """The least and the largest coverage of a group; `covered` (m,) is 1 inside the interval."""
    shares = [float(np.nanmean(covered[groups == group])) for group in np.unique(groups)]
    return min(shares), max(shares)
