"""How predictions are judged: a judge for each kind of target, with its baselines and its figures."""

from __future__ import annotations

from ml.data.datasets import Dataset
from ml.data.targets import Floats, Kind, Target
from ml.judging.base import Judge
from ml.judging.candle import CandleJudge
from ml.judging.numbers import PathJudge, SummaryJudge
from ml.judging.probabilities import ClassesJudge, EventsJudge

JUDGES: dict[Kind, type[CandleJudge | PathJudge | SummaryJudge | ClassesJudge | EventsJudge]] = {
    "candle": CandleJudge,
    "path": PathJudge,
    "summary": SummaryJudge,
    "events": EventsJudge,
    "classes": ClassesJudge,
}


def judge_of(target: Target, dataset: Dataset, labels: Floats) -> Judge:
    """The judge of a target over the rows of a dataset, whose labels (n, k) it knows."""
    return JUDGES[target.kind](target, dataset, labels)
