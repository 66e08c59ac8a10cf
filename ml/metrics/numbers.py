"""Scorers of numeric targets: errors in percent of the last close, ranked by their root mean square."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt

from ml.data.datasets import Dataset
from ml.data.targets import Floats, Target
from ml.metrics.baselines import ewma_of_known_labels
from ml.metrics.prices import (
    direction_accuracy,
    exponentially_weighted_rmse,
    mae_pct,
    relative_errors,
    rmse_pct,
    rmse_quote,
    skill,
)
from ml.metrics.scorer import Predictions, Rival, Rows
from ml.records import LabelMetrics


@dataclass(frozen=True, eq=False)
class NumbersRival(Rival):
    """A rival of a numeric target."""

    scorer: NumbersScorer

    @cached_property
    def errors(self) -> Floats:
        """(m, k) the scorer's `errors`."""
        return self.scorer.errors(self.forecast, self.rows)

    @cached_property
    def label_errors(self) -> list[float]:
        """The root mean squared error of each of the k labels, in percent."""
        return [rmse_pct(self.errors[:, k]) for k in range(self.errors.shape[1])]

    @cached_property
    def known(self) -> npt.NDArray[np.bool_]:
        """(m,) rows that it can forecast."""
        return np.asarray(np.isfinite(self.errors).all(axis=1))

    @cached_property
    def known_error(self) -> float:
        """The root mean squared error on the rows that it can forecast, in percent."""
        return rmse_pct(self.errors[self.known])

    def skill_against(self, errors: Floats) -> float:
        """Skill of a model with errors (m, k), on the rows that this rival can forecast; NaN if there is none."""
        if not self.known.any():
            return math.nan
        return skill(rmse_pct(errors if self.known.all() else errors[self.known]), self.known_error)


def numbers_rivals(predictions: Predictions) -> Mapping[str, NumbersRival]:
    """The rivals of predictions of a numeric target."""
    return cast(Mapping[str, NumbersRival], predictions.against)


class NumbersScorer(ABC):
    """Base of the scorers of prices and of horizon summaries; the last label is the price at the end of the horizon.

    Args:
        target: of the rows' labels.
        dataset: n rows.
        labels: (n, k).
    """

    baselines: tuple[str, ...]
    error_name = "rmse_pct"
    tail_length = 0

    def __init__(self, target: Target, dataset: Dataset, labels: Floats) -> None:
        self.target = target
        self.candles = dataset.candles
        self.labels = labels

    @property
    def rivals(self) -> tuple[str, ...]:
        return self.baselines

    @cached_property
    def known(self) -> npt.NDArray[np.bool_]:
        known: npt.NDArray[np.bool_] = np.isfinite(self.labels).all(axis=1) & self.baselines_known
        return known

    @property
    def baselines_known(self) -> npt.NDArray[np.bool_]:
        """(n,) rows for which every baseline has a forecast."""
        return np.ones(len(self.labels), dtype=bool)

    @abstractmethod
    def forecast(self, baseline: str, rows: Rows, train: Rows) -> Floats: ...

    def train_mean(self, rows: Rows, train: Rows) -> Floats:
        """(m, k) the mean labels of the train rows, repeated for every row; a view, since paths are wide."""
        return np.broadcast_to(self.labels[train].mean(axis=0), (len(rows), self.labels.shape[1]))

    @abstractmethod
    def errors(self, predicted: Floats, rows: Rows) -> Floats:
        """(m, k) errors as fractions of the last close."""

    def rival(self, rows: Rows, forecast: Floats) -> NumbersRival:
        return NumbersRival(self, rows, forecast)

    def losses(self, predicted: Floats, rows: Rows) -> Floats:
        losses: Floats = np.square(100 * self.errors(predicted, rows)).mean(axis=1)
        return losses

    def error(self, predicted: Floats, rows: Rows) -> float:
        return rmse_pct(self.errors(predicted, rows))

    def figures(self, predictions: Predictions, baseline: str) -> tuple[dict[str, float], list[LabelMetrics]]:
        return self.by_name(predictions, baseline), self.by_label(predictions, baseline)

    def by_name(self, predictions: Predictions, baseline: str) -> dict[str, float]:
        """Metrics over all labels."""
        rows, predicted = predictions.rows, predictions.predicted
        errors = self.errors(predicted, rows)
        error, baseline_error = rmse_pct(errors), predictions.against[baseline].error
        accuracy, accuracy_error = direction_accuracy(predicted[:, -1], self.labels[rows, -1], self.target.horizon)
        return {
            "rmse_pct": error,
            "rmse_quote": rmse_quote(errors, np.asarray(self.candles[rows, 3])),
            "mae_pct": mae_pct(errors),
            # Newest row first: it has the largest weight.
            "rmse_weighted_pct": 100 * exponentially_weighted_rmse(errors[::-1]),
            "direction_accuracy": accuracy,
            "direction_se": accuracy_error,
            "baseline_rmse_pct": baseline_error,
            "skill": skill(error, baseline_error),
        }

    def by_label(self, predictions: Predictions, baseline: str) -> list[LabelMetrics]:
        """One row of metrics per label."""
        errors = self.errors(predictions.predicted, predictions.rows)
        theirs = numbers_rivals(predictions)[baseline].label_errors
        return [
            {
                "label": name,
                "rmse_pct": rmse_pct(errors[:, k]),
                "mae_pct": mae_pct(errors[:, k]),
                "skill": skill(rmse_pct(errors[:, k]), theirs[k]),
            }
            for k, name in enumerate(self.target.labels)
        ]


class SummaryScorer(NumbersScorer):
    """Scores summaries of a horizon, which are percentages already.

    Baselines: the mean of the train rows, and an exponentially weighted mean of the labels known at the row.
    """

    baselines = ("train_mean", "ewma")

    def __init__(self, target: Target, dataset: Dataset, labels: Floats) -> None:
        super().__init__(target, dataset, labels)
        self.smooth = ewma_of_known_labels(labels, horizon=target.horizon)

    @property
    def rivals(self) -> tuple[str, ...]:
        return self.baselines

    @property
    def baselines_known(self) -> npt.NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.smooth).all(axis=1))

    def forecast(self, baseline: str, rows: Rows, train: Rows) -> Floats:
        return self.smooth[rows] if baseline == "ewma" else self.train_mean(rows, train)

    def errors(self, predicted: Floats, rows: Rows) -> Floats:
        errors: Floats = (predicted - self.labels[rows]) / 100
        return errors


class PathScorer(NumbersScorer):
    """Scores the path of future closes.

    Baselines: every close equals the last one, and the mean path of the train rows.
    """

    baselines = ("last_close", "train_mean")

    def forecast(self, baseline: str, rows: Rows, train: Rows) -> Floats:
        if baseline == "last_close":
            return np.broadcast_to(0.0, (len(rows), self.labels.shape[1]))
        return self.train_mean(rows, train)

    def errors(self, predicted: Floats, rows: Rows) -> Floats:
        return relative_errors(predicted, self.labels[rows])
