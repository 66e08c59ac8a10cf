"""Predictions of one part of a case by one ensemble, for tests of metrics."""

from __future__ import annotations

from ml.evaluation.evaluate import rivals_at, tail_of
from ml.evaluation.forecaster import Ensemble
from ml.evaluation.preparation import PreparedCase, check_rows
from ml.metrics.scorer import Predictions, Rows


def predict_part(prepared: PreparedCase, ensemble: Ensemble, part: str, earlier: str) -> Predictions:
    """Predict the part "validation" or "holdout"; the latest rows of the `earlier` part initialise the interval.

    Raises:
        CaseError: the part has too few rows.
    """
    rows = prepared.rows(part)
    check_rows(prepared, rows, part)
    return predict_rows(prepared, ensemble, rows, prepared.rows("train"), prepared.rows(earlier))


def predict_rows(prepared: PreparedCase, ensemble: Ensemble, rows: Rows, train: Rows, tail: Rows) -> Predictions:
    """Predict rows with an ensemble and with its rivals.

    Args:
        prepared: the case.
        ensemble: fitted.
        rows: to predict.
        train: rows that the rivals are fitted on.
        tail: earlier rows; the prediction interval is initialised from the latest of them.
    """
    tail = tail_of(prepared, tail)
    predicted = ensemble.predict(prepared.windows_at(rows))
    return Predictions(
        own=prepared.scorer.scored(rows, predicted),
        against=rivals_at(prepared, rows, train),
        tail_rows=tail,
        tail_predicted=ensemble.predict(prepared.windows_at(tail)) if len(tail) else predicted[:0],
    )
