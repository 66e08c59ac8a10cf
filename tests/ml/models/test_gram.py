"""Gram matrices: every subset of columns, alpha, weight and target has the weights that scikit-learn finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.models import gram
from ml.models.base import Columns, Floats, fit_many
from ml.models.gram import Gram
from ml.models.linear import SMALLEST_IN_GROUP, RidgeModel

Table = npt.NDArray[np.float32]


def drawn(seed: int, rows: int = 120, width: int = 5, lags: int = 1) -> tuple[Table, Floats, Floats]:
    """Windows with a constant column and two equal ones, labels of which the last is constant, and weights."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(rows, lags, width)).astype(np.float32)
    inputs[:, :, 1], inputs[:, :, 2] = 0.3, inputs[:, :, 0]
    labels = random.normal(0.001, 0.01, (rows, 3))
    labels[:, 2] = -0.01
    weights = random.uniform(0.1, 5, rows)
    return inputs, labels, weights / weights.mean()


def assert_as_alone(
    alphas: list[float], columns: list[Columns], inputs: Table, labels: Floats, weights: Floats | None
) -> None:
    models = [RidgeModel(alpha) for alpha in alphas]
    fit_many(models, inputs, labels, columns, weights)
    together: list[Any] = list(models[0].predict_group(models, columns, inputs))
    for model, seen, predicted in zip(models, columns, together, strict=True):
        own = inputs if seen is None else inputs[:, :, list(seen)]
        alone = RidgeModel(model.alpha)
        alone.fit(own, labels, weights)
        expected = alone.predict(own)
        np.testing.assert_allclose(model.predict(own), expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(predicted, expected, rtol=1e-9, atol=1e-12)


@given(st.data())
def test_models_of_a_group_equal_those_fitted_alone(data: st.DataObject) -> None:
    lags = data.draw(st.integers(1, 3))
    inputs, labels, weights = drawn(data.draw(st.integers(0, 1000)), lags=lags)
    subset = st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True).map(tuple)
    columns = data.draw(st.lists(st.none() | subset, min_size=2, max_size=4))
    alphas = data.draw(st.lists(st.sampled_from([SMALLEST_IN_GROUP, 1.0, 300.0]), min_size=4, max_size=4))
    width = data.draw(st.integers(1, 3))
    chosen = weights if data.draw(st.booleans()) else None
    assert_as_alone(alphas[: len(columns)], columns, inputs, labels[:, :width], chosen)


def test_more_models_than_predict_in_one_product_equal_those_fitted_alone() -> None:
    inputs, labels, _ = drawn(1)
    columns: list[Columns] = [(number % 5,) for number in range(70)]
    assert_as_alone([1.0 + number for number in range(70)], columns, inputs, labels, None)


def test_rows_are_summed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, labels, weights = drawn(2)
    whole = Gram.of(inputs[:, 0], labels, weights)
    monkeypatch.setattr(gram, "BLOCK", 50)
    blocks = Gram.of(inputs[:, 0], labels, weights)
    np.testing.assert_allclose(blocks.products, whole.products, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(blocks.label_products, whole.label_products, rtol=1e-12, atol=1e-12)


def test_nearly_singular_equations_are_solved_alone() -> None:
    inputs, labels, _ = drawn(3)
    assert RidgeModel(SMALLEST_IN_GROUP / 2).group_key() is None
    assert_as_alone([0.0, SMALLEST_IN_GROUP / 2], [(3, 4), None], inputs, labels, None)
    with pytest.raises(np.linalg.LinAlgError, match="collinear"):
        Gram.of(inputs[:, 0], labels).ridge([0, 1, 2], 0.0)


def test_a_gram_matrix_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, labels, _ = drawn(4)
    monkeypatch.setattr(RidgeModel, "_solve", None)
    models = [RidgeModel(1.0), RidgeModel(2.0)]
    fit_many(models, inputs, labels)
    assert models[0].weights.shape == (3, 5)
