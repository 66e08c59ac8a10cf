"""Evaluation of one test case on one dataset, without leakage.

Scaler and model are fitted on train rows; validation rows, later in time and after a purge, give every figure that
ranks a case. `evaluate` never reads the holdout: only promotion opens it. The baseline to beat is the one that was best
on the train rows, so that its choice cannot profit from the evaluated rows. `ml.metrics` has the metrics of each kind
of target, `ml.evaluation.walk_forward` the rows of each fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from ml.data.datasets import Dataset
from ml.data.targets import Floats
from ml.evaluation.forecaster import Ensemble, Part, fit_ensemble
from ml.evaluation.learning import rows_to_learn
from ml.evaluation.preparation import PreparedCase, prepare
from ml.evaluation.walk_forward import Fold, Walk, folds_of
from ml.metrics.prices import Days, skill
from ml.metrics.scorer import Predictions, Rows, Scored
from ml.records import AnyRecord, LabelMetrics, WindowMetrics
from ml.search.cases import TestCase

#: Fits a case on the given rows, one member per seed.
Fit = Callable[[PreparedCase, Rows], Ensemble]
#: Predicts the given rows with an ensemble of the case.
Predict = Callable[[PreparedCase, Ensemble, Rows], Floats]


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


@dataclass(frozen=True, eq=False)
class Setting:
    """What an evaluation shares with those of all cases that have the same rows, computed once for them.

    Attributes:
        folds: of the evaluation.
        rows: (m,) predicted rows of all folds.
        against: rival -> its forecasts for these rows, fitted again for each fold.
        by_fold: the same for the rows of each fold.
        baseline: the baseline that was best on the train rows.
        days: of the forecast candles.
        baseline_losses: mean loss of the baseline per day.
        n_train: number of distinct train rows.
    """

    folds: list[Fold]
    rows: Rows
    against: Mapping[str, Scored]
    by_fold: Sequence[Mapping[str, Scored]]
    baseline: str
    days: Days
    baseline_losses: list[float]
    n_train: int


#: Settings are kept for the latest rows, a few megabytes each: the cases of a chunk have few different ones.
KEPT = 16
_settings: OrderedDict[Hashable, Setting] = OrderedDict()


def setting_of(prepared: PreparedCase) -> Setting:
    """The setting of a case, made now or for an earlier case with the same rows.

    Raises:
        CaseError: too few rows are usable.
    """
    case = prepared.case
    key = (prepared.scorer, prepared.split, case.train_rows, prepared.refits, prepared.usable.tobytes())
    if key in _settings:
        _settings.move_to_end(key)
    else:
        _settings[key] = _setting(prepared)
        if len(_settings) > KEPT:
            _settings.popitem(last=False)
    return _settings[key]


def _setting(prepared: PreparedCase) -> Setting:
    dataset, scorer, folds = prepared.dataset, prepared.scorer, folds_of(prepared)
    by_fold = [rivals_at(prepared, fold.predict, fold.baseline) for fold in folds]
    rows = np.concatenate([fold.predict for fold in folds])
    against = {
        name: scorer.scored(rows, _joined([rivals[name].forecast for rivals in by_fold])) for name in scorer.rivals
    }
    baseline = best_baseline(prepared)
    days = Days(np.asarray(dataset.open_time_ms[rows]) + prepared.horizon * dataset.timeframe_ms)
    return Setting(
        folds=folds,
        rows=rows,
        against=against,
        by_fold=by_fold,
        baseline=baseline,
        days=days,
        baseline_losses=days.means(against[baseline].losses).tolist(),
        n_train=len(np.unique(np.concatenate([fold.train for fold in folds]))),
    )


def _joined(parts: Sequence[Floats]) -> Floats:
    """Forecasts of consecutive rows; those of a single fit as they are, which may be a view."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def rivals_at(prepared: PreparedCase, rows: Rows, train: Rows) -> dict[str, Scored]:
    """The forecasts of all rivals for rows, fitted on the rows `train`."""
    scorer = prepared.scorer
    return {name: scorer.scored(rows, scorer.forecast(name, rows, train)) for name in scorer.rivals}


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


def tail_of(prepared: PreparedCase, rows: Rows) -> Rows:
    """The latest of the rows before the evaluated ones: as many as the scorer needs predictions for."""
    return rows[max(len(rows) - prepared.scorer.tail_length, 0) :]


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
        return fit_ensemble(case, *rows_to_learn(prepared, rows), evaluated)
    before = evaluated.parts if evaluated else [None] * len(case.members)
    parts = [_fit_member(prepared, member, rows, one) for member, one in zip(case.members, before, strict=True)]
    return Ensemble(parts=tuple(parts))


def _fit_member(prepared: PreparedCase, member: TestCase, rows: Rows, evaluated: Part | None) -> Part:
    own = rows if member.train_rows is None else rows[-member.train_rows :]
    before = evaluated.ensemble if evaluated else None
    fitted = fit_ensemble(member, *rows_to_learn(prepared, own, member), before)
    return Part(member, prepared.case.member_columns(member), fitted)


def predict_windows(prepared: PreparedCase, ensemble: Ensemble, rows: Rows) -> Floats:
    """Predict rows of a single case."""
    return ensemble.predict(prepared.windows_at(rows))


