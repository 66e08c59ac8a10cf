"""Evaluation of predictions: a scorer for each kind of target, with its baselines and metrics."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from ml.data.datasets import Dataset
from ml.data.targets import TARGETS, Kind
from ml.metrics.candle import CandleScorer
from ml.metrics.numbers import PathScorer, SummaryScorer
from ml.metrics.probabilities import ClassesScorer, EventsScorer
from ml.metrics.scorer import Scorer

SCORERS: dict[Kind, type[CandleScorer | PathScorer | SummaryScorer | ClassesScorer | EventsScorer]] = {
    "candle": CandleScorer,
    "path": PathScorer,
    "summary": SummaryScorer,
    "events": EventsScorer,
    "classes": ClassesScorer,
}


#: The scorers of the datasets in use: their baselines are the same for every case.
_scorers: WeakKeyDictionary[Dataset, dict[str, Scorer]] = WeakKeyDictionary()


def scorer_of(target: str, dataset: Dataset) -> Scorer:
    """The scorer of a target over the rows of a dataset, made once for each of them.

    Raises:
        CaseError: the dataset lacks the target.
    """
    scorers = _scorers.setdefault(dataset, {})
    if target not in scorers:
        labels = dataset.labels_of(target)
        scorers[target] = SCORERS[TARGETS[target].kind](TARGETS[target], dataset, labels)
    return scorers[target]
