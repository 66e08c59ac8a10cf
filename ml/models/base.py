"""What every model family offers: fit, predict, save, load. Inputs are standardised, labels are raw logarithms."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Inputs = npt.NDArray[np.float32]


class Model(Protocol):
    """A forecaster of k labels.

    Inputs are windows (n, lags, f) float32, standardised on the train rows; labels are (n, k) float64: for the next
    candle its high, low and close. A classifier says in `ml.models.classifiers` what its labels and outputs are.
    """

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        """Learn from rows in time order."""

    def refit_like(self, judged: Model) -> None:
        """Take over what the judged model found out by early stopping, before a refit on more rows."""

    def predict(self, inputs: Inputs) -> Floats:
        """Labels (n, k) for windows (n, lags, f)."""

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs into an existing folder."""

    def load(self, folder: Path) -> None:
        """Become the model that was saved there."""


class NothingChosen:
    """For models whose fit settles nothing, such as a number of epochs, that a refit should take over."""

    def refit_like(self, judged: Model) -> None:
        """Nothing was chosen while fitting."""


def flat(inputs: Inputs) -> Inputs:
    """Windows (n, lags, f) as rows (n, lags x f) for models without a sense of order."""
    return inputs.reshape(len(inputs), -1)
