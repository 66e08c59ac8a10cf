"""What every scorer offers, and what it judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model and the baselines said about the same rows.

    Attributes:
        rows: (m,) rows of the dataset, in time order.
        predicted: (m, k) labels, or (m, c) probabilities.
        against: baseline -> its forecasts for the same rows, shaped like `predicted`.
        tail_rows: earlier rows that a band starts from; empty where the scorer asks for none.
        tail_predicted: what the model says about those.
    """

    rows: Rows
    predicted: Floats
    against: Mapping[str, Floats]
    tail_rows: Rows
    tail_predicted: Floats

    def part(self, start: int, stop: int) -> Predictions:
        """Predictions start..stop of these, without a tail."""
        against = {name: forecast[start:stop] for name, forecast in self.against.items()}
        return Predictions(
            self.rows[start:stop], self.predicted[start:stop], against, self.tail_rows[:0], self.tail_predicted[:0]
        )


def joined(parts: list[Predictions]) -> Predictions:
    """Predictions of consecutive rows as one; the tail is that of the first part."""
    if len(parts) == 1:
        return parts[0]
    return Predictions(
        rows=np.concatenate([part.rows for part in parts]),
        predicted=np.concatenate([part.predicted for part in parts]),
        against={name: np.concatenate([part.against[name] for part in parts]) for name in parts[0].against},
        tail_rows=parts[0].tail_rows,
        tail_predicted=parts[0].tail_predicted,
    )


class Scorer(Protocol):
    """Judges predictions of one kind of target, over the rows of one dataset."""

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of what a model has to beat."""

    @property
    def error_name(self) -> str:
        """The figure that ranks, the lower the better; `skill` compares it with the baseline's."""

    @property
    def tail_length(self) -> int:
        """How many rows before the evaluated ones it needs predictions for."""

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """(n,) rows for which every baseline has a forecast."""

    def forecast(self, baseline: str, rows: Rows, train: Rows) -> Floats:
        """What a baseline says about rows, where `train` are the rows that anybody may learn from."""

    def losses(self, predicted: Floats, rows: Rows) -> Floats:
        """(m,) the loss of each row, whose mean (or its root) is the error."""

    def error(self, predicted: Floats, rows: Rows) -> float:
        """The figure `error_name`."""

    def figures(self, predictions: Predictions, baseline: str) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """All figures by name, `error_name` and `skill` among them, and a table of some.

        The table has a row a label, step, event or class; it is empty where the figures by name say it all.
        """
