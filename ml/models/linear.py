"""Linear models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge

from ml.models.base import Floats, Inputs, Model, flat


class RidgeModel:
    """Least squares with an L2 penalty on the weights of standardised inputs.

    Args:
        alpha: weight of the penalty, per row of training data times 1e-3, so that one value suits all lengths.

    Source: Hoerl and Kennard, Ridge Regression (1970).
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha
        self.weights: Floats = np.empty((0, 0))
        self.intercept: Floats = np.empty(0)

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        ridge = Ridge(alpha=self.alpha * 1e-3 * len(inputs))
        ridge.fit(flat(inputs).astype(np.float64), labels)
        self.weights, self.intercept = ridge.coef_, ridge.intercept_

    def refit_like(self, judged: Model) -> None:
        """Nothing was chosen while fitting."""

    def predict(self, inputs: Inputs) -> Floats:
        predicted: Floats = flat(inputs).astype(np.float64) @ self.weights.T + self.intercept
        return predicted

    def save(self, folder: Path) -> None:
        np.savez(folder / "ridge.npz", weights=self.weights, intercept=self.intercept)

    def load(self, folder: Path) -> None:
        with np.load(folder / "ridge.npz", allow_pickle=False) as stored:
            self.weights, self.intercept = stored["weights"], stored["intercept"]
