"""Groups: test cases that are fitted together, where that is faster: networks on a GPU, ridge models everywhere.

Cases can be grouped if they have the same rows and differ only in features, seeds, and the parameters that their model
allows to differ within a group (`GroupedModel.group_key`; for networks the learning rate, for ridge alpha). The result
of each case equals that of a separate fit up to rounding.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast
from weakref import WeakKeyDictionary

from ml.canonical import canonical_json
from ml.data.datasets import Dataset
from ml.data.targets import Floats
from ml.evaluation.evaluate import predict_windows, setting_of, tail_of
from ml.evaluation.forecaster import (
    Ensemble,
    Ensembles,
    Member,
    Sums,
    fit_ensembles,
    fit_ensembles_by_sums,
    sums_of,
)
from ml.evaluation.learning import rows_to_learn
from ml.evaluation.preparation import PreparedCase, prepare
from ml.metrics.scorer import Rows
from ml.models import MODELS
from ml.models.base import Columns, GroupedModel, SummedModel
from ml.search.cases import TestCase

#: Fields that may differ within a group; of the parameters, those that the model's `group_key` leaves out.
DIFFERENT = {"features", "feature_set", "seeds", "params"}
#: First and last row: they tell rows of a case apart, which are runs of its usable rows.
Ends = tuple[int, int]
#: The latest sums over train rows, per dataset in use: the chunks that a process does have the same rows. Sums over
#: windows of many lags are large.
KEPT_BYTES = 1 << 28
_kept: WeakKeyDictionary[Dataset, OrderedDict[Hashable, Sums]] = WeakKeyDictionary()


def groups_of(cases: Sequence[TestCase], dataset: Dataset) -> list[tuple[TestCase, ...]]:
    """Partition cases into groups that can be fitted together; most groups have one case."""
    alike: dict[Hashable, tuple[int, list[TestCase]]] = {}
    for case in cases:
        key, largest = _likeness(case, dataset)
        alike.setdefault(key, (largest, []))[1].append(case)
    return [part for largest, group in alike.values() for part in _cut(group, largest)]


def _likeness(case: TestCase, dataset: Dataset) -> tuple[Hashable, int]:
    """What the cases of a group have in common, and how many models it may have."""
    with suppress(Exception):  # invalid parameters and missing columns are reported when the case is evaluated
        model = MODELS[case.model].build(case.params, 0)
        # A check against the protocol would take longer than all the rest.
        key = cast(GroupedModel, model).group_key() if hasattr(model, "group_key") else None
        if key is not None:
            rest = canonical_json(case.model_dump(mode="json", exclude=DIFFERENT))
            return (rest, _known(case, dataset), key), cast(GroupedModel, model).largest_group
    return case.key, 1


def _known(case: TestCase, dataset: Dataset) -> Hashable:
    """Which rows are known, in each market that the case learns from."""
    markets = [dataset] if case.pool is None else [dataset, *dataset.panel.values()]
    return tuple(market.known_rows(case.features).tobytes() for market in markets) if case.features else ()


def _cut(group: Sequence[TestCase], largest: int) -> Iterator[tuple[TestCase, ...]]:
    part: list[TestCase] = []
    for case in group:
        if part and sum(len(one.seeds) for one in (*part, case)) > largest:
            yield tuple(part)
            part = []
        part.append(case)
    yield tuple(part)


def _ends(rows: Rows) -> Ends:
    return int(rows[0]), int(rows[-1])


@dataclass(frozen=True)
class Together:
    """Cases of a group, fitted on all their folds; `fit` and `predict` are those of `ml.evaluation.evaluate`.

    Attributes:
        fitted: (case key, ends of the train rows) -> ensemble.
        outputs: ends of the predicted rows -> outputs of the models, made while they are asked for in order: those of
            a whole group would take much memory.
    """

    fitted: dict[tuple[str, Ends], Ensemble] = field(default_factory=dict)
    outputs: dict[Ends, Iterator[tuple[Member, Floats]]] = field(default_factory=dict)

    def fit(self, prepared: PreparedCase, rows: Rows) -> Ensemble:
        """The ensemble that was fitted on the rows."""
        return self.fitted[prepared.case.key, _ends(rows)]

    def predict(self, prepared: PreparedCase, ensemble: Ensemble, rows: Rows) -> Floats:
        """The predictions for the rows; by the case alone, if the group has not made them."""
        (member, *others), coming = ensemble.members, self.outputs.get(_ends(rows), iter(()))
        found = next((output for one, output in coming if one is member), None)
        if found is None or others:
            return predict_windows(prepared, ensemble, rows)
        return ensemble.mean([member.checked(found, len(rows))])


def fit_together(cases: Sequence[TestCase], dataset: Dataset) -> Together:
    """Fit the cases of a group, on all their folds, and predict the rows of each.

    Raises:
        Exception: the training failed; a single case may still be fitted.
    """
    names, columns = _union(cases)
    prepared = prepare(cases[0].model_copy(update={"features": names}), dataset)
    setting, together = setting_of(prepared), Together()
    for number, fold in enumerate(setting.folds):
        ensembles = _fitted(prepared, fold.train, cases, columns)
        for case, ensemble in zip(cases, ensembles.each, strict=True):
            together.fitted[case.key, _ends(fold.train)] = ensemble
        asked = [fold.predict, tail_of(prepared, fold.train)] if number == 0 else [fold.predict]
        for rows in filter(len, asked):
            together.outputs[_ends(rows)] = ensembles.outputs(prepared.windows_at(rows))
    return together


def _fitted(prepared: PreparedCase, rows: Rows, cases: Sequence[TestCase], columns: Sequence[Columns]) -> Ensembles:
    """The cases of a group fitted on rows; `prepared` has the columns of all of them."""
    if isinstance(MODELS[cases[0].model].build(cases[0].params, 0), SummedModel):
        return fit_ensembles_by_sums(cases, columns, _sums(prepared, rows))
    return fit_ensembles(cases, prepared.case, columns, *rows_to_learn(prepared, rows))


def _sums(prepared: PreparedCase, rows: Rows) -> Sums:
    """The sums over rows, made now or for an earlier group."""
    case, kept = prepared.case, _kept.setdefault(prepared.dataset, OrderedDict())
    key = (canonical_json(case.model_dump(mode="json", exclude=DIFFERENT - {"features"})), _ends(rows))
    if key not in kept:
        kept[key] = sums_of(case, *rows_to_learn(prepared, rows))
    kept.move_to_end(key)
    while len(kept) > 1 and sum(one.of_rows.nbytes for one in kept.values()) > KEPT_BYTES:
        kept.popitem(last=False)
    return kept[key]


def _union(cases: Sequence[TestCase]) -> tuple[tuple[str, ...], list[Columns]]:
    """The features of all cases together, and where those of each are among them; none for models of raw candles."""
    names = tuple(sorted({name for case in cases for name in case.features}))
    place = {name: number for number, name in enumerate(names)}
    if all(case.features == names for case in cases):
        return names, [None] * len(cases)
    return names, [tuple(place[name] for name in case.features) for case in cases]
