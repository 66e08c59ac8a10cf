"""Calibration: on rows that the classifier did not see, and true in the long run."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from ml.models.calibration import TailCalibrated


def coin(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Class 1 with the probability 1 / (1 + exp(-2 x))."""
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    return x[:, None], (random.random(rows) < 1 / (1 + np.exp(-2 * x))).astype(np.int64)


def test_the_classifier_sees_the_first_four_fifths_and_nothing_of_the_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    original = LinearSVC.fit

    def watched(self: LinearSVC, x: np.ndarray, y: np.ndarray) -> LinearSVC:
        seen.append(x)
        fitted: LinearSVC = original(self, x, y)
        return fitted

    monkeypatch.setattr(LinearSVC, "fit", watched)
    rows, column = coin(500)
    TailCalibrated(LinearSVC(dual=False)).fit(rows, column)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], rows[:400])


def test_probabilities_are_those_that_made_the_classes() -> None:
    rows, column = coin(20_000)
    model = TailCalibrated(LinearSVC(dual=False)).fit(rows, column)
    fresh = np.array([[-1.0], [0.0], [0.5], [1.5]])
    # 1 / (1 + exp(-2 x)); 4,000 rows settle it to about 0.02.
    np.testing.assert_allclose(model.predict_proba(fresh)[:, 1], [0.119, 0.5, 0.731, 0.953], atol=0.03)


def test_a_class_first_met_in_the_tail_was_not_learnt() -> None:
    rows, column = coin(500)
    column[450:460] = 2
    model = TailCalibrated(LinearSVC(dual=False)).fit(rows, column)
    assert model.classes_.tolist() == [0, 1]
    probabilities = model.predict_proba(rows)
    assert probabilities[:, 1].std() > 0.2
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
