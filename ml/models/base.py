"""What every model family offers: fit, predict, save, load. Inputs are standardised, labels are raw logarithms."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Inputs = npt.NDArray[np.float32]


class Model(Protocol):
    """A forecaster of the three labels.

    Inputs are windows (n, lags, f) float32, standardised on the train rows; labels are (n, 3) float64.
    """

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        """Learn from rows in time order."""

    def refit_like(self, judged: Model) -> None:
        """Take over what the judged model found out by early stopping, before a refit on more rows."""

    def predict(self, inputs: Inputs) -> Floats:
        """Labels (n, 3) for windows (n, lags, f)."""

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs into an existing folder."""

    def load(self, folder: Path) -> None:
        """Become the model that was saved there."""


@runtime_checkable
class GroupedModel(Model, Protocol):
    """A model of which many can be trained side by side in one program."""

    def group_key(self) -> Hashable:
        """Models of equal keys can be trained as one group; None where that does not pay on this machine."""

    def fit_group(self, models: Sequence[Model], inputs: Inputs, labels: Floats) -> None:
        """Fit models of the same key, itself among them, on rows in time order."""


def fit_many(models: Sequence[Model], inputs: Inputs, labels: Floats) -> None:
    """Fit models on one table: in groups where their family can and it pays, else one after the other."""
    groups: dict[Hashable, list[GroupedModel]] = {}
    for model in models:
        key = model.group_key() if isinstance(model, GroupedModel) else None
        if isinstance(model, GroupedModel) and key is not None:
            groups.setdefault(key, []).append(model)
        else:
            model.fit(inputs, labels)
    for group in groups.values():
        group[0].fit_group(group, inputs, labels)


def flat(inputs: Inputs) -> Inputs:
    """Windows (n, lags, f) as rows (n, lags x f) for models without a sense of order."""
    return inputs.reshape(len(inputs), -1)
