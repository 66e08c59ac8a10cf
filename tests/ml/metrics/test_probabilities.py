"""Classes and events: log loss ranks, and a model that says nothing else than hold has the skill of nobody."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn import metrics as sk

from ml.errors import CaseError, PredictionError
from ml.evaluation.evaluate import evaluate, fit_and_evaluate
from ml.evaluation.preparation import prepare
from tests.classifying import AlwaysModel, LogisticModel, registered
from tests.predicting import predict_part
from tests.synthetic import make_case, make_dataset, with_all_kinds

#: Return t + 1 follows return t, so that something can be known.
DATASET = with_all_kinds(make_dataset(2500, edge=0.5))
TRADE, EVENTS = {"target": "trade"}, {"target": "highlow2"}


def test_figures_of_classes_equal_scikit_learn() -> None:
    with registered("logistic_test", LogisticModel) as model:
        evaluation, prepared, ensemble = fit_and_evaluate(make_case(model=model, **TRADE), DATASET)
        rows = prepared.rows("validation")
        predicted = predict_part(prepared, ensemble, "validation", earlier="train").predicted
    actual, metrics = prepared.labels[rows, 0], evaluation.metrics
    train = prepared.labels[prepared.rows("train"), 0]
    frequencies = [np.mean(train == one) for one in (-1, 0, 1)]
    # The noise of this market clusters, so a baseline that follows the latest trades was best on the train rows.
    assert evaluation.baseline == "ewma_frequencies"
    assert metrics["log_loss"] == pytest.approx(sk.log_loss(actual, predicted, labels=[-1, 0, 1]), rel=1e-12)
    came, smooth = prepared.labels == [-1, 0, 1], np.zeros((len(DATASET), 3))
    for t in range(1, len(DATASET)):
        # Row t knows the class of row t - 1, whose candle is that of row t itself; alpha = 2 / 25.
        smooth[t] = came[0] if t == 1 else smooth[t - 1] + 2 / 25 * (came[t - 1] - smooth[t - 1])
    baseline = sk.log_loss(actual, (smooth[rows] + frequencies) / 2, labels=[-1, 0, 1])
    assert metrics["baseline_log_loss"] == pytest.approx(baseline, rel=1e-12)
    assert metrics["skill"] == pytest.approx(1 - metrics["log_loss"] / baseline, rel=1e-12)
    assert metrics["skill"] > 0.02
    assert metrics["auc"] == pytest.approx(sk.roc_auc_score(actual, predicted, multi_class="ovr"), rel=1e-12)
    said = np.array([-1, 0, 1])[predicted.argmax(axis=1)]
    assert metrics["percent_correct"] == pytest.approx(100 * sk.accuracy_score(actual, said), rel=1e-12)
    assert metrics["f1"] == pytest.approx(sk.f1_score(actual, said, average="macro", labels=[-1, 0, 1]), rel=1e-12)
    assert [row["label"] for row in evaluation.label_metrics] == ["sell", "hold", "buy"]
    assert sum(row["n"] for row in evaluation.label_metrics) == len(rows)


def test_a_loss_per_day_is_the_mean_log_loss_of_its_rows() -> None:
    with registered("logistic_test", LogisticModel) as model:
        evaluation, prepared, _ = fit_and_evaluate(make_case(model=model, **TRADE), DATASET)
    rows = prepared.rows("validation")
    candles_a_day = np.bincount((DATASET.open_time_ms[rows] + 3_600_000) // 86_400_000 - evaluation.days[0])
    assert np.average(evaluation.losses, weights=candles_a_day) == pytest.approx(evaluation.metrics["log_loss"])
    baseline = np.average(evaluation.baseline_losses, weights=candles_a_day)
    assert baseline == pytest.approx(evaluation.metrics["baseline_log_loss"])


def test_always_hold_shows_the_share_of_hold_and_skill_0() -> None:
    # A market without calm and wild times, in which nothing is better than the frequencies of the train rows.
    dataset = with_all_kinds(make_dataset(2500, clustered=False), fees=0.01)
    with registered("always", AlwaysModel) as model:
        prepared = prepare(make_case(model=model, **TRADE), dataset)
    train, evaluated = (prepared.labels[prepared.rows(part), 0] for part in ("train", "validation"))
    frequencies = [float(np.mean(train == one)) for one in (-1, 0, 1)]
    assert max(frequencies) == frequencies[1]
    for said in (frequencies, [0.0, 1.0, 0.0]):
        with registered("always", AlwaysModel, said) as model:
            evaluation = evaluate(make_case(model=model, **TRADE), dataset)
        metrics = evaluation.metrics
        assert metrics["percent_correct"] == metrics["baseline_percent_correct"] == 100 * np.mean(evaluated == 0)
        assert metrics["skill_correct"] == 0
        assert evaluation.baseline == "train_frequencies"
        hold = evaluation.label_metrics[1]
        assert (hold["recall"], hold["n_predicted"], hold["auc"]) == (1, len(evaluated), 0.5)
        # Who says what the frequencies say has no skill; to be certain of it is worse than that.
        assert metrics["skill"] == pytest.approx(0, abs=1e-12) if said is frequencies else metrics["skill"] < -1


def test_figures_of_events_are_means_over_the_events() -> None:
    with registered("logistic_test", LogisticModel) as model:
        evaluation, prepared, ensemble = fit_and_evaluate(make_case(model=model, **EVENTS), DATASET)
        rows = prepared.rows("validation")
        predicted = predict_part(prepared, ensemble, "validation", earlier="train").predicted
    actual, metrics = prepared.labels[rows], evaluation.metrics
    losses = [sk.log_loss(actual[:, k], predicted[:, k]) for k in (0, 1)]
    assert metrics["log_loss"] == pytest.approx(np.mean(losses), rel=1e-12)
    for name, score in (("auc", sk.roc_auc_score), ("average_precision", sk.average_precision_score)):
        expected = [score(actual[:, k], predicted[:, k]) for k in (0, 1)]
        assert [row[name] for row in evaluation.label_metrics] == pytest.approx(expected, rel=1e-12)
        assert metrics[name] == pytest.approx(np.mean(expected), rel=1e-12)
    assert metrics["percent_correct"] == pytest.approx(100 * np.mean((predicted > 0.5) == actual), rel=1e-12)
    frequency = prepared.labels[prepared.rows("train")].mean(axis=0)
    baseline = [sk.log_loss(actual[:, k], np.full(len(rows), frequency[k])) for k in (0, 1)]
    assert metrics["baseline_log_loss"] == pytest.approx(np.mean(baseline), rel=1e-12)
    majority = 100 * np.mean((frequency > 0.5) == actual)
    assert metrics["baseline_percent_correct"] == pytest.approx(majority, rel=1e-12)
    assert [row["label"] for row in evaluation.label_metrics] == ["label_high_first", "label_low_first"]


def test_the_mean_of_the_seeds_is_what_a_row_says() -> None:
    with registered("logistic_test", LogisticModel) as model:
        one = evaluate(make_case(model=model, **TRADE), DATASET)
        three = evaluate(make_case(model=model, seeds=(0, 1, 2), **TRADE), DATASET)
    assert len(three.per_seed) == 3
    assert three.metrics["log_loss"] == pytest.approx(one.metrics["log_loss"], rel=1e-12)
    assert three.label_metrics[1]["auc"] == pytest.approx(one.label_metrics[1]["auc"], rel=1e-12)


def test_a_class_that_the_target_does_not_list_is_named() -> None:
    labels = DATASET.labels.copy()
    labels[5, -1] = 2
    with (
        registered("logistic_test", LogisticModel) as model,
        pytest.raises(CaseError, match="has the class 2 in label_trade"),
    ):
        evaluate(make_case(model=model, **TRADE), dataclasses.replace(DATASET, labels=labels))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([0.5, 0.2, 0.2], "do not add up to 1"),
        ([1.5, -0.5, 0.0], "are outside 0..1"),
        ([float("nan"), 0.5, 0.5], "predicted NaN"),
        ([0.5, 0.5], "a column for each of 3 classes"),
    ],
)
def test_what_is_no_probability_is_refused(said: list[float], message: str) -> None:
    with registered("always", AlwaysModel, said) as model, pytest.raises(PredictionError, match=message):
        evaluate(make_case(model=model, **TRADE), DATASET)


def test_a_class_that_was_not_seen_in_the_fit_has_probability_0() -> None:
    labels = DATASET.labels.copy()
    start = prepare(make_case(), DATASET).split.train[1]
    trade = labels[:start, -1]
    trade[trade == -1] = 0
    with registered("logistic_test", LogisticModel) as model:
        evaluation, prepared, ensemble = fit_and_evaluate(
            make_case(model=model, **TRADE), dataclasses.replace(DATASET, labels=labels)
        )
        predicted = ensemble.predict(prepared.windows_at(prepared.rows("validation")))
    assert not predicted[:, 0].any()
    np.testing.assert_allclose(predicted.sum(axis=1), 1)
    assert np.isfinite(evaluation.metrics["log_loss"])
