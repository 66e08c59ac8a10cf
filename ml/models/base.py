"""The interface of all models: fit, predict, save, load.

Regressors (targets of the kinds candle, summary and path) predict labels. Classifiers predict probabilities: for
"classes" one column per class in the order of `Classifier.classes`, for "events" the probability of each event.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Inputs = npt.NDArray[np.float32]
#: Indexes of the columns of a group's table that a model uses; None for all.
Columns = tuple[int, ...] | None


class Model(Protocol):
    """A model of k labels, the width of its target.

    Inputs are windows (n, lags, f) float32 of standardised features or of raw candles, depending on the family; labels
    are (n, k) float64.
    """

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        """Learn from rows in time order."""

    def refit_like(self, evaluated: Model) -> None:
        """Adopt the result of the evaluated model's early stopping, before a refit on more rows."""

    def predict(self, inputs: Inputs) -> Floats:
        """Labels (n, k) for windows (n, lags, f); of a classifier (n, classes) or (n, events) probabilities."""

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs into an existing folder."""

    def load(self, folder: Path) -> None:
        """Restore the model that was saved there."""


class Classifier(Model, Protocol):
    """A model of a target of the kind "classes": labels are (n, 1) whole numbers."""

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """The classes seen in the fit, sorted; the order of the columns of `predict`."""


class WeightedModel(Model, Protocol):
    """A model whose rows may have weights."""

    def fit(self, inputs: Inputs, labels: Floats, weights: Floats | None = None) -> None:
        """Learn from rows in time order; weights (n,) have the mean 1, None weighs all rows equally."""


@runtime_checkable
class ExplainedModel(Protocol):
    """A model whose predictions are sums of contributions of its inputs."""

    def contributions(self, inputs: Inputs) -> Floats:
        """(n, k, lags x f + 1): of each value of the windows (n, lags, f), and the base; the sum is the prediction."""


@runtime_checkable
class GroupedModel(Model, Protocol):
    """A model of which many can be trained together."""

    #: Most models in a group: memory use, and the work lost when the group fails, grow with it.
    largest_group: ClassVar[int]

    def group_key(self) -> Hashable:
        """Models with equal keys can be trained as one group; None if that is not faster on this machine."""

    def fit_group(
        self,
        models: Sequence[Model],
        columns: Sequence[Columns],
        inputs: Inputs,
        labels: Floats,
        weights: Floats | None = None,
    ) -> None:
        """Fit models with the same key, including itself, each on its columns of rows in time order."""

    def predict_group(
        self, models: Sequence[Model], columns: Sequence[Columns], inputs: Inputs
    ) -> Iterator[Floats] | None:
        """Predictions of each of the models for windows (n, lags, f); None if that is not faster than one by one."""


@runtime_checkable
class SummedModel(GroupedModel, Protocol):
    """A grouped model that needs its rows only as sums over them: later groups on the same rows read none of them."""

    def sums(self, inputs: Inputs, labels: Floats, weights: Floats | None = None) -> Any:
        """What any fit on rows in time order needs of them; its `nbytes` is the memory that it takes."""

    def fit_sums(self, models: Sequence[Model], columns: Sequence[Columns], sums: Any) -> None:
        """`fit_group`, from the sums over the rows."""


def fit_many(
    models: Sequence[Model],
    inputs: Inputs,
    labels: Floats,
    columns: Sequence[Columns] | None = None,
    weights: Floats | None = None,
) -> None:
    """Fit models on one table: in groups where possible and faster, else one after the other.

    Args:
        models: of any families.
        inputs: windows (n, lags, f).
        labels: (n, k).
        columns: per model, the columns of the windows it uses; None: all columns for all models.
        weights: (n,) of the rows, for models that take them; None for equal ones.
    """
    groups: dict[Hashable, list[tuple[GroupedModel, Columns]]] = {}
    for model, seen in zip(models, columns or [None] * len(models), strict=True):
        key = model.group_key() if isinstance(model, GroupedModel) else None
        if isinstance(model, GroupedModel) and key is not None:
            groups.setdefault(key, []).append((model, seen))
        else:
            fit_one(model, inputs if seen is None else inputs[:, :, seen], labels, weights)
    for group in groups.values():
        members = [model for model, _ in group]
        members[0].fit_group(members, [seen for _, seen in group], inputs, labels, weights)


def fit_one(model: Model, inputs: Inputs, labels: Floats, weights: Floats | None) -> None:
    """Fit a model on rows in time order; weights (n,) only for a model that takes them."""
    if weights is None:
        model.fit(inputs, labels)
    else:
        cast(WeightedModel, model).fit(inputs, labels, weights)


def flat(inputs: Inputs) -> Inputs:
    """Windows (n, lags, f) flattened to rows (n, lags x f)."""
    return inputs.reshape(len(inputs), -1)


class NothingChosen:
    """Mixin for models whose fit chooses nothing, such as a number of epochs, that a refit should keep."""

    def refit_like(self, evaluated: Model) -> None:
        """No effect."""
