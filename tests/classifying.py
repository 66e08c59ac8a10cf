"""Two trivial families for tests of the evaluation of probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from sklearn.linear_model import LogisticRegression

from ml.models import MODELS, Family
from ml.models.base import Floats, Inputs, Model, flat


class LogisticModel:
    """Logistic regression, one a column of labels."""

    def __init__(self) -> None:
        self.fitted: list[LogisticRegression] = []

    @property
    def classes(self) -> np.ndarray:
        return self.fitted[0].classes_.astype(np.int64)

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        rows = flat(inputs).astype(np.float64)
        self.fitted = [LogisticRegression().fit(rows, column) for column in labels.T]

    def refit_like(self, evaluated: Model) -> None: ...

    def predict(self, inputs: Inputs) -> Floats:
        said = [model.predict_proba(flat(inputs).astype(np.float64)) for model in self.fitted]
        return said[0] if len(said) == 1 else np.column_stack([one[:, 1] for one in said])

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


class AlwaysModel(LogisticModel):
    """Says the same about every row: `said`, one probability a class."""

    def __init__(self, said: list[float]) -> None:
        super().__init__()
        self.said = np.array(said)

    @property
    def classes(self) -> np.ndarray:
        return np.array([-1, 0, 1])

    def fit(self, inputs: Inputs, labels: Floats) -> None: ...

    def predict(self, inputs: Inputs) -> Floats:
        return np.tile(self.said, (len(inputs), 1))


@contextmanager
def registered(name: str, model: type[Model], *arguments: object, **changes: object) -> Iterator[str]:
    """A family of the registry for the time of a test."""
    kinds = frozenset({"classes", "events"})
    family = Family(lambda params, seed: model(*arguments), "linear", 1.0, **{"kinds": kinds, **changes})  # type: ignore[arg-type]
    with patch.dict(MODELS, {name: family}):
        yield name
