"""Evaluation of one test case on one dataset, without leakage.

Scaler and model are fitted on train rows; validation rows, later in time and after a purge, give every figure that
ranks a case. `evaluate` never reads the holdout: only promotion opens it. The baseline to beat is the one that was best
on the train rows, so that its choice cannot profit from the evaluated rows. `ml.metrics` has the metrics of each kind
of target, `ml.evaluation.walk_forward` the rows of each fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from ml.data.datasets import Dataset
from ml.evaluation.forecaster import Ensemble, Part, fit_ensemble, inputs_of_member
from ml.evaluation.preparation import PreparedCase, check_rows, prepare
from ml.evaluation.walk_forward import Fold, Walk, folds_of
from ml.metrics.prices import daily_losses, skill
from ml.metrics.scorer import Predictions, Rows, joined
from ml.records import AnyRecord, LabelMetrics, WindowMetrics
from ml.search.cases import TestCase

#: Fits a case on the given rows, one member per seed.
Fit = Callable[[PreparedCase, Rows], Ensemble]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A case's result on its validation rows: means over the seeds, and the aligned losses per day.

    Attributes:
        baseline: the baseline that was best on the train rows.
        metrics: name -> mean over seeds (see `ml.metrics`).
        per_seed: one dict of the same names per seed.
        days: days since 1970-01-01 of the forecast candles.
        losses: mean loss per day, mean over seeds: the squared percentage error, or the log loss of probabilities.
        baseline_losses: the same for the baseline.
        n_train: number of distinct train rows.
        spans: open times of the first and last row of each part, milliseconds.
        label_metrics: a table with one row per label, step, event or class; empty for candles.
        window_metrics: one row per fit of a walk-forward evaluation: open times of its first and last predicted row and
            of its train rows in milliseconds, n_train, n, the error that ranks, skill; None for a case with one fit.
    """

    baseline: str
    metrics: dict[str, float]
    per_seed: list[dict[str, float]]
    days: list[int]
    losses: list[float]
    baseline_losses: list[float]
    n_train: int
    n_validation: int
    spans: dict[str, int]
    label_metrics: list[LabelMetrics]
    window_metrics: list[WindowMetrics] | None


def best_baseline(prepared: PreparedCase) -> str:
    """Name of the baseline with the lowest two-fold cross-validated error on the train rows.

    In-sample, a baseline with more parameters, such as drift, would always seem better.
    """
    rows, scorer = prepared.baseline_rows(prepared.split.train[1] - 1), prepared.scorer
    early, late = np.array_split(rows, 2)

    def error(name: str) -> float:
        return scorer.error(
            np.concatenate([scorer.forecast(name, early, late), scorer.forecast(name, late, early)]), rows
        )

    return min(scorer.baselines, key=error)


def predict_rows(prepared: PreparedCase, ensemble: Ensemble, rows: Rows, train: Rows, tail: Rows) -> Predictions:
    """Predict rows with an ensemble and with the baselines.

    Args:
        prepared: the case.
        ensemble: fitted.
        rows: to predict.
        train: rows that the baselines are fitted on.
        tail: earlier rows; the prediction interval is initialised from the latest of them.
    """
    scorer = prepared.scorer
    tail = tail[max(len(tail) - scorer.tail_length, 0) :]
    predicted = ensemble.predict(prepared.windows_at(rows))
    return Predictions(
        rows=rows,
        predicted=predicted,
        against={name: scorer.forecast(name, rows, train) for name in scorer.rivals},
        tail_rows=tail,
        tail_predicted=ensemble.predict(prepared.windows_at(tail)) if len(tail) else predicted[:0],
    )


def predict_part(prepared: PreparedCase, ensemble: Ensemble, part: str, earlier: str) -> Predictions:
    """Predict the part "validation" or "holdout"; the latest rows of the `earlier` part initialise the interval.

    Raises:
        CaseError: the part has too few rows.
    """
    rows = prepared.rows(part)
    check_rows(prepared, rows, part)
    return predict_rows(prepared, ensemble, rows, prepared.rows("train"), prepared.rows(earlier))


def score_predictions(prepared: PreparedCase, predictions: Predictions, baseline: str) -> dict[str, float]:
    """All figures of one set of predictions, against every baseline on the same rows."""
    return prepared.scorer.figures(predictions, baseline)[0]


def fit_rows(prepared: PreparedCase, rows: Rows, evaluated: Ensemble | None = None) -> Ensemble:
    """Fit a single case on rows.

    Args:
        prepared: the case.
        rows: (m,) to learn from.
        evaluated: for the refit of a champion on all rows, the ensemble as it was evaluated.
    """
    case = prepared.case
    if case.members is None:
        inputs, weights = prepared.windows_at(rows), prepared.weights_at(rows)
        return fit_ensemble(case, inputs, prepared.labels[rows], weights, evaluated)
    before = evaluated.parts if evaluated else [None] * len(case.members)
    parts = [_fit_member(prepared, member, rows, one) for member, one in zip(case.members, before, strict=True)]
    return Ensemble(parts=tuple(parts))


