"""Fitted estimators of scikit-learn and LightGBM as files of plain data.

A file is an archive of JSON and arrays (skops). Loading it builds objects of the types listed here and of
scikit-learn's own estimators; a file with any other type is refused before an object is built. Pickle and joblib files,
which run code as they are loaded, are never read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ml.errors import StoreError

#: Types of fitted estimators that skops does not trust by itself: they hold numbers, and loading them runs no code of
#: the file.
TRUSTED = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "ml.models.calibration.TailCalibrated",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)


def save_estimators(path: Path, fitted: Any) -> None:
    """Write estimators, arrays, and lists of them."""
    # Imported here: it loads all of scikit-learn, two seconds that no sweep needs.
    import skops.io  # noqa: PLC0415

    skops.io.dump(fitted, path)


def load_estimators(path: Path) -> Any:
    """What `save_estimators` wrote.

    Raises:
        StoreError: the file has objects of other types.
    """
    import skops.io  # noqa: PLC0415
    from skops.io.exceptions import UntrustedTypesFoundException  # noqa: PLC0415

    try:
        return skops.io.load(path, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise StoreError(f"{path.name} has objects of types that no model has ({error}).") from error
