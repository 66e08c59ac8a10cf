"""What every model family offers: fit, predict, save, load.

Regressors (targets of the kinds candle, summary and path) predict their labels. Classifiers give probabilities: for
"classes" one column a class in the order of `Classifier.classes`, for "events" the probability of each event.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Inputs = npt.NDArray[np.float32]


class Model(Protocol):
    """A forecaster of k labels; k is the width of the target that it is fitted to.

    Inputs are windows (n, lags, f) float32, standardised on the train rows or raw candles, as the family asks for;
    labels are (n, k) float64.
    """

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        """Learn from rows in time order."""

    def refit_like(self, judged: Model) -> None:
        """Take over what the judged model found out by early stopping, before a refit on more rows."""

    def predict(self, inputs: Inputs) -> Floats:
        """Labels (n, k) for windows (n, lags, f); of a classifier (n, classes) or (n, events) probabilities."""

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs into an existing folder."""

    def load(self, folder: Path) -> None:
        """Become the model that was saved there."""


class Classifier(Model, Protocol):
    """A model of a target of the kind "classes": labels are (n, 1) whole numbers."""

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """The classes seen in the fit, sorted; the order of the columns of `predict`."""


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


class NothingChosen:
    """For models whose fit settles nothing, such as a number of epochs, that a refit should take over."""

    def refit_like(self, judged: Model) -> None:
        """Nothing was chosen while fitting."""
