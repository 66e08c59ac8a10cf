"""Scorers of classes and events: probabilities, ranked by their log loss.

The log loss is a proper scoring rule: true probabilities minimise it, and a class that nearly always occurs gives no
skill. Percent correct is reported next to the share of the most frequent class, which a constant forecast reaches: a
model that always predicts hold is correct as often as hold occurs, and has skill 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ml.data.datasets import Dataset
from ml.data.targets import Floats, Target
from ml.errors import CaseError
from ml.metrics.baselines import ewma_of_known_labels
from ml.metrics.classes import label_table, log_losses, percent_correct
from ml.metrics.prices import skill
from ml.metrics.scorer import Predictions, Rows, Scored
from ml.records import LabelMetrics

FREQUENCIES, MAJORITY, EWMA = "train_frequencies", "majority_class", "ewma_frequencies"
#: Span in candles of the weighted class frequencies: a day of hourly candles, a typical length of volatility clusters.
EWMA_SPAN = 24


class ProbabilityScorer(ABC):
    """Base of the scorers of classes and of events.

    Baselines: the frequencies of the train rows, and probability 1 for their most frequent class.

    Args:
        target: of the rows' labels.
        dataset: n rows.
        labels: (n, k).
    """

    baselines: tuple[str, ...] = (FREQUENCIES, MAJORITY)
    error_name = "log_loss"
    tail_length = 0
    #: Whether exactly one of the columns is true.
    exclusive: bool

    def __init__(self, target: Target, dataset: Dataset, labels: Floats) -> None:
        self.target = target
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

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the probabilities."""

    @abstractmethod
    def happened(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """(m, columns) the outcomes."""

    @abstractmethod
    def decided(self, probabilities: Floats) -> npt.NDArray[np.bool_]:
        """(m, columns) the predicted outcomes, derived from the probabilities."""

    def scored(self, rows: Rows, forecast: Floats) -> Scored:
        return Scored(self, rows, forecast)

    def losses(self, predicted: Floats, rows: Rows) -> Floats:
        return log_losses(predicted, self.happened(rows), exclusive=self.exclusive)

    def error(self, predicted: Floats, rows: Rows) -> float:
        return float(self.losses(predicted, rows).mean())

    def forecast(self, baseline: str, rows: Rows, train: Rows) -> Floats:
        frequencies = self.happened(train).mean(axis=0, keepdims=True)
        said = frequencies if baseline == FREQUENCIES else self.decided(frequencies).astype(np.float64)
        return np.repeat(said, len(rows), axis=0)

    def figures(self, predictions: Predictions, baseline: str) -> tuple[dict[str, float], list[LabelMetrics]]:
        rows, predicted = predictions.rows, predictions.predicted
        happened, decided = self.happened(rows), self.decided(predicted)
        error, baseline_error = predictions.own.error, predictions.against[baseline].error
        correct = percent_correct(decided, happened, exclusive=self.exclusive)
        majority = percent_correct(predictions.against[MAJORITY].forecast > 0, happened, exclusive=self.exclusive)
        table = label_table(self.names, predicted, decided, happened)
        by_name = {
            "log_loss": error,
            "baseline_log_loss": baseline_error,
            "skill": skill(error, baseline_error),
            "percent_correct": correct,
            "baseline_percent_correct": majority,
            "skill_correct": skill(100 - correct, 100 - majority),
            "auc": _mean_of_known([row["auc"] for row in table]),
            "average_precision": _mean_of_known([row["average_precision"] for row in table]),
            "f1": _mean_of_known([row["f1"] for row in table]),
        }
        return by_name, table


def _mean_of_known(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


class ClassesScorer(ProbabilityScorer):
    """Scores probabilities (n, classes) of mutually exclusive classes; the most likely class is the decision.

    A further baseline is the mean of the train frequencies and of an exponentially weighted mean of the classes known
    at the row, because the clustering of classes in time is not the skill of a model. Events of long horizons have no
    such baseline: they overlap, so the latest known ones seem more informative than they are.
    """

    baselines = (FREQUENCIES, MAJORITY, EWMA)
    exclusive = True

    def __init__(self, target: Target, dataset: Dataset, labels: Floats) -> None:
        super().__init__(target, dataset, labels)
        self.classes = np.array(list(target.classes))
        strange = sorted(set(np.unique(labels[np.isfinite(labels)])) - set(self.classes))
        if strange:
            raise CaseError(
                f"Dataset {dataset.id} has the class {strange[0]:g} in {target.columns[0]}, which `ml.data.targets` "
                "does not list. Add it to the target's classes."
            )
        came = np.where(np.isfinite(labels), labels == self.classes, np.nan)
        self.smooth = ewma_of_known_labels(came, EWMA_SPAN, target.horizon)

    @property
    def rivals(self) -> tuple[str, ...]:
        return self.baselines

    @property
    def baselines_known(self) -> npt.NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.smooth).all(axis=1))

    def forecast(self, baseline: str, rows: Rows, train: Rows) -> Floats:
        if baseline != EWMA:
            return super().forecast(baseline, rows, train)
        mixed: Floats = (self.smooth[rows] + super().forecast(FREQUENCIES, rows, train)) / 2
        return mixed

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.target.classes.values())

    def happened(self, rows: Rows) -> npt.NDArray[np.bool_]:
        happened: npt.NDArray[np.bool_] = self.labels[rows] == self.classes
        return happened

    def decided(self, probabilities: Floats) -> npt.NDArray[np.bool_]:
        decided: npt.NDArray[np.bool_] = np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None]
        return decided


class EventsScorer(ProbabilityScorer):
    """Scores probabilities (n, events) of independent events; an event is predicted above one half."""

    exclusive = False

    @property
    def names(self) -> tuple[str, ...]:
        return self.target.columns

    def happened(self, rows: Rows) -> npt.NDArray[np.bool_]:
        happened: npt.NDArray[np.bool_] = self.labels[rows] == 1
        return happened

    def decided(self, probabilities: Floats) -> npt.NDArray[np.bool_]:
        decided: npt.NDArray[np.bool_] = probabilities > 0.5
        return decided
