"""What all classifiers share: the labels they take, their errors, and columns for classes they did not see."""

from __future__ import annotations

import numpy as np
import pytest

from ml.errors import CaseError
from ml.models.classifier_families import linear_discriminant, logistic
from tests.ml.models.planted import followed_moves


def test_labels_that_are_no_classes_are_refused() -> None:
    inputs, classes, _ = followed_moves(300)
    with pytest.raises(CaseError, match=r"whole numbers, found -?[01]\.5"):
        logistic().fit(inputs, classes + 0.5)
    with pytest.raises(CaseError, match=r"0 or 1 in each of 2 columns, found classes from -1 to 1"):
        logistic().fit(inputs, np.hstack([classes, classes]))


def test_what_an_estimator_cannot_cope_with_becomes_one_line_with_a_remedy() -> None:
    inputs, classes, _ = followed_moves(300)
    poisoned = inputs.copy()
    poisoned[3, 0, 0] = np.nan
    with pytest.raises(CaseError, match=r"^[^\n]*NaN[^\n]*choose other features or parameters\.$"):
        linear_discriminant().fit(poisoned, classes)
