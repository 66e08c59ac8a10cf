"""Linear models against closed forms, and what each is for."""

from __future__ import annotations

import numpy as np
import pytest

from ml.models.linear import ElasticNetModel, HuberModel, RidgeModel


@pytest.mark.parametrize("alpha", [1.0, 300.0])
def test_ridge_solves_the_normal_equations_with_a_penalty_of_a_thousandth_a_row(alpha: float) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(400, 2, 3)).astype(np.float32)
    labels = random.normal(0, 0.01, (400, 3))
    model = RidgeModel(alpha=alpha)
    model.fit(inputs, labels)
    # (X'X + alpha n / 1000 I) w = X'y on centred data; the intercept is not punished.
    rows = inputs.reshape(400, 6).astype(np.float64)
    x, y = rows - rows.mean(axis=0), labels - labels.mean(axis=0)
    weights = np.linalg.solve(x.T @ x + alpha * 0.4 * np.eye(6), x.T @ y)
    np.testing.assert_allclose(model.predict(inputs), x @ weights + labels.mean(axis=0), atol=1e-14)


def test_elastic_net_shrinks_the_weights_of_uncorrelated_columns_by_a_soft_threshold() -> None:
    random = np.random.default_rng(0)
    # Columns of mean 0 and X'X = n I.
    drawn = random.normal(size=(400, 6))
    columns = np.linalg.qr(drawn - drawn.mean(axis=0))[0] * 20
    inputs = columns.reshape(400, 2, 3).astype(np.float32)
    labels = 0.01 * columns @ np.array([[1, 0.5, 0], [0, 0.1, 0], [0, 0, 1], [0, 0, 0.5], [0, 0, 0], [0, 0, 0]])
    labels += random.normal(0, 0.005, (400, 3))
    model = ElasticNetModel(alpha=0.2, l1_ratio=0.6)
    model.fit(inputs, labels)
    # Each correlation r becomes sign(r) max(|r| - 0.2 x 0.6, 0) / (1 + 0.2 x 0.4).
    correlation = columns.T @ (labels - labels.mean(axis=0)) / 400 / labels.std(axis=0)
    shrunk = np.sign(correlation) * np.maximum(np.abs(correlation) - 0.12, 0) / 1.08
    np.testing.assert_allclose(model.weights.T, shrunk * labels.std(axis=0), atol=1e-7)
    assert (model.weights == 0).sum() > 6
    np.testing.assert_allclose(model.predict(inputs), columns @ model.weights.T + labels.mean(axis=0), atol=1e-7)


def test_crashes_lead_ridge_astray_but_not_huber() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(1000, 1, 2)).astype(np.float32)
    labels = 0.01 * inputs[:, 0, :1].astype(np.float64) + random.normal(0, 0.001, (1000, 1))
    crashes = np.argsort(inputs[:, 0, 0])[-30:]
    labels[crashes] = -0.2
    weights = []
    for model in (RidgeModel(), HuberModel()):
        model.fit(inputs, labels)
        weights.append(model.weights[0, 0])
    assert weights[0] < 0.005
    assert weights[1] == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("model", [RidgeModel(), ElasticNetModel(), HuberModel()])
def test_a_label_that_never_moves_and_constant_or_equal_columns_are_survived(
    model: RidgeModel | ElasticNetModel | HuberModel,
) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(300, 1, 4)).astype(np.float32)
    inputs[:, :, 1], inputs[:, :, 2] = 0, inputs[:, :, 0]
    labels = np.column_stack([0.01 * inputs[:, 0, 0], np.full(300, -0.01)]).astype(np.float64)
    model.fit(inputs, labels + random.normal(0, [0.001, 0], (300, 2)))
    np.testing.assert_allclose(model.predict(inputs)[:, 0], labels[:, 0], atol=0.002)
    np.testing.assert_allclose(model.predict(inputs)[:, 1], -0.01, atol=1e-12)
