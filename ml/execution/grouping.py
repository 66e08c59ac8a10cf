"""Groups: test cases whose models are trained together in one program, where that is faster (on a GPU).

Cases can be grouped if they differ only in features, seeds, and the parameters that their model allows to differ within
a group (`GroupedModel.group_key`; for networks the learning rate). The result of each case equals that of a separate
fit up to rounding.
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

#: Most models in a group: memory use, and the work lost when the group fails, grow with it.
LARGEST = 64
#: Fields that may differ within a group; of the parameters, those that the model's `group_key` leaves out.
DIFFERENT = ("features", "feature_set", "seeds", "params")


def groups_of(cases: Sequence[TestCase]) -> list[tuple[TestCase, ...]]:
    """Partition cases into groups that can be fitted together; most groups have one case."""
    alike: dict[Hashable, list[TestCase]] = {}
    for case in cases:
        alike.setdefault(_likeness(case), []).append(case)
    return [part for group in alike.values() for part in _cut(group)]


def _likeness(case: TestCase) -> Hashable:
    key = None
    with suppress(Exception):  # invalid parameters are reported when the case is evaluated
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
    """Fit the cases of a group, on all their folds.

    Returns:
        A fit for `ml.evaluation.evaluate.fit_and_evaluate` that looks the fitted ensembles up.

    Raises:
        Exception: the training failed; a single case may still be fitted.
    """
    wanted: dict[bytes, tuple[Rows, list[PreparedCase]]] = {}
    for case in cases:
        with suppress(CaseError):  # raised again when the case is evaluated, before its fit is looked up
            prepared = prepare(case, dataset)
            for fold in folds_of(prepared):
                wanted.setdefault(fold.train.tobytes(), (fold.train, []))[1].append(prepared)
    fitted: dict[tuple[str, bytes], Ensemble] = {}
    # Features may be known on different rows: only cases with the same train rows share a table.
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