def evaluate(case: TestCase, dataset: Dataset, fit: Fit = fit_rows, predict: Predict = predict_windows) -> Evaluation:
    """Fit on the train rows, evaluate on the validation rows; the holdout is not read (see `fit_and_evaluate`)."""
    return fit_and_evaluate(case, dataset, fit, predict)[0]


def fit_and_evaluate(
    case: TestCase, dataset: Dataset, fit: Fit = fit_rows, predict: Predict = predict_windows
) -> tuple[Evaluation, PreparedCase, Ensemble]:
    """Evaluate, and also return the prepared case and the last fitted ensemble, with which promotion opens the holdout.

    Args:
        case: to evaluate.
        dataset: to evaluate it on.
        fit: fits the case; a grouped fit may have been done before.
        predict: predicts with the fitted ensembles; a group may have done so before.

    Raises:
        CaseError: the case cannot be bound to this dataset.
        PredictionError: the model's output is not usable.
    """
    prepared = prepare(case, dataset)
    evaluation, walk = evaluate_prepared(prepared, fit, predict)
    return evaluation, prepared, walk.last


def evaluate_prepared(
    prepared: PreparedCase, fit: Fit = fit_rows, predict: Predict = predict_windows
) -> tuple[Evaluation, Walk]:
    """Evaluate a case that is bound to its dataset; also returns its fits."""
    setting = setting_of(prepared)
    ensembles = [fit(prepared, fold.train) for fold in setting.folds]
    by_seed = [
        _predicted(prepared, partial(predict, prepared), [one.by_seed[number] for one in ensembles])
        for number in range(len(prepared.case.seeds))
    ]
    return score_folds(prepared, setting, by_seed), Walk(prepared, tuple(setting.folds), tuple(ensembles))


def _predicted(
    prepared: PreparedCase, predict: Callable[[Ensemble, Rows], Floats], fitted: Sequence[Ensemble]
) -> Predictions:
    """The predictions of the fits of all folds; those of the first fit for the tail."""
    setting = setting_of(prepared)
    parts = [predict(one, fold.predict) for one, fold in zip(fitted, setting.folds, strict=True)]
    tail = tail_of(prepared, setting.folds[0].train)
    earlier = predict(fitted[0], tail) if len(tail) else parts[0][:0]
    return Predictions(prepared.scorer.scored(setting.rows, _joined(parts)), setting.against, tail, earlier)


def score_folds(prepared: PreparedCase, setting: Setting, by_seed: Sequence[Predictions]) -> Evaluation:
    """A case's result from the predictions of each seed over all folds."""
    scorer, folds, rows = prepared.scorer, setting.folds, setting.rows
    per_seed, tables = zip(*(scorer.figures(predictions, setting.baseline) for predictions in by_seed), strict=True)
    metrics = _mean(per_seed)
    metrics["skill_seed_std"] = float(np.std([one["skill"] for one in per_seed]))
    daily = [setting.days.means(one.own.losses) for one in by_seed]
    times = {"train_start": folds[0].train[0], "train_end": folds[-1].train[-1]}
    times |= {"validation_start": rows[0], "validation_end": rows[-1]}
    return Evaluation(
        baseline=setting.baseline,
        metrics=metrics,
        per_seed=list(per_seed),
        days=setting.days.numbers,
        losses=np.mean(daily, axis=0).tolist(),
        baseline_losses=setting.baseline_losses,
        n_train=setting.n_train,
        n_validation=len(rows),
        spans={name: int(prepared.dataset.open_time_ms[row]) for name, row in times.items()},
        label_metrics=[_mean(seeds) for seeds in zip(*tables, strict=True)],
        window_metrics=_window_metrics(prepared, setting, by_seed) if prepared.case.walk_forward else None,
    )


def _mean(per_seed: Sequence[AnyRecord]) -> AnyRecord:
    """Means over seeds of all numbers; text is the same for all seeds."""
    if len(per_seed) == 1:
        return cast(AnyRecord, dict(per_seed[0]))
    means = {
        name: value if isinstance(value, str) else float(np.mean([cast(float, one[name]) for one in per_seed]))
        for name, value in per_seed[0].items()
    }
    return cast(AnyRecord, means)


def _window_metrics(prepared: PreparedCase, setting: Setting, by_seed: Sequence[Predictions]) -> list[WindowMetrics]:
    scorer, times = prepared.scorer, prepared.dataset.open_time_ms
    found, start = [], 0
    for fold, against in zip(setting.folds, setting.by_fold, strict=True):
        stop = start + len(fold.predict)
        error = float(np.mean([one.own.error_between(start, stop) for one in by_seed]))
        start = stop
        found.append(
            {
                "start": int(times[fold.predict[0]]),
                "end": int(times[fold.predict[-1]]),
                "train_start": int(times[fold.train[0]]),
                "train_end": int(times[fold.train[-1]]),
                "n_train": len(fold.train),
                "n": len(fold.predict),
                scorer.error_name: error,
                "skill": skill(error, against[setting.baseline].error),
            }
        )
    return cast(list[WindowMetrics], found)
