"""Walk-forward evaluation: the model is refitted at regular steps through time, as in live use.

The rows after the train part are cut into steps of `refit_every` rows. For each step the model is fitted on the rows
whose labels are known before the step begins, and predicts the step; the predictions of all steps together are
evaluated like those of one fit. The train rows end horizon + 1 rows before the step, so the last label learnt from
needs no candle of the step's first row or later. The train window is expanding (fixed start) or rolling (fixed length).

Source: Pardo, The Evaluation and Optimization of Trading Strategies (2008), walk-forward analysis; the purge after
López de Prado, Advances in Financial Machine Learning (2018), chapter 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ml.data.targets import Floats
from ml.evaluation.forecaster import Ensemble
from ml.evaluation.preparation import PreparedCase, check_rows
from ml.metrics.scorer import Rows
from ml.search.cases import WalkForward


@dataclass(frozen=True)
class Step:
    """Rows of a dataset: train rows end with `train_end`, predicted are predict_start..predict_stop - 1."""

    train_end: int
    predict_start: int
    predict_stop: int


@dataclass(frozen=True, eq=False)
class Fold:
    """Usable rows, in time order, of one fit, of its predictions, and of the fit of the baselines."""

    train: Rows
    predict: Rows
    baseline: Rows


def steps(start: int, stop: int, *, refit_every: int, horizon: int) -> Iterator[Step]:
    """Cut the rows start..stop - 1 into steps of `refit_every` rows, the last of which may be shorter.

    >>> next(steps(100, 140, refit_every=24, horizon=3))
    Step(train_end=96, predict_start=100, predict_stop=124)
    """
    for first in range(start, stop, refit_every):
        yield Step(first - horizon - 1, first, min(first + refit_every, stop))


@dataclass(frozen=True, eq=False)
class Walk:
    """The fits of a case through some rows: each fold with the ensemble that was fitted on its train rows."""

    prepared: PreparedCase
    folds: tuple[Fold, ...]
    ensembles: tuple[Ensemble, ...]

    @property
    def last(self) -> Ensemble:
        return self.ensembles[-1]

    @cached_property
    def rows(self) -> Rows:
        """(m,) all predicted rows."""
        return np.concatenate([fold.predict for fold in self.folds])

    @cached_property
    def predicted(self) -> Floats:
        """(m, k) predictions of the rows, by models that had not learnt from them."""
        windows = (self.prepared.windows_at(fold.predict) for fold in self.folds)
        return np.concatenate([one.predict(shown) for one, shown in zip(self.ensembles, windows, strict=True)])


def folds_of(prepared: PreparedCase) -> list[Fold]:
    """The fits of a case over its train and validation rows: one, or one per refit.

    Raises:
        CaseError: too few rows are usable.
    """
    validation = prepared.rows("validation")
    check_rows(prepared, validation, "validation")
    if prepared.refits is None:
        train = prepared.rows("train")
        return [Fold(train, validation, train)]
    return folds_over(prepared, validation, *prepared.split.validation)


def folds_over(prepared: PreparedCase, rows: Rows, start: int, stop: int) -> list[Fold]:
    """The fits that predict rows between start and stop - 1 of the dataset; each learns from usable rows before it.

    Raises:
        CaseError: too few rows are usable.
    """
    walk = prepared.refits or WalkForward(refit_every=stop - start, rolling=prepared.case.train_rows is not None)
    usable = np.flatnonzero(prepared.usable)
    folds: list[Fold] = []
    for step in steps(start, stop, refit_every=walk.refit_every, horizon=prepared.horizon):
        predict = rows[(rows >= step.predict_start) & (rows < step.predict_stop)]
        if not len(predict):
            continue
        train = usable[usable <= step.train_end]
        if walk.rolling:
            train = train[-(prepared.case.train_rows or len(prepared.rows("train"))) :]
        else:
            train = train[train >= folds[0].train[0]] if folds else prepared.learnt(train)
        check_rows(prepared, train, "train")
        fitted = train if prepared.case.evaluation is None else prepared.baseline_rows(step.train_end)
        folds.append(Fold(train, predict, fitted))
    return folds
