"""Groups: test cases whose models are trained side by side in one program, where that pays (on a GPU).

Cases are alike when they differ in nothing but their features, their seeds and what their model lets differ within a
group (`GroupedModel.group_key`; of networks the learning rate). What each of them becomes is what it would have become
alone, but for rounding.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import suppress

import numpy as np

from ml.canonical import canonical_json
from ml.data.datasets import Dataset
from ml.errors import CaseError
from ml.evaluation.evaluate import Fit
from ml.evaluation.forecaster import Ensemble, fit_ensembles
from ml.evaluation.preparation import PreparedCase, prepare
from ml.evaluation.walk_forward import folds_of
from ml.metrics.scorer import Rows
from ml.models import MODELS
from ml.models.base import GroupedModel
from ml.search.cases import TestCase

#: Models in a group at most: memory, and what is lost when the group fails, grow with it.
LARGEST = 64
#: What may differ between cases that are alike; of the parameters, what the model's `group_key` leaves out.
DIFFERENT = ("features", "feature_set", "seeds", "params")


def groups_of(cases: Sequence[TestCase]) -> list[tuple[TestCase, ...]]:
    """Each case once, beside those that it can be fitted with; most stand alone."""
    alike: dict[Hashable, list[TestCase]] = {}
    for case in cases:
        alike.setdefault(_likeness(case), []).append(case)
    return [part for group in alike.values() for part in _cut(group)]


def _likeness(case: TestCase) -> Hashable:
    key = None
    with suppress(Exception):  # what is wrong with its parameters, it says when it is evaluated
        model = MODELS[case.model].build(case.params, 0)
        key = model.group_key() if isinstance(model, GroupedModel) else None
    if key is None:
        return case.key
    rest = {name: value for name, value in case.content().items() if name not in DIFFERENT}
    return canonical_json(rest), key


def _cut(group: Sequence[TestCase]) -> Iterator[tuple[TestCase, ...]]:
    part: list[TestCase] = []
    for case in group:
        if part and sum(len(one.seeds) for one in (*part, case)) > LARGEST:
            yield tuple(part)
            part = []
        part.append(case)
    yield tuple(part)


def fit_together(cases: Sequence[TestCase], dataset: Dataset) -> Fit:
    """Fit cases that are alike, all their folds.

    Returns:
        A fit for `ml.evaluation.evaluate.fit_and_evaluate` that hands out what was fitted here.

    Raises:
        Exception: whatever stopped the training; a case by itself may still be fitted.
    """
    wanted: dict[bytes, tuple[Rows, list[PreparedCase]]] = {}
    for case in cases:
        with suppress(CaseError):  # which it says when it is evaluated, before anything is to be fitted
            prepared = prepare(case, dataset)
            for fold in folds_of(prepared):
                wanted.setdefault(fold.train.tobytes(), (fold.train, []))[1].append(prepared)
    fitted: dict[tuple[str, bytes], Ensemble] = {}
    # Other features may be known on other rows: only cases that learn from the same ones share a table.
    for name, (train, group) in wanted.items():
        ensembles = _fit_on(train, group)
        fitted |= {(one.case.key, name): ensemble for one, ensemble in zip(group, ensembles, strict=True)}
    return lambda prepared, rows: fitted[prepared.case.key, rows.tobytes()]


def _fit_on(train: Rows, group: Sequence[PreparedCase]) -> list[Ensemble]:
    cases, labels = [one.case for one in group], group[0].labels[train]
    if len({case.input_columns for case in cases}) == 1:
        return fit_ensembles(cases, [None] * len(cases), group[0].windows_at(train), labels)
    names = sorted({name for case in cases for name in case.input_columns})
    columns = [tuple(names.index(name) for name in case.input_columns) for case in cases]
    table = np.empty((len(train), cases[0].lags, len(names)), dtype=np.float32)
    for one, own in zip(group, columns, strict=True):
        table[:, :, list(own)] = one.windows_at(train)
    return fit_ensembles(cases, columns, table, labels)
