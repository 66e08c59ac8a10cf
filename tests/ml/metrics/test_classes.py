"""Metrics of probabilities against scikit-learn and hand values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from ml.metrics.classes import label_table, log_losses, percent_correct

RANDOM = np.random.default_rng(0)
CLASSES = RANDOM.integers(0, 3, 400)
HAPPENED = CLASSES[:, None] == np.arange(3)
PROBABILITIES = RANDOM.dirichlet([1, 1, 1], 400) * 0.7 + HAPPENED * 0.3
DECIDED = np.arange(3) == PROBABILITIES.argmax(axis=1)[:, None]


def test_log_loss_equals_scikit_learn_for_classes_and_for_events() -> None:
    losses = log_losses(PROBABILITIES, HAPPENED, exclusive=True)
    assert losses.shape == (400,)
    assert losses.mean() == pytest.approx(sk.log_loss(CLASSES, PROBABILITIES, labels=[0, 1, 2]), rel=1e-12)
    events = np.mean([sk.log_loss(HAPPENED[:, k], PROBABILITIES[:, k]) for k in range(3)])
    assert log_losses(PROBABILITIES, HAPPENED).mean() == pytest.approx(events, rel=1e-12)


def test_certainty_that_is_wrong_costs_much_but_not_everything() -> None:
    # -log of the smallest believed probability, 2.2e-16.
    loss = log_losses(np.array([[1.0, 0.0]]), np.array([[False, True]]), exclusive=True)
    assert loss == pytest.approx([52 * math.log(2)])


def test_percent_correct_counts_rows_of_classes_and_events_one_by_one() -> None:
    expected = 100 * sk.accuracy_score(CLASSES, PROBABILITIES.argmax(axis=1))
    assert percent_correct(DECIDED, HAPPENED, exclusive=True) == pytest.approx(expected, rel=1e-12)
    # Two rows of two events, three of the four right.
    decided, happened = np.array([[True, False], [True, True]]), np.array([[True, False], [False, True]])
    assert percent_correct(decided, happened) == 75


def test_the_table_of_labels_equals_scikit_learn() -> None:
    table = label_table(("sell", "hold", "buy"), PROBABILITIES, DECIDED, HAPPENED)
    said = PROBABILITIES.argmax(axis=1)
    precision, recall, f1, support = sk.precision_recall_fscore_support(CLASSES, said)
    assert [row["label"] for row in table] == ["sell", "hold", "buy"]
    for k, row in enumerate(table):
        assert row["n"] == support[k]
        assert row["n_predicted"] == np.count_nonzero(said == k)
        assert (row["precision"], row["recall"], row["f1"]) == pytest.approx((precision[k], recall[k], f1[k]))
        assert row["auc"] == pytest.approx(sk.roc_auc_score(HAPPENED[:, k], PROBABILITIES[:, k]))
        assert row["average_precision"] == pytest.approx(
            sk.average_precision_score(HAPPENED[:, k], PROBABILITIES[:, k])
        )
    assert np.mean([row["auc"] for row in table]) == pytest.approx(
        sk.roc_auc_score(CLASSES, PROBABILITIES / PROBABILITIES.sum(axis=1, keepdims=True), multi_class="ovr"), abs=1e-9
    )
    assert np.mean([row["f1"] for row in table]) == pytest.approx(sk.f1_score(CLASSES, said, average="macro"))


def test_a_class_that_never_came_has_no_auc() -> None:
    never = HAPPENED & np.array([True, True, False])
    row = label_table(("a", "b", "c"), PROBABILITIES, DECIDED, never)[2]
    assert (row["n"], row["recall"], row["f1"]) == (0, 0, 0)
    assert math.isnan(row["auc"]) and math.isnan(row["average_precision"])
