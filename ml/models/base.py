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
#: Numbers of the columns that a model of a group sees of the group's table; None for all.
Columns = tuple[int, ...] | None


class Model(Protocol):
    """A forecaster of k labels; k is the width of the target that it is fitted to.

    Inputs are windows (n, lags, f) float32, standardised on the train rows or raw candles, as the family asks for;
    labels are (n, k) float64.
    """

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        """Learn from rows in time order."""

    def refit_like(self, evaluated: Model) -> None:
        """Take over what the evaluated model found out by early stopping, before a refit on more rows."""

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

    def fit_group(self, models: Sequence[Model], columns: Sequence[Columns], inputs: Inputs, labels: Floats) -> None:
        """Fit models of the same key, itself among them, each on its columns of rows in time order."""


def fit_many(models: Sequence[Model], inputs: Inputs, labels: Floats, columns: Sequence[Columns] | None = None) -> None:
    """Fit models on one table: in groups where their family can and it pays, else one after the other.

    Args:
        models: of any families.
        inputs: windows (n, lags, f).
        labels: (n, k).
        columns: of the windows, that each model learns from; None: all, for all.
    """
    groups: dict[Hashable, list[tuple[GroupedModel, Columns]]] = {}
    for model, seen in zip(models, columns or [None] * len(models), strict=True):
        key = model.group_key() if isinstance(model, GroupedModel) else None
        if isinstance(model, GroupedModel) and key is not None:
            groups.setdefault(key, []).append((model, seen))
        else:
            model.fit(inputs if seen is None else inputs[:, :, seen], labels)
    for group in groups.values():
        members = [model for model, _ in group]
        members[0].fit_group(members, [seen for _, seen in group], inputs, labels)


def flat(inputs: Inputs) -> Inputs:
    """Windows (n, lags, f) as rows (n, lags x f) for models without a sense of order."""
    return inputs.reshape(len(inputs), -1)


class NothingChosen:
    """For models whose fit settles nothing, such as a number of epochs, that a refit should take over."""

    def refit_like(self, evaluated: Model) -> None:
        """Nothing was chosen while fitting."""
