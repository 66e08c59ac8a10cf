"""The sealed holdout of a series: its unopened rows, and the result of an opening.

Datasets of one series overlap: next month's holdout has most candles of this month's. So a holdout row is identified by
the time of the candle that it forecasts, independent of the dataset, and is used for one challenger only. Using it
again would select among challengers on the rows that must give an unbiased estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.data.datasets import changed_columns
from ml.errors import CandleworksError
from ml.evaluation.evaluate import fit_rows, predict_rows, score_predictions
from ml.evaluation.forecaster import Ensemble
from ml.evaluation.preparation import PreparedCase, prepare
from ml.forecasting.model_store import load_model, read_card
from ml.metrics.scorer import Rows
from ml.search.cases import TestCase
from ml.store import Store


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


def open_holdout(prepared: PreparedCase, ensemble: Ensemble, baseline: str, rows: Rows) -> Opening:
    """Score an ensemble on fresh rows; earlier rows that it did not learn from initialise the prediction interval."""
    earlier = np.concatenate([prepared.rows("validation"), prepared.rows("holdout")])
    predictions = predict_rows(prepared, ensemble, rows, prepared.rows("train"), earlier[earlier < rows[0]])
    times = target_times_ms(prepared, rows)
    return Opening(score_predictions(prepared, predictions, baseline), (int(times[0]), int(times[-1])), len(rows))


def errors_with_incumbent(
    store: Store, prepared: PreparedCase, ensemble: Ensemble, incumbent: TestCase, frozen_id: str | None, rows: Rows
) -> tuple[float, float] | None:
    """Errors of the challenger and of the incumbent on the rows that both can forecast.

    The incumbent is its frozen model, if that has learnt from none of the rows; else its case, fitted on the rows that
    the challenger learnt from.

    Args:
        store: with the frozen model.
        prepared: the challenger's case.
        ensemble: the challenger.
        incumbent: the champion's case.
        frozen_id: the champion's model as it was evaluated.
        rows: opened holdout rows.

    Returns:
        The two errors in percent; None if the incumbent can no longer forecast these rows, so that none is compared.
    """
    try:
        theirs = prepare(incumbent, prepared.dataset)
        common = rows[theirs.usable[rows]]
        if not len(common):
            return None
        first_ms = int(target_times_ms(prepared, rows)[0])
        champion = _frozen(store, frozen_id, first_ms, theirs) or _fitted_like(theirs, prepared)
        mine, other = ensemble.predict(prepared.windows_at(common)), champion.predict(theirs.windows_at(common))
    except CandleworksError:
        return None
    return prepared.scorer.error(mine, common), prepared.scorer.error(other, common)


def _frozen(store: Store, frozen_id: str | None, first_ms: int, theirs: PreparedCase) -> Ensemble | None:
    """The frozen model, if it learnt only from candles before `first_ms` and from columns with unchanged formulas."""
    if frozen_id is None:
        return None
    try:
        card = read_card(store, frozen_id)
        if card["trained_through_ms"] >= first_ms:
            return None
        if changed_columns(card.get("lineage", {}), theirs.dataset.fingerprints, theirs.case.lineage_columns):
            return None
        return load_model(store, frozen_id)[1]
    except (CandleworksError, OSError, ValueError, KeyError):
        return None  # missing or broken


def _fitted_like(theirs: PreparedCase, challenger: PreparedCase) -> Ensemble:
    """The incumbent's case, fitted on the span of the challenger's train part."""
    usable = np.flatnonzero(theirs.usable)
    return fit_rows(theirs, theirs.learnt(usable[usable <= challenger.rows("train")[-1]]))
