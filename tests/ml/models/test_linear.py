"""Ridge against its closed form."""

from __future__ import annotations

import numpy as np
import pytest

from ml.models.linear import RidgeModel


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