def _fit_member(prepared: PreparedCase, member: TestCase, rows: Rows, evaluated: Part | None) -> Part:
    own = rows if member.train_rows is None else rows[-member.train_rows :]
    columns, weights = prepared.case.member_columns(member), prepared.weights_at(own, member)
    inputs = inputs_of_member(prepared.windows_at(own), member, columns)
    before = evaluated.ensemble if evaluated else None
    return Part(member, columns, fit_ensemble(member, inputs, prepared.labels[own], weights, before))


def evaluate(case: TestCase, dataset: Dataset, fit: Fit = fit_rows) -> Evaluation:
    """Fit on the train rows, evaluate on the validation rows; the holdout is not read (see `fit_and_evaluate`)."""
    return fit_and_evaluate(case, dataset, fit)[0]


def fit_and_evaluate(
    case: TestCase, dataset: Dataset, fit: Fit = fit_rows
) -> tuple[Evaluation, PreparedCase, Ensemble]:
    """Evaluate, and also return the prepared case and the last fitted ensemble, with which promotion opens the holdout.

    Args:
        case: to evaluate.
        dataset: to evaluate it on.
        fit: fits the case; a grouped fit may have been done before.

    Raises:
        CaseError: the case cannot be bound to this dataset.
        PredictionError: the model's output is not usable.
    """
    prepared = prepare(case, dataset)
    evaluation, walk = evaluate_prepared(prepared, fit)
    return evaluation, prepared, walk.last


def evaluate_prepared(prepared: PreparedCase, fit: Fit = fit_rows) -> tuple[Evaluation, Walk]:
    """Evaluate a case that is bound to its dataset; also returns its fits."""
    folds = folds_of(prepared)
    ensembles: list[Ensemble] = []
    by_seed: list[list[Predictions]] = [[] for _ in prepared.case.seeds]
    for number, fold in enumerate(folds):
        ensemble = fit(prepared, fold.train)
        ensembles.append(ensemble)
        tail = fold.train if number == 0 else fold.train[:0]
        for parts, one in zip(by_seed, ensemble.by_seed, strict=True):
            parts.append(predict_rows(prepared, one, fold.predict, fold.baseline, tail))
    return score_folds(prepared, folds, [joined(parts) for parts in by_seed]), Walk(tuple(folds), tuple(ensembles))


def score_folds(prepared: PreparedCase, folds: Sequence[Fold], by_seed: Sequence[Predictions]) -> Evaluation:
    """A case's result from the predictions of each seed over all folds."""
    dataset, scorer = prepared.dataset, prepared.scorer
    baseline = best_baseline(prepared)
    rows, against = by_seed[0].rows, by_seed[0].against[baseline]
    per_seed, tables = zip(*(scorer.figures(predictions, baseline) for predictions in by_seed), strict=True)
    metrics = _mean(per_seed)
    metrics["skill_seed_std"] = float(np.std([one["skill"] for one in per_seed]))
    target_times = np.asarray(dataset.open_time_ms[rows]) + prepared.horizon * dataset.timeframe_ms
    daily = [daily_losses(scorer.losses(one.predicted, rows), target_times) for one in by_seed]
    days, baseline_losses = daily_losses(scorer.losses(against, rows), target_times)
    times = {"train_start": folds[0].train[0], "train_end": folds[-1].train[-1]}
    times |= {"validation_start": rows[0], "validation_end": rows[-1]}
    return Evaluation(
        baseline=baseline,
        metrics=metrics,
        per_seed=list(per_seed),
        days=days,
        losses=[float(value) for value in np.mean([losses for _, losses in daily], axis=0)],
        baseline_losses=baseline_losses,
        n_train=len(np.unique(np.concatenate([fold.train for fold in folds]))),
        n_validation=len(rows),
        spans={name: int(dataset.open_time_ms[row]) for name, row in times.items()},
        label_metrics=[_mean(seeds) for seeds in zip(*tables, strict=True)],
        window_metrics=_window_metrics(prepared, folds, by_seed, baseline) if prepared.case.walk_forward else None,
    )


def _mean(per_seed: Sequence[AnyRecord]) -> AnyRecord:
    """Means over seeds of all numbers; text is the same for all seeds."""
    means = {
        name: value if isinstance(value, str) else float(np.mean([cast(float, one[name]) for one in per_seed]))
        for name, value in per_seed[0].items()
    }
    return cast(AnyRecord, means)


def _window_metrics(
    prepared: PreparedCase, folds: Sequence[Fold], by_seed: Sequence[Predictions], baseline: str
) -> list[WindowMetrics]:
    scorer, times = prepared.scorer, prepared.dataset.open_time_ms
    found, start = [], 0
    for fold in folds:
        parts = [predictions.part(start, start + len(fold.predict)) for predictions in by_seed]
        start += len(fold.predict)
        error = float(np.mean([scorer.error(part.predicted, part.rows) for part in parts]))
        found.append(
            {
                "start": int(times[fold.predict[0]]),
                "end": int(times[fold.predict[-1]]),
                "train_start": int(times[fold.train[0]]),
                "train_end": int(times[fold.train[-1]]),
                "n_train": len(fold.train),
                "n": len(fold.predict),
                scorer.error_name: error,
                "skill": skill(error, scorer.error(parts[0].against[baseline], fold.predict)),
            }
        )
    return cast(list[WindowMetrics], found)
