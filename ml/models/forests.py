"""Forests: means of many decorrelated trees. One forest learns all labels at once; depth and leaf size bound it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from ml.models.base import Floats, Inputs, NothingChosen, flat
from ml.models.estimators import load_estimators, save_estimators
from ml.models.linear import standardised


class RandomForestModel(NothingChosen):
    """Each tree is fitted on a sample of the rows; each split is the best cut over a sample of the columns.

    Args:
        seed: of the samples.
        trees: number of trees.
        depth: most levels of a tree.
        minimal_rows_in_leaf: fewest rows of a leaf.
        columns: share of the columns that a split may choose from.
        rows: share of the rows that a tree is fitted on.

    Source: Breiman, Random Forests (2001).
    """

    def __init__(
        self,
        seed: int = 0,
        trees: int = 50,
        depth: int = 10,
        minimal_rows_in_leaf: int = 50,
        columns: float = 0.33,
        rows: float = 0.5,
    ) -> None:
        self.regressor: Any = RandomForestRegressor(
            n_estimators=trees,
            max_depth=depth,
            min_samples_leaf=minimal_rows_in_leaf,
            max_features=columns,
            max_samples=rows,
            random_state=seed,
            n_jobs=1,
        )

    def fit(self, inputs: Inputs, labels: Floats, weights: Floats | None = None) -> None:
        # A split weights labels by their variance; standardised ones have equal weight.
        targets, self.mean, self.scale = standardised(labels)
        # scikit-learn expects a single label without its second axis.
        self.regressor.fit(flat(inputs), targets[:, 0] if targets.shape[1] == 1 else targets, weights)

    def predict(self, inputs: Inputs) -> Floats:
        predicted: Floats = self.regressor.predict(flat(inputs)).reshape(len(inputs), -1) * self.scale + self.mean
        return predicted

    def save(self, folder: Path) -> None:
        save_estimators(folder / "forest.skops", [self.regressor, self.mean, self.scale])

    def load(self, folder: Path) -> None:
        self.regressor, self.mean, self.scale = load_estimators(folder / "forest.skops")


class ExtraTreesModel(RandomForestModel):
    """Each tree is fitted on all rows; each split is the best of random cuts: smoother than a random forest.

    Args:
        seed: of the cuts.
        trees: number of trees.
        depth: most levels of a tree.
        minimal_rows_in_leaf: fewest rows of a leaf.
        columns: share of the columns for which a split draws one random cut each.

    Source: Geurts, Ernst and Wehenkel, Extremely randomized trees (2006).
    """

    def __init__(
        self, seed: int = 0, trees: int = 50, depth: int = 10, minimal_rows_in_leaf: int = 50, columns: float = 0.7
    ) -> None:
        self.regressor = ExtraTreesRegressor(
            n_estimators=trees,
            max_depth=depth,
            min_samples_leaf=minimal_rows_in_leaf,
            max_features=columns,
            random_state=seed,
            n_jobs=1,
        )
