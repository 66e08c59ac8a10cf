"""Preparation: a test case bound to a dataset, with its usable rows and the split by time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from ml.data.datasets import Dataset, windows
from ml.data.targets import TARGETS, Floats, Target
from ml.errors import CaseError
from ml.evaluation.splits import Split, split_by_time
from ml.metrics import scorer_of
from ml.metrics.candle import CandleScorer
from ml.metrics.scorer import Rows, Scorer
from ml.models import MODELS
from ml.search.cases import TestCase, WalkForward
from ml.timeframes import DAY_MS

#: Fewest usable rows of a part.
MINIMAL_ROWS = 100
#: Days from one refit to the next, unless a case says otherwise. A service that refits more often is not worse: on BTC
#: 1h 30 days instead of 180 changed the skill by less than .03 %.
REFIT_DAYS = 180


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A test case bound to a dataset.

    Attributes:
        labels: (n, k) of the case's target.
        usable: (n,) rows whose window, label and baselines are all known.
        scorer: baselines and metrics of the kind of target.
        split: train, validation and holdout.
    """

    case: TestCase
    dataset: Dataset
    labels: Floats
    usable: npt.NDArray[np.bool_]
    scorer: Scorer
    split: Split

    @cached_property
    def inputs(self) -> npt.NDArray[np.float32]:
        """(n - lags + 1, lags, f) view of the model's input columns; window i ends at row i + lags - 1."""
        return windows(_input_matrix(self.case, self.dataset), self.case.lags)

    @property
    def target(self) -> Target:
        return TARGETS[self.case.target]

    @property
    def horizon(self) -> int:
        """Candles from a row to the last one that its label needs."""
        return self.target.horizon

    @property
    def candle_scorer(self) -> CandleScorer:
        """The scorer of a target of the kind candle, which has a prediction interval."""
        assert isinstance(self.scorer, CandleScorer), "only targets of the kind candle have a prediction interval"
        return self.scorer

    @property
    def scale(self) -> Floats:
        """(n,) EWMA range in log units; only for targets of the kind candle."""
        return self.candle_scorer.scale

    @property
    def refits(self) -> WalkForward | None:
        """The refits through the rows after the train part; None for one fit."""
        if self.case.walk_forward is not None or self.case.evaluation is None:
            return self.case.walk_forward
        every = max(1, REFIT_DAYS * DAY_MS // self.dataset.timeframe_ms)
        return WalkForward(refit_every=every, rolling=self.case.train_rows is not None)

    def rows(self, part: str) -> Rows:
        """Usable rows of "train", "validation" or "holdout", in time order; train is limited by `train_rows`."""
        start, stop = getattr(self.split, part)
        rows: Rows = start + np.flatnonzero(self.usable[start:stop])
        return self.learnt(rows) if part == "train" else rows

    def baseline_rows(self, train_end: int) -> Rows:
        """Usable rows up to `train_end` that baselines are fitted on.

        They are all rows that a model may learn from: a case that learns from few must not meet weaker baselines. In
        the first version of the evaluation they were the rows that it learns from.
        """
        rows = np.flatnonzero(self.usable[: train_end + 1])
        return self.learnt(rows) if self.case.evaluation is None else rows

    def learnt(self, rows: Rows) -> Rows:
        """The rows to learn from, out of rows in time order: all, or the latest `train_rows`."""
        return rows if self.case.train_rows is None else rows[-self.case.train_rows :]

    def weights_at(self, rows: Rows, member: TestCase | None = None) -> Floats | None:
        """Weights (len(rows),) with the mean 1, as the case or a member of it wants them; None for equal ones.

        They weigh errors in log units, so those of errors in units of a range have its square as a factor. A family
        without weights learns from errors in units as they are.
        """
        case = member or self.case
        takes = MODELS[case.model].takes_weights
        if not takes or (case.weights is None and case.unit is None):
            return None
        weights = np.ones(len(rows)) if case.weights is None else 1 / self.scale[rows]
        if case.unit is not None:
            weights *= self.dataset.features[rows, self.dataset.places[case.unit]].astype(np.float64) ** 2
        mean_one: Floats = weights / weights.mean()
        return mean_one

    @cached_property
    def others(self) -> tuple[PreparedCase, ...]:
        """The case bound to the other markets of its dataset, without those of too few candles to be split.

        Raises:
            CaseError: the dataset of another market lacks features.
        """
        found = []
        for dataset in self.dataset.panel.values():
            require_columns(self.case, dataset)
            with suppress(CaseError):
                found.append(bind(self.case, dataset))
        return tuple(found)

    def windows_at(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Windows (len(rows), lags, f) that end at the given rows."""
        return np.ascontiguousarray(self.inputs[rows - self.case.lags + 1])


def prepare(case: TestCase, dataset: Dataset) -> PreparedCase:
    """Select columns, find the usable rows and split them by time.

    Raises:
        CaseError: a feature or the target is not in the dataset, or too few rows are usable.
    """
    prepared = bind(case, dataset)
    check_rows(prepared, prepared.rows("train"), "train")
    return prepared


def bind(case: TestCase, dataset: Dataset) -> PreparedCase:
    """The same without a check of the number of rows, also for the dataset of another market that it learns from.

    Raises:
        CaseError: a feature or the target is not in the dataset, or it has too few rows to be split.
    """
    target = TARGETS[case.target]
    require_columns(case, dataset)
    split = split_by_time(
        len(dataset),
        train_fraction=case.train_fraction,
        validation_fraction=case.validation_fraction,
        horizon=target.horizon,
        lags=case.lags,
    )
    scorer = scorer_of(case.target, dataset, case.evaluation or 1)
    # A window is usable if it spans no gap and all its inputs are known.
    usable = np.zeros(len(dataset), dtype=bool)
    usable[case.lags - 1 :] = sliding_window_view(_known_rows(case, dataset), case.lags).all(axis=1)
    usable &= dataset.run_length >= case.lags
    usable &= scorer.known
    for unit in {one.unit for one in (case, *(case.members or ())) if one.unit is not None}:
        usable &= dataset.features[:, dataset.places[unit]] > 0
    return PreparedCase(case, dataset, scorer.labels, usable, scorer, split)


def require_columns(case: TestCase, dataset: Dataset) -> None:
    """Refuse a dataset without the case's features.

    Raises:
        CaseError: naming those that are missing.
    """
    missing = [name for name in case.features if name not in dataset.places]
    if missing:
        raise CaseError(f"Dataset {dataset.id} lacks {', '.join(missing)}. Run `candleworks export` again.")


def _input_matrix(case: TestCase, dataset: Dataset) -> npt.NDArray[np.float32]:
    """(n, f) features of the case, or (n, 5) raw candles for a family that takes those."""
    if MODELS[case.model].inputs == "candles":
        return np.asarray(dataset.candles, dtype=np.float32)
    return dataset.features[:, [dataset.places[name] for name in case.features]]


def _known_rows(case: TestCase, dataset: Dataset) -> npt.NDArray[np.bool_]:
    """(n,) rows at which all input columns are known."""
    if MODELS[case.model].inputs == "candles":
        return np.asarray(np.isfinite(_input_matrix(case, dataset)).all(axis=1))
    return dataset.known_rows(case.features)


def check_rows(prepared: PreparedCase, rows: Rows, part: str) -> None:
    """Refuse a part with too few rows.

    Raises:
        CaseError: with the number of rows.
    """
    if len(rows) < MINIMAL_ROWS:
        raise CaseError(
            f"Only {len(rows)} usable {part} rows for {prepared.case.series}, at least {MINIMAL_ROWS} are needed. "
            "Ingest more candles or switch off features with a long lookback."
        )
