"""Calibrated probabilities for classifiers with scores or overconfident probabilities, fitted on held-out rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.calibration import CalibratedClassifierCV

#: Share of the rows, the latest, on which the scores are calibrated; the classifier is fitted on the others.
CALIBRATION_TAIL = 0.2


class TailCalibrated:
    """A classifier fitted on the earlier rows, and one sigmoid per class fitted to its scores on the later ones.

    A class that occurs only in the later rows has the probability 0.

    Args:
        estimator: unfitted, with `decision_function` or `predict_proba`.

    Source: Platt, Probabilistic Outputs for Support Vector Machines (1999).
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, rows: npt.NDArray[np.float64], column: npt.NDArray[np.int64]) -> TailCalibrated:
        """Learn from rows (n, columns) in time order and their classes (n,)."""
        cut = int(len(rows) * (1 - CALIBRATION_TAIL))
        learnt = np.isin(column, np.unique(column[:cut]))
        rows, column = rows[learnt], column[learnt]  # all rows before the cut are among them
        parts = [(np.arange(cut), np.arange(cut, len(rows)))]
        self.calibrated = CalibratedClassifierCV(self.estimator, method="sigmoid", cv=parts, ensemble=True)
        self.calibrated.fit(rows, column)
        self.classes_ = self.calibrated.classes_
        return self

    def predict_proba(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Probabilities (n, c) in the order of `classes_`."""
        probabilities: npt.NDArray[np.float64] = self.calibrated.predict_proba(rows)
        return probabilities
