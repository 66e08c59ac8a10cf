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
from ml.metrics.scorer import Predictions, Rows, Scored
from ml.records import LabelMetrics


@dataclass(frozen=True, eq=False)
class ScoredNumbers(Scored):
    """Forecasts of a numeric target."""

    scorer: NumbersScorer

    @cached_property
    def errors(self) -> Floats:
        """(m, k) errors as fractions of the last close."""
        return self.scorer.errors(self.forecast, self.rows)

    @cached_property
    def error(self) -> float:
        return rmse_pct(self.errors)

    @cached_property
    def losses(self) -> Floats:
        losses: Floats = np.square(100 * self.errors).mean(axis=1)
        return losses

    def error_between(self, start: int, stop: int) -> float:
        return rmse_pct(self.errors[start:stop])

    @cached_property
    def label_errors(self) -> list[float]:
        """The root mean squared error of each of the k labels, in percent."""
        return [rmse_pct(self.errors[:, k]) for k in range(self.errors.shape[1])]

    @cached_property
    def known(self) -> npt.NDArray[np.bool_] | None:
        """(m,) rows that have a forecast; None for all."""
        known = np.asarray(np.isfinite(self.errors).all(axis=1))
        return None if known.all() else known

    def skill_against(self, rival: ScoredNumbers) -> float:
        """Skill on the rows that the rival can forecast; NaN if there is none."""
        if rival.known is None:
            return skill(self.error, rival.error)
        if not rival.known.any():
            return math.nan
        return skill(rmse_pct(self.errors[rival.known]), rmse_pct(rival.errors[rival.known]))


def own_and_rivals(predictions: Predictions) -> tuple[ScoredNumbers, Mapping[str, ScoredNumbers]]:
    """The forecasts of a numeric target: the model's, and those of its rivals."""
    return cast(ScoredNumbers, predictions.own), cast(Mapping[str, ScoredNumbers], predictions.against)


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
        self.close = np.asarray(dataset.candles[:, 3])
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

    def scored(self, rows: Rows, forecast: Floats) -> ScoredNumbers:
        return ScoredNumbers(self, rows, forecast)

    def losses(self, predicted: Floats, rows: Rows) -> Floats:
        return self.scored(rows, predicted).losses

    def error(self, predicted: Floats, rows: Rows) -> float:
        return self.scored(rows, predicted).error

    def figures(self, predictions: Predictions, baseline: str) -> tuple[dict[str, float], list[LabelMetrics]]:
        return self.by_name(predictions, baseline), self.by_label(predictions, baseline)

    def by_name(self, predictions: Predictions, baseline: str) -> dict[str, float]:
        """Metrics over all labels."""
        rows, own, theirs = predictions.rows, *own_and_rivals(predictions)
        last = self.labels[rows, -1]
        accuracy, accuracy_error = direction_accuracy(own.forecast[:, -1], last, self.target.horizon)
        return {
            "rmse_pct": own.error,
            "rmse_quote": rmse_quote(own.errors, self.close[rows]),
            "mae_pct": mae_pct(own.errors),
            # Newest row first: it has the largest weight.
            "rmse_weighted_pct": 100 * exponentially_weighted_rmse(own.errors[::-1]),
            "direction_accuracy": accuracy,
            "direction_se": accuracy_error,
            "baseline_rmse_pct": theirs[baseline].error,
            "skill": skill(own.error, theirs[baseline].error),
        }

    def by_label(self, predictions: Predictions, baseline: str) -> list[LabelMetrics]:
        """One row of metrics per label."""
        own, theirs = own_and_rivals(predictions)
        return [
            {
                "label": name,
                "rmse_pct": own.label_errors[k],
                "mae_pct": mae_pct(own.errors[:, k]),
                "skill": skill(own.label_errors[k], theirs[baseline].label_errors[k]),
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
