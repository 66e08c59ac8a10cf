"""The sealed holdout of a series: its unopened rows, and the result of an opening.

Datasets of one series overlap: next month's holdout has most candles of this month's. So a holdout row is identified by
the time of the candle that it forecasts, independent of the dataset, and is used for one challenger only. Using it
again would select among challengers on the rows that must give an unbiased estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.errors import CandleworksError
from ml.evaluation.evaluate import fit_rows, score_predictions
from ml.evaluation.preparation import PreparedCase, check_rows, prepare
from ml.evaluation.walk_forward import Walk, folds_over
from ml.metrics.scorer import Predictions, Rows, Scored
from ml.search.cases import TestCase


def target_times_ms(prepared: PreparedCase, rows: Rows) -> npt.NDArray[np.int64]:
    """Open times (m,) of the candles that rows (m,) forecast."""
    times: npt.NDArray[np.int64] = np.asarray(prepared.dataset.open_time_ms[rows], dtype=np.int64)
    return times + prepared.horizon * prepared.dataset.timeframe_ms


def fresh_rows(prepared: PreparedCase, seen_until_ms: int | None) -> Rows:
    """Usable holdout rows whose candles opened after the last one that an earlier opening saw."""
    rows = prepared.rows("holdout")
    return rows if seen_until_ms is None else rows[target_times_ms(prepared, rows) > seen_until_ms]


@dataclass(frozen=True, eq=False)
class Opening:
    """The result of one opening.

    Attributes:
        figures: of the challenger against the baselines, as of `ml.evaluation.evaluate.score_predictions`.
        span_ms: open times of the first and last opened candle.
        rows: number of opened rows.
    """

    figures: dict[str, float]
    span_ms: tuple[int, int]
    rows: int


def walk_holdout(prepared: PreparedCase) -> Walk:
    """Refit a case through its holdout rows, as it would have been served."""
    rows = prepared.rows("holdout")
    check_rows(prepared, rows, "holdout")
    folds = folds_over(prepared, rows, int(rows[0]), int(rows[-1]) + 1)
    return Walk(prepared, tuple(folds), tuple(fit_rows(prepared, fold.train) for fold in folds))


def open_holdout(prepared: PreparedCase, walked: Sequence[Walk], baseline: str, rows: Rows) -> Opening:
    """Score a case on fresh rows.

    Args:
        prepared: the case.
        walked: its walks through validation and holdout. Predictions before the fresh rows initialise the interval.
        baseline: that was best on the train rows; refitted with the case.
        rows: (m,) fresh holdout rows.
    """
    predictions = predictions_of(prepared, walked, rows)
    times = target_times_ms(prepared, rows)
    return Opening(score_predictions(prepared, predictions, baseline), (int(times[0]), int(times[-1])), len(rows))


def predictions_of(
    prepared: PreparedCase, walked: Sequence[Walk], rows: Rows, predicted: Floats | None = None
) -> Predictions:
    """The predictions of a case for holdout rows, those before them as the tail, and the refitted baselines'.

    Args:
        prepared: the case.
        walked: its walks through validation and holdout.
        rows: (m,) of the holdout.
        predicted: (n, 3) forecasts of another forecaster for all rows of the walks; None: of the case.
    """
    seen = np.concatenate([walk.rows for walk in walked])
    if predicted is None:
        predicted = np.concatenate([walk.predicted for walk in walked])
    fresh, earlier = np.isin(seen, rows), np.flatnonzero(seen < rows[0])[-prepared.scorer.tail_length :]
    return Predictions(
        own=prepared.scorer.scored(rows, predicted[fresh]),
        against=_refitted_baselines(prepared, walked[-1], rows),
        tail_rows=seen[earlier],
        tail_predicted=predicted[earlier],
    )


def _refitted_baselines(prepared: PreparedCase, walk: Walk, rows: Rows) -> dict[str, Scored]:
    """Name -> forecasts (m, 3) of the baseline for rows of a walk, fitted on the train rows of each fold."""
    scorer = prepared.scorer
    steps = [(fold.baseline, fold.predict[np.isin(fold.predict, rows)]) for fold in walk.folds]
    return {
        name: scorer.scored(
            rows, np.concatenate([scorer.forecast(name, part, train) for train, part in steps if len(part)])
        )
        for name in scorer.rivals
    }


def errors_with_incumbent(
    prepared: PreparedCase, walk: Walk, incumbent: TestCase, rows: Rows
) -> tuple[float, float] | None:
    """Errors of the challenger and of the incumbent on the rows that both can forecast; both are refitted through them.

    Args:
        prepared: the challenger's case.
        walk: of the challenger through the holdout.
        incumbent: the champion's case.
        rows: opened holdout rows.

    Returns:
        The two errors in percent; None if the incumbent can no longer forecast these rows, so that none is compared.
    """
    try:
        theirs = prepare(incumbent.at_present(), prepared.dataset)
        other = walk_holdout(theirs)
        seen, predicted = other.rows, other.predicted
    except CandleworksError:
        return None
    common = np.intersect1d(np.intersect1d(seen, walk.rows), rows)
    if not len(common):
        return None
    error = prepared.scorer.error
    return error(walk.predicted[np.isin(walk.rows, common)], common), error(predicted[np.isin(seen, common)], common)
