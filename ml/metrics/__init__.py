"""Evaluation of predictions: a scorer for each kind of target, with its baselines and metrics."""

from __future__ import annotations

from ml.data.datasets import Dataset
from ml.data.targets import Floats, Kind, Target
from ml.metrics.candle import CandleScorer
from ml.metrics.numbers import PathScorer, SummaryScorer
from ml.metrics.probabilities import ClassesScorer, EventsScorer
from ml.metrics.scorer import Scorer

SCORERS: dict[Kind, type[PathScorer | SummaryScorer | ClassesScorer | EventsScorer]] = {
    "path": PathScorer,
    "summary": SummaryScorer,
    "events": EventsScorer,
    "classes": ClassesScorer,
}


def scorer_of(target: Target, dataset: Dataset, labels: Floats, evaluation: int = 1) -> Scorer:
    """The scorer of a target over the rows of a dataset with labels (n, k), for a version of the evaluation."""
    if target.kind == "candle":
        return CandleScorer(target, dataset, labels, evaluation)
    return SCORERS[target.kind](target, dataset, labels)
