"""Nearest neighbours: the outcomes of the most similar train rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from ml.data.stored import arrays
from ml.models.base import Floats, Inputs, NothingChosen, flat
from ml.models.classifiers import ScikitClassifier, whole_numbers

#: Most reference rows. Forecast time grows with their number, since each is compared; a search tree would save nothing
#: in more than about ten columns.
REFERENCE_ROWS = 20_000


def remembered(rows: int, at_most: int) -> np.ndarray:
    """Positions of the reference rows: all rows, or `at_most` spread evenly, so that every regime keeps its share.

    >>> remembered(7, 3)
    array([0, 3, 6])
    """
    return np.linspace(0, rows - 1, min(rows, at_most)).round().astype(np.int64)


class KNearestModel(NothingChosen):
    """The mean label of the nearest rows by Euclidean distance of standardised inputs.

    Args:
        neighbours: number of nearest rows.
        reference_rows: most reference rows, spread evenly over the train rows.

    Source: Cover and Hart, Nearest neighbor pattern classification (1967).
    """

    def __init__(self, neighbours: int = 200, reference_rows: int = REFERENCE_ROWS) -> None:
        self.neighbours = neighbours
        self.reference_rows = reference_rows

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        places = remembered(len(inputs), self.reference_rows)
        self._remember(flat(inputs)[places], labels[places])

    def _remember(self, rows: Inputs, labels: Floats) -> None:
        self.rows, self.labels = rows, labels
        self.regressor = KNeighborsRegressor(min(self.neighbours, len(rows)), algorithm="brute", n_jobs=1)
        self.regressor.fit(rows, labels)

    def predict(self, inputs: Inputs) -> Floats:
        predicted: Floats = self.regressor.predict(flat(inputs))
        return predicted

    def save(self, folder: Path) -> None:
        np.savez(folder / "neighbours.npz", rows=self.rows, labels=self.labels)

    def load(self, folder: Path) -> None:
        stored = arrays((folder / "neighbours.npz").read_bytes(), "neighbours.npz", ("rows", "labels"), "")
        self._remember(stored["rows"], stored["labels"])


class KNearestClassifier(ScikitClassifier):
    """The shares of the classes among the nearest rows.

    Args:
        neighbours: number of nearest rows.
        reference_rows: most reference rows, spread evenly over the train rows.

    Source: Cover and Hart, Nearest neighbor pattern classification (1967).
    """

    def __init__(self, neighbours: int = 100, reference_rows: int = REFERENCE_ROWS) -> None:
        self.neighbours = neighbours
        self.reference_rows = reference_rows
        super().__init__(self._unfitted, np.float32)

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        # A class so rare that none of its rows is a reference row still has its column.
        self.classes = np.union1d(self.classes, whole_numbers(labels))
        places = remembered(len(inputs), self.reference_rows)
        self.neighbours = min(self.neighbours, len(places))
        super().fit(inputs[places], labels[places])

    def _unfitted(self) -> KNeighborsClassifier:
        return KNeighborsClassifier(self.neighbours, algorithm="brute", n_jobs=1)
