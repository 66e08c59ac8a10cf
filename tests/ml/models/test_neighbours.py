"""Nearest neighbours against distances by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ml.models.neighbours import KNearestClassifier, KNearestModel


@pytest.mark.parametrize("reference_rows", [1000, 150])
def test_the_forecast_is_the_mean_label_of_the_nearest_remembered_rows(reference_rows: int) -> None:
    random = np.random.default_rng(0)
    inputs, fresh = (random.normal(size=(rows, 2, 3)).astype(np.float32) for rows in (300, 20))
    labels = random.normal(0, 0.01, (300, 5))
    model = KNearestModel(neighbours=7, reference_rows=reference_rows)
    model.fit(inputs, labels)
    # 150 of 300 rows, the first and the last among them, are 299 / 149 rows apart.
    places = np.arange(300) if reference_rows > 300 else np.round(np.arange(150) * 299 / 149).astype(int)
    distances = np.square(inputs[places][None] - fresh[:, None]).sum(axis=(2, 3))
    expected = labels[places][np.argsort(distances, axis=1)[:, :7]].mean(axis=1)
    np.testing.assert_allclose(model.predict(fresh), expected, atol=1e-15)


def test_fewer_rows_than_neighbours_are_all_taken() -> None:
    model = KNearestModel(neighbours=200)
    model.fit(np.zeros((4, 1, 1), np.float32), np.array([[1.0], [2], [3], [6]]))
    np.testing.assert_array_equal(model.predict(np.zeros((1, 1, 1), np.float32)), [[3]])
    classifier = KNearestClassifier(neighbours=200)
    classifier.fit(np.zeros((4, 1, 1), np.float32), np.array([[1.0], [2], [1], [1]]))
    np.testing.assert_array_equal(classifier.predict(np.zeros((1, 1, 1), np.float32)), [[0.75, 0.25]])


def test_the_classifier_remembers_rows_of_all_times_and_keeps_the_column_of_a_forgotten_class() -> None:
    inputs = np.arange(9, dtype=np.float32).reshape(9, 1, 1)
    classes = np.array([[0.0, 2, 2, 2, 1, 1, 1, 1, 1]]).T
    model = KNearestClassifier(neighbours=1, reference_rows=3)
    model.fit(inputs, classes)
    # Rows 0, 4 and 8 are remembered, so class 2 is not: 5 is nearest to 4, and 1 to 0.
    np.testing.assert_array_equal(model.predict(inputs[[5, 1]]), [[0, 1, 0], [1, 0, 0]])
