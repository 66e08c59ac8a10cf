"""Summaries and paths: errors in percent of the last close, against what anybody could have said."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from ml.evaluation.evaluate import best_baseline, evaluate, fit_and_evaluate
from ml.evaluation.preparation import prepare
from ml.execution.results import RunInfo, result_row
from ml.search.cases import TestCase
from tests.predicting import predict_part
from tests.synthetic import make_case, make_dataset, with_all_kinds

DATASET = with_all_kinds(make_dataset(2500))
SUMMARY = make_case(target="horizon_summary_30")
PATH = make_case(target="closes_100")


def test_figures_of_a_summary_equal_scikit_learn() -> None:
    evaluation, prepared, ensemble = fit_and_evaluate(SUMMARY, DATASET)
    predictions = predict_part(prepared, ensemble, "validation", earlier="train")
    predicted, actual = predictions.predicted, prepared.labels[predictions.rows]
    # Labels are percentages, so errors are percentage points.
    metrics = evaluation.metrics
    assert metrics["rmse_pct"] == pytest.approx(root_mean_squared_error(actual.ravel(), predicted.ravel()), rel=1e-12)
    assert metrics["mae_pct"] == pytest.approx(mean_absolute_error(actual, predicted), rel=1e-12)
    assert metrics["direction_accuracy"] == np.mean(np.sign(predicted[:, 2]) == np.sign(actual[:, 2]))
    for k, row in enumerate(evaluation.label_metrics):
        assert row["rmse_pct"] == pytest.approx(root_mean_squared_error(actual[:, k], predicted[:, k]), rel=1e-12)
    names = ["label_max_rise_pct", "label_max_decline_pct", "label_end_change_pct"]
    assert [row["label"] for row in evaluation.label_metrics] == names


def test_figures_of_a_path_are_relative_to_the_last_close() -> None:
    evaluation, prepared, ensemble = fit_and_evaluate(PATH, DATASET)
    rows = prepared.rows("validation")
    predicted = np.exp(predict_part(prepared, ensemble, "validation", earlier="train").predicted)
    actual = np.stack([DATASET.candles[rows + step, 3] / DATASET.candles[rows, 3] for step in range(1, 101)], axis=1)
    expected = 100 * root_mean_squared_error(actual.ravel(), predicted.ravel())
    assert evaluation.metrics["rmse_pct"] == pytest.approx(expected, rel=1e-9)
    assert len(evaluation.label_metrics) == 100
    last = 100 * root_mean_squared_error(actual[:, 99], predicted[:, 99])
    assert evaluation.label_metrics[99]["rmse_pct"] == pytest.approx(last, rel=1e-9)
    quote = np.sqrt(np.mean(((predicted - actual) * DATASET.candles[rows, 3][:, None]) ** 2))
    assert evaluation.metrics["rmse_quote"] == pytest.approx(quote, rel=1e-9)


def test_the_baselines_of_a_summary_by_hand() -> None:
    prepared = prepare(SUMMARY, DATASET)
    train, rows = prepared.rows("train"), np.array([900, 901])
    labels = DATASET.labels_of("horizon_summary_30")
    mean = prepared.scorer.forecast("train_mean", rows, train)
    np.testing.assert_allclose(mean, [labels[train].mean(axis=0)] * 2, rtol=1e-12)
    # alpha = 2 / 7; a row knows the summaries that are over: those up to 30 rows before it.
    expected = labels[0]
    for t in range(1, 900 - 30 + 1):
        expected = expected + 2 / 7 * (labels[t] - expected)
    np.testing.assert_allclose(prepared.scorer.forecast("ewma", rows[:1], train)[0], expected, rtol=1e-9)


def test_the_baselines_of_a_path_by_hand() -> None:
    prepared = prepare(PATH, DATASET)
    train, rows = prepared.rows("train"), prepared.rows("validation")
    mean = prepared.labels[train].mean(axis=0)
    by_hand = {"last_close": np.ones(100), "train_mean": np.exp(mean)}
    actual = np.exp(prepared.labels[train])
    errors = {name: np.sqrt(np.mean((path - actual) ** 2)) for name, path in by_hand.items()}
    baseline = min(errors, key=errors.__getitem__)
    assert best_baseline(prepared) == baseline
    expected = 100 * np.sqrt(np.mean((by_hand[baseline] - np.exp(prepared.labels[rows])) ** 2))
    assert evaluate(PATH, DATASET).metrics["baseline_rmse_pct"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("case", [SUMMARY, PATH], ids=["summary", "path"])
def test_no_later_change_in_the_holdout_changes_any_figure(case: TestCase) -> None:
    prepared = prepare(case, DATASET)
    start = prepared.split.validation[1]
    features, labels, candles = DATASET.features.copy(), DATASET.labels.copy(), DATASET.candles.copy()
    # The label of the last validation row needs the candles up to row start - 1 + horizon.
    features[start + 1 :] *= 7
    labels[start:] *= -3
    candles[start + 1 :] *= 2
    changed = dataclasses.replace(DATASET, features=features, labels=labels, candles=candles)
    assert dataclasses.asdict(evaluate(case, changed)) == dataclasses.asdict(evaluate(case, DATASET))


def test_a_result_row_of_a_path_has_its_steps_as_a_table() -> None:
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC).replace(tzinfo=None)
    row = result_row(PATH, "d", RunInfo("w", noon, noon, 1.0, 1.0, "c"), evaluate(PATH, DATASET))
    assert len(json.loads(row["label_metrics"])) == 100
    assert row["log_loss"] is row["band_coverage"] is row["window_metrics"] is None
    assert row["skill"] == pytest.approx(1 - row["rmse_pct"] / row["baseline_rmse_pct"])
