"""The interface of all scorers, and the predictions they score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.records import LabelMetrics

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of a model and of the baselines for the same rows.

    Attributes:
        rows: (m,) rows of the dataset, in time order.
        predicted: (m, k) labels, or (m, c) probabilities.
        against: rival -> its forecasts for the same rows, shaped like `predicted`.
        tail_rows: earlier rows that initialise a prediction interval; empty if the scorer needs none.
        tail_predicted: the model's predictions for those.
    """

    rows: Rows
    predicted: Floats
    against: Mapping[str, Floats]
    tail_rows: Rows
    tail_predicted: Floats

    def part(self, start: int, stop: int) -> Predictions:
        """The predictions start..stop - 1, without a tail."""
        against = {name: forecast[start:stop] for name, forecast in self.against.items()}
        return Predictions(
            self.rows[start:stop], self.predicted[start:stop], against, self.tail_rows[:0], self.tail_predicted[:0]
        )


def joined(parts: list[Predictions]) -> Predictions:
    """Concatenate predictions of consecutive rows; the tail is that of the first part."""
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
    """Scores predictions of one kind of target, over the rows of one dataset."""

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of the baselines."""

    @property
    def rivals(self) -> tuple[str, ...]:
        """Names of all forecasts that a case is compared with, the baselines first."""

    @property
    def error_name(self) -> str:
        """The metric that ranks, lower is better; `skill` compares it with the baseline's."""

    @property
    def tail_length(self) -> int:
        """Number of rows before the evaluated ones that it needs predictions for."""

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """(n,) rows for which every baseline has a forecast."""

    def forecast(self, baseline: str, rows: Rows, train: Rows) -> Floats:
        """The forecasts of a baseline for `rows`; it may be fitted on the rows `train`."""

    def losses(self, predicted: Floats, rows: Rows) -> Floats:
        """(m,) the loss of each row; the error is their mean or its root."""

    def error(self, predicted: Floats, rows: Rows) -> float:
        """The metric `error_name`."""

    def figures(self, predictions: Predictions, baseline: str) -> tuple[dict[str, float], list[LabelMetrics]]:
        """All metrics by name, including `error_name` and `skill`, and a table of some.

        The table has one row per label, step, event or class; it is empty if the metrics by name are complete.
        """
