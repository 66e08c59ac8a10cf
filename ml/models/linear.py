"""Linear models: one weight per column of the window and label; they differ in the loss and the penalty."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
from sklearn.linear_model import ElasticNet, HuberRegressor, Ridge

from ml.data.stored import arrays
from ml.models.base import Columns, Floats, Inputs, Model, NothingChosen, flat
from ml.models.gram import Gram

#: Ridge models with a smaller alpha are fitted alone: two ways to solve nearly singular equations differ by more than
#: 1e-9.
SMALLEST_IN_GROUP = 1e-4
#: Models that predict in one product: more take more memory and are no faster.
AT_ONCE = 32


def standardised(labels: Floats) -> tuple[Floats, Floats, Floats]:
    """Labels (n, k) with mean 0 and deviation 1, their mean (k,) and scale (k,); a constant label has scale 1."""
    varies = labels.max(axis=0) > labels.min(axis=0)
    mean, scale = labels.mean(axis=0), np.where(varies, labels.std(axis=0), 1.0)
    return (labels - mean) / scale, mean, scale


def window_places(lags: int, width: int, columns: Columns) -> list[int]:
    """Where some columns of windows (n, lags, width) are in their flattened rows (n, lags x width); None for all."""
    chosen = range(width) if columns is None else columns
    return [lag * width + column for lag in range(lags) for column in chosen]


class LinearModel(NothingChosen, ABC):
    """Weights (k, lags x f) and intercepts (k,), saved as plain arrays under `file`."""

    file: ClassVar[str]

    def __init__(self) -> None:
        self.weights: Floats = np.empty((0, 0))
        self.intercept: Floats = np.empty(0)

    @abstractmethod
    def _solve(self, rows: Floats, labels: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
        """Weights and intercepts for rows (n, lags x f), labels (n, k) and weights of the rows (n,)."""

    def fit(self, inputs: Inputs, labels: Floats, weights: Floats | None = None) -> None:
        self.weights, self.intercept = self._solve(flat(inputs).astype(np.float64), labels, weights)

    def predict(self, inputs: Inputs) -> Floats:
        predicted: Floats = flat(inputs).astype(np.float64) @ self.weights.T + self.intercept
        return predicted

    def contributions(self, inputs: Inputs) -> Floats:
        """(n, k, lags x f + 1): weight times input, and the intercept as the base."""
        parts = flat(inputs).astype(np.float64)[:, None, :] * self.weights
        return np.concatenate([parts, np.tile(self.intercept[:, None], (len(inputs), 1, 1))], axis=2)

    def save(self, folder: Path) -> None:
        np.savez(folder / self.file, weights=self.weights, intercept=self.intercept)

    def load(self, folder: Path) -> None:
        stored = arrays((folder / self.file).read_bytes(), self.file, ("weights", "intercept"), "")
        self.weights, self.intercept = stored["weights"], stored["intercept"]


class RidgeModel(LinearModel):
    """Least squares with an L2 penalty on the weights of standardised inputs.

    Args:
        alpha: weight of the penalty, multiplied by 1e-3 and the number of train rows, so that it suits tables of any
            length.

    Source: Hoerl and Kennard, Ridge Regression (1970).
    """

    file = "ridge.npz"
    largest_group = 2000

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def _solve(self, rows: Floats, labels: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
        ridge = Ridge(alpha=self._penalty(len(rows))).fit(rows, labels, weights)
        # scikit-learn returns a single label without its second axis.
        return np.atleast_2d(ridge.coef_), np.atleast_1d(ridge.intercept_)

    def _penalty(self, rows: int) -> float:
        return self.alpha * 1e-3 * rows

    def group_key(self) -> Hashable:
        """One for all whose equations are solved to the digits of a separate fit."""
        return "gram" if self.alpha >= SMALLEST_IN_GROUP else None

    def fit_group(
        self,
        models: Sequence[Model],
        columns: Sequence[Columns],
        inputs: Inputs,
        labels: Floats,
        weights: Floats | None = None,
    ) -> None:
        """Fit ridge models, including itself, by one Gram matrix; a single one as always."""
        if len(models) == 1:
            self.fit(inputs if columns[0] is None else inputs[:, :, columns[0]], labels, weights)
            return
        self.fit_sums(models, columns, self.sums(inputs, labels, weights))

    def sums(self, inputs: Inputs, labels: Floats, weights: Floats | None = None) -> Gram:
        return Gram.of(flat(inputs), labels, weights, inputs.shape[1])

    def fit_sums(self, models: Sequence[Model], columns: Sequence[Columns], sums: Gram) -> None:
        width = len(sums.means) // sums.lags
        for model, seen in zip(cast(Sequence[RidgeModel], models), columns, strict=True):
            places = window_places(sums.lags, width, seen)
            model.weights, model.intercept = sums.ridge(places, model._penalty(sums.rows))

    def predict_group(self, models: Sequence[Model], columns: Sequence[Columns], inputs: Inputs) -> Iterator[Floats]:
        """Predictions of ridge models, by products of the table with the weights of many of them."""
        rows = flat(inputs).astype(np.float64)
        members = list(zip(cast(Sequence[RidgeModel], models), columns, strict=True))
        for start in range(0, len(members), AT_ONCE):
            block = members[start : start + AT_ONCE]
            k = len(self.intercept)
            weights = np.zeros((rows.shape[1], len(block) * k))
            for number, (model, seen) in enumerate(block):
                weights[window_places(inputs.shape[1], inputs.shape[2], seen), number * k : (number + 1) * k] = (
                    model.weights.T
                )
            predicted = rows @ weights
            for number, (model, _) in enumerate(block):
                yield predicted[:, number * k : (number + 1) * k] + model.intercept


class ElasticNetModel(LinearModel):
    """Least squares with an L1 and an L2 penalty: weak weights become exactly 0, for each label separately.

    Args:
        alpha: weight of the penalty on standardised labels: a column whose correlation with the residual of the others
            is below alpha x l1_ratio gets no weight.
        l1_ratio: share of the L1 penalty.

    Source: Zou and Hastie, Regularization and variable selection via the elastic net (2005).
    """

    file = "elastic_net.npz"

    def __init__(self, alpha: float = 0.01, l1_ratio: float = 0.5) -> None:
        super().__init__()
        self.alpha = alpha
        self.l1_ratio = l1_ratio

    def _solve(self, rows: Floats, labels: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
        targets, mean, scale = standardised(labels)
        # With a precomputed Gram matrix the time of a coordinate descent round does not grow with the rows.
        net = ElasticNet(alpha=self.alpha, l1_ratio=self.l1_ratio, precompute=True).fit(rows, targets, weights)
        return np.atleast_2d(net.coef_) * scale[:, None], np.atleast_1d(net.intercept_) * scale + mean


class HuberModel(LinearModel):
    """Huber regression: squared loss for small errors, linear for large ones, so that crashes do not dominate.

    Args:
        epsilon: threshold in deviations above which the loss is linear; 1.35 is 95 % efficient on normal errors.
        alpha: weight of the L2 penalty, multiplied by 1e-3 and the number of train rows.

    Source: Huber, Robust Estimation of a Location Parameter (1964).
    """

    file = "huber.npz"

    def __init__(self, epsilon: float = 1.35, alpha: float = 1.0) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.alpha = alpha

    def _solve(self, rows: Floats, labels: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
        targets, mean, scale = standardised(labels)
        coefficients = np.zeros((labels.shape[1], rows.shape[1]))
        intercept = mean.copy()
        # A constant label has no deviation to scale errors by; its mean is the forecast.
        for k in np.flatnonzero(targets.any(axis=0)):
            huber = HuberRegressor(epsilon=self.epsilon, alpha=self.alpha * 1e-3 * len(rows), max_iter=300)
            huber.fit(rows, targets[:, k], weights)
            coefficients[k], intercept[k] = huber.coef_ * scale[k], huber.intercept_ * scale[k] + mean[k]
        return coefficients, intercept
