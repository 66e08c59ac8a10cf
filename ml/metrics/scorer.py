"""The interface of all scorers, and the predictions they score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.records import LabelMetrics

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Scored:
    """The forecasts of a model or rival for some rows, with their figures, each computed once.

    Those of a rival are shared by all cases with these rows.

    Attributes:
        scorer: of the rows' target.
        rows: (m,) rows of the dataset, in time order.
        forecast: (m, k) labels, or (m, c) probabilities; NaN where it has no forecast.
    """

    scorer: Scorer
    rows: Rows
    forecast: Floats

    @cached_property
    def error(self) -> float:
        """The scorer's `error`."""
        return self.scorer.error(self.forecast, self.rows)

    @cached_property
    def losses(self) -> Floats:
        """(m,) the scorer's `losses`."""
        return self.scorer.losses(self.forecast, self.rows)

    def error_between(self, start: int, stop: int) -> float:
        """The scorer's `error` of the forecasts start..stop - 1."""
        return self.scorer.error(self.forecast[start:stop], self.rows[start:stop])


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of a model and of its rivals for the same rows.

    Attributes:
        own: the model's.
        against: rival -> its forecasts for the same rows.
        tail_rows: earlier rows that initialise a prediction interval; empty if the scorer needs none.
        tail_predicted: the model's predictions for those.
    """

    own: Scored
    against: Mapping[str, Scored]
    tail_rows: Rows
    tail_predicted: Floats

    @property
    def rows(self) -> Rows:
        """(m,) rows of the dataset, in time order."""
        return self.own.rows

    @property
    def predicted(self) -> Floats:
        """(m, k) labels, or (m, c) probabilities."""
        return self.own.forecast


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
    def labels(self) -> Floats:
        """(n, k) labels of the target; NaN where unknown."""

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """(n,) rows whose label is known and for which every baseline has a forecast."""

    def forecast(self, baseline: str, rows: Rows, train: Rows) -> Floats:
        """The forecasts of a baseline for `rows`; it may be fitted on the rows `train`."""

    def scored(self, rows: Rows, forecast: Floats) -> Scored:
        """Forecasts (m, k) for rows (m,) with the figures that the scorer needs of them."""

    def losses(self, predicted: Floats, rows: Rows) -> Floats:
        """(m,) the loss of each row; the error is their mean or its root."""

    def error(self, predicted: Floats, rows: Rows) -> float:
        """The metric `error_name`."""

    def figures(self, predictions: Predictions, baseline: str) -> tuple[dict[str, float], list[LabelMetrics]]:
        """All metrics by name, including `error_name` and `skill`, and a table of some.

        The table has one row per label, step, event or class; it is empty if the metrics by name are complete.
        """
