"""Walk-forward evaluation: the model is refitted at regular steps through time, as in live use.

The validation rows are cut into steps of `refit_every` rows. For each step the model is fitted on the rows whose labels
are known before the step begins, and predicts the step; the predictions of all steps together are evaluated like those
of one fit. The train rows end horizon + 1 rows before the step, so the last label learnt from needs no candle of the
step's first row or later. The train window is expanding (fixed start) or rolling (fixed length).

Source: Pardo, The Evaluation and Optimization of Trading Strategies (2008), walk-forward analysis; the purge after
López de Prado, Advances in Financial Machine Learning (2018), chapter 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ml.evaluation.preparation import PreparedCase, check_rows
from ml.metrics.scorer import Rows


@dataclass(frozen=True)
class Step:
    """Rows of a dataset: train rows end with `train_end`, predicted are predict_start..predict_stop - 1."""

    train_end: int
    predict_start: int
    predict_stop: int


@dataclass(frozen=True, eq=False)
class Fold:
    """Usable rows, in time order, of one fit and of its predictions."""

    train: Rows
    predict: Rows


def steps(start: int, stop: int, *, refit_every: int, horizon: int) -> Iterator[Step]:
    """Cut the rows start..stop - 1 into steps of `refit_every` rows, the last of which may be shorter.

    >>> next(steps(100, 140, refit_every=24, horizon=3))
    Step(train_end=96, predict_start=100, predict_stop=124)
    """
    for first in range(start, stop, refit_every):
        yield Step(first - horizon - 1, first, min(first + refit_every, stop))


def folds_of(prepared: PreparedCase) -> list[Fold]:
    """The fits of a case over its train and validation rows: one, or one per walk-forward step.

    Raises:
        CaseError: too few rows are usable.
    """
    validation = prepared.rows("validation")
    check_rows(prepared, validation, "validation")
    walk = prepared.case.walk_forward
    if walk is None:
        return [Fold(prepared.rows("train"), validation)]
    usable = np.flatnonzero(prepared.usable)
    folds: list[Fold] = []
    for step in steps(*prepared.split.validation, refit_every=walk.refit_every, horizon=prepared.horizon):
        predict = validation[(validation >= step.predict_start) & (validation < step.predict_stop)]
        if not len(predict):
            continue
        train = usable[usable <= step.train_end]
        if walk.rolling:
            train = train[-(prepared.case.train_rows or len(prepared.rows("train"))) :]
        else:
            train = train[train >= folds[0].train[0]] if folds else prepared.learnt(train)
        check_rows(prepared, train, "train")
        folds.append(Fold(train, predict))
    return folds
