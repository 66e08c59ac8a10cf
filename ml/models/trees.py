"""Boosted trees: one booster per label, single-threaded, because a worker has one core."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from ml.data.targets import LABELS
from ml.models.base import Floats, Inputs, NothingChosen, flat
from ml.models.estimators import load_estimators, save_estimators
from ml.models.parameters import Scalar


class LightGBMModel(NothingChosen):
    """LightGBM regression. Source: Ke et al., LightGBM (2017).

    Args:
        seed: of the bagging of rows and columns.
        trees: boosting rounds.
        learning_rate: shrinkage of each tree.
        leaves: leaves of a tree.
        minimal_rows_in_leaf: fewest rows of a leaf.
    """

    def __init__(
        self,
        seed: int = 0,
        trees: int = 150,
        learning_rate: float = 0.05,
        leaves: int = 15,
        minimal_rows_in_leaf: int = 100,
    ) -> None:
        self.rounds = trees
        self.settings: dict[str, Scalar] = {
            "objective": "regression",
            "learning_rate": learning_rate,
            "num_leaves": leaves,
            "min_data_in_leaf": minimal_rows_in_leaf,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "feature_fraction": 0.8,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbose": -1,
        }
        self.boosters: list[lightgbm.Booster] = []

    def fit(self, inputs: Inputs, labels: Floats, weights: Floats | None = None) -> None:
        rows = flat(inputs)
        self.boosters = [
            lightgbm.train(self.settings, lightgbm.Dataset(rows, labels[:, k], weight=weights), self.rounds)
            for k in range(labels.shape[1])
        ]

    def predict(self, inputs: Inputs) -> Floats:
        rows = flat(inputs)
        return np.stack([booster.predict(rows, num_threads=1) for booster in self.boosters], axis=1)

    def contributions(self, inputs: Inputs) -> Floats:
        """(n, k, lags x f + 1): Shapley values of the inputs, and the mean over the leaves as the base.

        Source: Lundberg et al., Consistent individualized feature attribution for tree ensembles (2018).
        """
        rows = flat(inputs)
        found = [booster.predict(rows, num_threads=1, pred_contrib=True) for booster in self.boosters]
        return np.stack(found, axis=1)

    def save(self, folder: Path) -> None:
        for k, booster in enumerate(self.boosters):
            booster.save_model(folder / f"label-{k:03}.txt")

    def load(self, folder: Path) -> None:
        files = sorted(folder.glob("label-*.txt"))
        # Earlier versions had only the labels of a candle, and named the files after them.
        files = files or [folder / f"{label}.txt" for label in LABELS]
        self.boosters = [lightgbm.Booster(model_file=file) for file in files]


class HistGradientBoostingModel(NothingChosen):
    """scikit-learn's histogram gradient boosting, without its random validation split (rows are a time series).

    Args:
        seed: of the binning's subsample.
        trees: boosting rounds.
        learning_rate: shrinkage of each tree.
        leaves: leaves of a tree.
        l2: penalty on the leaves' values.
    """

    def __init__(
        self, seed: int = 0, trees: int = 100, learning_rate: float = 0.06, leaves: int = 15, l2: float = 1.0
    ) -> None:
        self.settings: dict[str, Scalar] = {
            "max_iter": trees,
            "learning_rate": learning_rate,
            "max_leaf_nodes": leaves,
            "l2_regularization": l2,
            "early_stopping": False,
            "random_state": seed,
        }
        self.regressors: list[HistGradientBoostingRegressor] = []

    def fit(self, inputs: Inputs, labels: Floats, weights: Floats | None = None) -> None:
        rows = flat(inputs)
        self.regressors = [
            HistGradientBoostingRegressor(**self.settings).fit(rows, labels[:, k], weights)
            for k in range(labels.shape[1])
        ]

    def predict(self, inputs: Inputs) -> Floats:
        rows = flat(inputs)
        return np.stack([regressor.predict(rows) for regressor in self.regressors], axis=1)

    def save(self, folder: Path) -> None:
        save_estimators(folder / "regressors.skops", self.regressors)

    def load(self, folder: Path) -> None:
        self.regressors = load_estimators(folder / "regressors.skops")
