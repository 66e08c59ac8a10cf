"""Classifiers with scikit-learn's interface as models of the registry.

The width of the labels decides:

- (n, 1) whole numbers are classes: `predict` gives a probability for each class, (n, c), in the order of `classes`.
- (n, k) columns of 0 and 1 are events that may happen together: one classifier per column, and `predict` gives the
  probability of 1 for each column, (n, k).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.errors import CaseError
from ml.models.base import Floats, Inputs, Model, flat
from ml.models.estimators import load_estimators, save_estimators
from ml.texts import first_line

Classes = npt.NDArray[np.int64]


class ScikitClassifier:
    """One estimator for the classes, or one per column of events.

    Args:
        make: gives an unfitted estimator with `fit`, `predict_proba` and `classes_`.
        dtype: of its inputs; float32 is enough for trees and neighbours, sums of squares need float64.

    Attributes:
        classes: the classes, sorted; the columns of `predict`. If set before `fit`, classes that the train rows lack
            get a column of probability 0.
    """

    def __init__(self, make: Callable[[], Any], dtype: npt.DTypeLike = np.float64) -> None:
        self.make = make
        self.dtype = dtype
        self.classes: Classes = np.empty(0, np.int64)
        self.estimators: list[Any] = []

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        """Learn from rows in time order.

        Raises:
            CaseError: the labels are not classes or events, all rows have one class, or the estimator fails.
        """
        known = whole_numbers(labels)
        self.classes = np.union1d(self.classes, known)
        if known.shape[1] > 1 and not np.isin(self.classes, (0, 1)).all():
            raise CaseError(
                f"Expected events, 0 or 1 in each of {known.shape[1]} columns, found classes from {self.classes[0]} to "
                f"{self.classes[-1]}. Use a target of events, or one column of classes."
            )
        rows = self._rows(inputs)
        self.estimators = [self._fitted(rows, column) for column in known.T]

    def _rows(self, inputs: Inputs) -> npt.NDArray[Any]:
        return flat(inputs).astype(self.dtype, copy=False)

    def _fitted(self, rows: npt.NDArray[Any], column: Classes) -> Any:
        if (column == column[0]).all():
            raise CaseError(
                f"All {len(column)} train rows are of class {column[0]}, so there is nothing to tell apart. "
                "Learn from more rows or choose another target."
            )
        try:
            return self.make().fit(rows, column)
        except ValueError as error:
            raise CaseError(
                f"The classifier cannot learn these rows ({first_line(error, 200)}). "
                "Learn from more rows, or choose other features or parameters."
            ) from error

    def refit_like(self, evaluated: Model) -> None:
        """Keep the evaluated model's columns, also of a class that the rows of the refit may lack."""
        assert isinstance(evaluated, ScikitClassifier)
        self.classes = evaluated.classes

    def predict(self, inputs: Inputs) -> Floats:
        rows = self._rows(inputs)
        if len(self.estimators) > 1:
            return np.column_stack([one.predict_proba(rows)[:, 1] for one in self.estimators]).astype(np.float64)
        (only,) = self.estimators
        probabilities = np.zeros((len(rows), len(self.classes)))
        probabilities[:, np.searchsorted(self.classes, only.classes_)] = only.predict_proba(rows)
        return probabilities

    def save(self, folder: Path) -> None:
        save_estimators(folder / "classifier.skops", [self.classes, self.estimators])

    def load(self, folder: Path) -> None:
        self.classes, self.estimators = load_estimators(folder / "classifier.skops")


class BoundedClassifier(ScikitClassifier):
    """A classifier whose time grows with the square of the rows or faster; it refuses more than `row_limit` rows.

    Args:
        make: as in `ScikitClassifier`.
        row_limit: most train rows.
        stand_in: name of the family that approximates it for any number of rows.
    """

    def __init__(self, make: Callable[[], Any], row_limit: int, stand_in: str) -> None:
        super().__init__(make)
        self.row_limit = row_limit
        self.stand_in = stand_in

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        if len(inputs) > self.row_limit:
            raise CaseError(
                f"{len(inputs):,} train rows are too many for an exact kernel, whose time grows with their square: at "
                f"most {self.row_limit:,}. Use the model {self.stand_in} or fewer train rows."
            )
        super().fit(inputs, labels)


def whole_numbers(labels: Floats) -> Classes:
    """Labels (n, k) as integers.

    Raises:
        CaseError: some are not whole numbers.
    """
    if not np.array_equal(labels, np.round(labels)):
        odd = labels[labels != np.round(labels)][0]
        raise CaseError(f"Expected classes as whole numbers, found {odd:.6g}. Use a target of classes or events.")
    return labels.astype(np.int64)
