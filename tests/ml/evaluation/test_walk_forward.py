"""Walk-forward: nothing of a step is learnt before it, every validation row is predicted once, one row tells it all."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.data.datasets import Dataset
from ml.errors import CaseError
from ml.evaluation import walk_forward
from ml.evaluation.evaluate import evaluate, fit_and_evaluate
from ml.evaluation.forecaster import Ensemble, Scaler, fit_ensemble
from ml.evaluation.preparation import PreparedCase, prepare
from ml.evaluation.walk_forward import Step, folds_of, steps
from ml.metrics.scorer import Rows
from ml.models.base import Floats, Inputs, Model
from ml.search.cases import TestCase
from tests.classifying import LogisticModel, registered
from tests.synthetic import make_case, make_dataset, with_all_kinds

DATASET = make_dataset(2000)
ALL_KINDS = with_all_kinds(DATASET)


def walking(refit_every: int = 60, *, rolling: bool = False, **changes: Any) -> TestCase:
    return make_case(walk_forward={"refit_every": refit_every, "rolling": rolling}, **changes)


@given(
    start=st.integers(0, 10_000),
    length=st.integers(1, 2000),
    refit_every=st.integers(1, 500),
    horizon=st.integers(1, 100),
)
def test_training_ends_a_horizon_and_a_row_before_each_step_and_steps_cover_the_rows(
    start: int, length: int, refit_every: int, horizon: int
) -> None:
    walk = list(steps(start, start + length, refit_every=refit_every, horizon=horizon))
    assert all(step.train_end == step.predict_start - horizon - 1 for step in walk)
    assert [row for step in walk for row in range(step.predict_start, step.predict_stop)] == list(
        range(start, start + length)
    )
    assert {step.predict_stop - step.predict_start for step in walk[:-1]} <= {refit_every}


@pytest.mark.parametrize("target", ["next_candle", "horizon_summary_30"])
@pytest.mark.parametrize("rolling", [False, True])
@pytest.mark.parametrize("train_rows", [None, 300])
def test_each_fold_has_the_rows_of_its_step(target: str, rolling: bool, train_rows: int | None) -> None:
    case = walking(rolling=rolling, target=target, train_rows=train_rows, lags=2)
    prepared = prepare(case, ALL_KINDS)
    folds = folds_of(prepared)
    validation = prepared.rows("validation")
    np.testing.assert_array_equal(np.concatenate([fold.predict for fold in folds]), validation)
    assert len(folds) == -(-len(validation) // 60)
    for fold in folds:
        # No gap and every row usable: the last row learnt from is exactly the last one allowed.
        assert fold.train[-1] == fold.predict[0] - prepared.horizon - 1
        np.testing.assert_array_equal(np.diff(fold.train), 1)
    lengths = [len(fold.train) for fold in folds]
    if rolling:
        assert set(lengths) == {train_rows or len(prepared.rows("train"))}
    else:
        assert {fold.train[0] for fold in folds} == {folds[0].train[0]}
        assert lengths[0] == (train_rows or lengths[0])
        assert set(np.diff(lengths)) == {60}


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    refit_every=st.integers(20, 300),
    lags=st.integers(1, 5),
    rolling=st.booleans(),
    target=st.sampled_from(["next_candle", "horizon_summary_30"]),
)
def test_whatever_rows_are_missing_nothing_is_learnt_late_and_nothing_predicted_twice(
    seed: int, refit_every: int, lags: int, rolling: bool, target: str
) -> None:
    features = DATASET.features.copy()
    features[np.random.default_rng(seed).random(len(features)) < 0.03] = np.nan
    dataset = dataclasses.replace(ALL_KINDS, features=features)
    prepared = prepare(walking(refit_every, rolling=rolling, lags=lags, target=target, train_rows=200), dataset)
    start, stop = prepared.split.validation
    folds = folds_of(prepared)
    for fold in folds:
        step_start = start + (fold.predict[0] - start) // refit_every * refit_every
        assert fold.predict[-1] < min(step_start + refit_every, stop)
        assert fold.train[-1] <= step_start - prepared.horizon - 1
        assert prepared.usable[fold.train].all()
    np.testing.assert_array_equal(np.concatenate([fold.predict for fold in folds]), prepared.rows("validation"))


def test_the_walk_never_enters_the_holdout() -> None:
    prepared = prepare(walking(), DATASET)
    stop = prepared.split.validation[1]
    assert max(fold.predict[-1] for fold in folds_of(prepared)) < stop
    labels, features = DATASET.labels.copy(), DATASET.features.copy()
    # The label of the last validation row describes candle `stop`.
    labels[stop:] *= -3
    features[stop + 1 :] *= 7
    changed = dataclasses.replace(DATASET, labels=labels, features=features)
    assert dataclasses.asdict(evaluate(walking(), changed)) == dataclasses.asdict(evaluate(walking(), DATASET))


def test_each_prediction_equals_a_fit_by_hand_with_scalers_of_its_window() -> None:
    case, seen = walking(150, rolling=True, train_rows=400), []

    def spying(prepared: PreparedCase, rows: Rows) -> Ensemble:
        ensemble = fit_ensemble(case, prepared.windows_at(rows), prepared.labels[rows])
        seen.append((rows, ensemble))
        return ensemble

    evaluation, prepared, last = fit_and_evaluate(case, DATASET, spying)
    assert last is seen[-1][1]
    squared = []
    for fold, (rows, ensemble) in zip(folds_of(prepared), seen, strict=True):
        np.testing.assert_array_equal(rows, fold.train)
        scaler = ensemble.members[0].scaler
        assert scaler is not None
        np.testing.assert_array_equal(scaler.mean, Scaler.of(prepared.windows_at(fold.train)).mean)
        predicted = ensemble.predict(prepared.windows_at(fold.predict))
        squared.append(np.square(np.exp(predicted) - np.exp(prepared.labels[fold.predict])))
    # One error over all predictions, which is not the mean of the windows' errors.
    assert evaluation.metrics["rmse_pct"] == pytest.approx(100 * np.sqrt(np.concatenate(squared).mean()), rel=1e-12)
    assert evaluation.window_metrics is not None
    errors = [window["rmse_pct"] for window in evaluation.window_metrics]
    assert errors == pytest.approx([100 * np.sqrt(one.mean()) for one in squared], rel=1e-12)


def test_a_window_says_what_it_learnt_from_what_it_predicted_and_how_well() -> None:
    evaluation, prepared, _ = fit_and_evaluate(walking(150), DATASET)
    windows, folds = evaluation.window_metrics, folds_of(prepared)
    assert windows is not None
    assert sum(window["n"] for window in windows) == evaluation.n_validation
    assert windows[0]["start"] == evaluation.spans["validation_start"]
    assert windows[-1]["end"] == evaluation.spans["validation_end"]
    assert windows[-1]["n_train"] == evaluation.n_train == len(folds[-1].train)
    hour = 3_600_000
    for window, fold in zip(windows, folds, strict=True):
        assert window["start"] - window["train_end"] == 2 * hour
        assert window["n_train"] == len(fold.train)
        # The baseline learns from the window too.
        against = prepared.scorer.forecast(evaluation.baseline, fold.predict, fold.train)
        expected = 1 - window["rmse_pct"] / prepared.scorer.error(against, fold.predict)
        assert window["skill"] == pytest.approx(expected, rel=1e-12)


def test_one_step_over_everything_is_nearly_the_plain_evaluation() -> None:
    walked, plain = (
        evaluate(walking(10_000, evaluation=None), DATASET),
        evaluate(make_case(evaluation=None), DATASET),
    )
    assert plain.window_metrics is None
    assert walked.window_metrics is not None and len(walked.window_metrics) == 1
    assert walked.n_validation == plain.n_validation
    # The walk needs no distance of a window's length, so it learns from one row more.
    assert walked.n_train == plain.n_train + 1
    assert walked.metrics["rmse_pct"] == pytest.approx(plain.metrics["rmse_pct"], rel=1e-4)


class LastLabelModel:
    """Repeats the latest label that it was given: as good as its train rows are near."""

    def __init__(self) -> None:
        self.latest: Floats = np.zeros(3)

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        self.latest = labels[-1]

    def refit_like(self, evaluated: Model) -> None: ...

    def predict(self, inputs: Inputs) -> Floats:
        return np.tile(self.latest, (len(inputs), 1))

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


def _skill_of_repeating_labels(dataset: Dataset) -> float:
    with registered("last_label", LastLabelModel, kinds=frozenset({"summary"})) as model:
        case = walking(1, model=model, target="horizon_summary_30")
        return evaluate(case, dataset).metrics["skill"]


def test_labels_that_overlap_the_step_leak_nothing_and_would_if_training_went_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = with_all_kinds(make_dataset(900, clustered=False))
    assert _skill_of_repeating_labels(dataset) < 0

    def without_purge(start: int, stop: int, *, refit_every: int, horizon: int) -> list[Step]:
        walk = steps(start, stop, refit_every=refit_every, horizon=horizon)
        return [dataclasses.replace(step, train_end=step.predict_start - 1) for step in walk]

    # The summary of a row and of the row before it are over nearly the same 30 candles.
    monkeypatch.setattr(walk_forward, "steps", without_purge)
    # A copy, since the folds of a dataset are made once.
    assert _skill_of_repeating_labels(dataclasses.replace(dataset)) > 0.3


def test_no_label_of_a_step_or_later_changes_the_models_before_it() -> None:
    dataset = ALL_KINDS
    case = walking(100, target="horizon_summary_30")
    prepared = prepare(case, dataset)
    third = folds_of(prepared)[2]
    labels = dataset.labels.copy()
    # What is known when the step begins: labels whose 30 candles came before its first row.
    labels[third.predict[0] - 30 :] *= -5
    outcomes = []
    for one in (dataset, dataclasses.replace(dataset, labels=labels)):
        laid = prepare(case, one)
        rows = folds_of(laid)[2].train
        ensemble = fit_ensemble(case, laid.windows_at(rows), laid.labels[rows])
        outcomes.append(ensemble.predict(laid.windows_at(third.predict)))
    np.testing.assert_array_equal(*outcomes)


def test_probabilities_walk_too() -> None:
    dataset = with_all_kinds(make_dataset(2000, edge=0.5))
    with registered("logistic_test", LogisticModel) as model:
        evaluation = evaluate(walking(150, model=model, target="trade"), dataset)
    assert evaluation.window_metrics is not None
    weights = [window["n"] for window in evaluation.window_metrics]
    mean = np.average([window["log_loss"] for window in evaluation.window_metrics], weights=weights)
    assert evaluation.metrics["log_loss"] == pytest.approx(mean, rel=1e-12)


def test_a_window_with_too_few_train_rows_is_refused() -> None:
    features = DATASET.features.copy()
    features[: prepare(make_case(), DATASET).split.train[1] - 101] = np.nan
    case = walking(50, target="horizon_summary_30")
    with pytest.raises(CaseError, match=r"Only .* usable train rows"):
        evaluate(case, with_all_kinds(dataclasses.replace(DATASET, features=features)))


def test_a_step_without_a_usable_row_is_no_window() -> None:
    features = DATASET.features.copy()
    start = prepare(make_case(), DATASET).split.validation[0]
    features[start + 50 : start + 100] = np.nan
    evaluation = evaluate(walking(50), dataclasses.replace(DATASET, features=features))
    assert evaluation.window_metrics is not None
    hours = [
        (window["start"] - evaluation.spans["validation_start"]) // 3_600_000 for window in evaluation.window_metrics
    ]
    assert hours[:3] == [0, 100, 150]
