"""Evaluation of predictions: a scorer for each kind of target, with its baselines and metrics."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from ml.data.datasets import Dataset
from ml.data.targets import TARGETS, Floats, Kind, Target
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


#: The scorers of the datasets in use, by target and version: their baselines are the same for every case.
_scorers: WeakKeyDictionary[Dataset, dict[tuple[str, int], Scorer]] = WeakKeyDictionary()


def scorer_of(target: str, dataset: Dataset, evaluation: int = 1) -> Scorer:
    """The scorer of a target over the rows of a dataset, for a version of the evaluation; made once for each of them.

    Raises:
        CaseError: the dataset lacks the target.
    """
    scorers = _scorers.setdefault(dataset, {})
    if (target, evaluation) not in scorers:
        scorers[target, evaluation] = _scorer(TARGETS[target], dataset, dataset.labels_of(target), evaluation)
    return scorers[target, evaluation]


def _scorer(target: Target, dataset: Dataset, labels: Floats, evaluation: int) -> Scorer:
    if target.kind == "candle":
        return CandleScorer(target, dataset, labels, evaluation)
    return SCORERS[target.kind](target, dataset, labels)
