"""Case ranges: the cases of a search space, counted, sampled and generated lazily, never materialised.

Combinations are numbered in a mixed radix: each digit, with the length of a range as its base, selects the value of
that range. So a space of a million cases starts at once and takes no memory, and a sample needs no list to draw from.
Finished cases are identified by their keys alone, so another value in a range adds only the cases with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pydantic import ValidationError

from ml.errors import CaseError
from ml.models import MODELS
from ml.search.cases import EVALUATION, TestCase
from ml.search.keys import KeySet
from ml.search.sampling import shuffled
from ml.search.spaces import SWITCH, SearchSpace, raise_problems
from ml.series import Series


class CaseRange:
    """The numbered cases of one search space for one series.

    Args:
        space: must apply to the series.
        series: of the cases.
        catalogue: feature column -> group.
        has_panel: whether the dataset has other markets to learn from; without one nothing is pooled.

    Raises:
        CaseError: a group or column is not in the catalogue.
    """

    def __init__(
        self, space: SearchSpace, series: Series, catalogue: Mapping[str, str], has_panel: bool = False
    ) -> None:
        self.space = space
        self.series = series
        self._catalogue = sorted(catalogue.items())
        raise_problems("Feature catalogue", space.catalogue_problems(catalogue))
        switches = [*space.groups.values(), *space.columns.values()]
        self._params = {model: space.params_of(model) for model in space.model}
        pools = space.pool if has_panel else ("none",)
        #: Ranges of every model, slowest first: target, walk-forward, train rows, weights, unit, pool, close, switches,
        #: lags, parameters, seeds.
        self._ranges: dict[str, list[Sequence[Any]]] = {
            model: [
                *(space.target, space.walk_forward, space.train_rows, space.weights, space.unit, pools, space.close),
                *(SWITCH[switch] for switch in (switches if _learns_features(model) else ())),
                space.lags,
                *self._params[model].values(),
                space.seeds_of(model),
            ]
            for model in space.model
        }
        #: Model -> number of combinations of its ranges, including those without any feature.
        self.per_model = {model: math.prod(map(len, ranges)) for model, ranges in self._ranges.items()}
        self._selected: tuple[tuple[bool, ...], tuple[str, ...], str] = ((), (), "")

    @property
    def combinations(self) -> int:
        """Number of combinations, including those without any feature."""
        return sum(self.per_model.values())

    @property
    def kinds(self) -> set[str]:
        """The kinds of the models."""
        return {MODELS[model].kind for model in self.space.model}

    @property
    def size(self) -> int:
        """Upper bound of the cases to try: all or the sample, with halving over all rungs."""
        if self.space.members:
            return len(self.space.members)
        first = min(self.combinations, self.space.sample or self.combinations)
        return first if self.space.halving is None else sum(self.space.halving.sizes(first))

    def numbered(self) -> Iterator[tuple[int, TestCase]]:
        """All cases, or the sample, with their numbers; combinations without any feature are skipped."""
        if self.space.members:
            return iter(())  # known only with results, see `ml.execution.ensembles`
        if self.space.sample is None:
            return self.cases_at(range(self.combinations))
        return islice(self.cases_at(shuffled(self.combinations, self.space.sample_seed)), self.space.sample)

    def cases_at(self, numbers: Iterable[int]) -> Iterator[tuple[int, TestCase]]:
        """The cases with the given numbers, as (number, case)."""
        return ((number, case) for number in numbers if (case := self.case(number)) is not None)

    def case(self, number: int) -> TestCase | None:
        """The case with a number below `combinations`; None if it selects no feature.

        Raises:
            CaseError: the case is impossible.
        """
        for model, count in self.per_model.items():
            if number < count:
                return self._make(model, _digits(number, self._ranges[model]))
            number -= count
        raise IndexError(number)

    def first(self, model: str) -> TestCase | None:
        """The first combination of a model, which has the most features; None if it selects none."""
        if self.space.members:
            return None
        return self._make(model, _digits(0, self._ranges[model]))

    def _make(self, model: str, values: list[Any]) -> TestCase | None:
        target, walk_forward, train_rows, weights, unit, pool, close, *rest = values
        features: tuple[str, ...] = ()
        feature_set = "candles"
        if _learns_features(model):
            switched = len(self.space.groups) + len(self.space.columns)
            features, feature_set = self._select(tuple(rest[:switched]))
            rest = rest[switched:]
            if not features:
                return None
        lags, *params, seeds = rest
        feature_set += "" if unit == "none" else f", in {unit}"
        feature_set += "" if pool == "none" else ", all markets"
        try:
            return TestCase(
                series=self.series,
                model=model,
                target=target,
                labels=self.space.labels,
                features=features,
                feature_set=feature_set,
                lags=lags,
                params=dict(zip(self._params[model], params, strict=True)),
                seeds=seeds,
                train_rows=None if train_rows == "all" else train_rows,
                weights=None if weights == "equal" else weights,
                unit=None if unit == "none" else unit,
                pool=None if pool == "none" else pool,
                close=None if close == "last" else close,
                walk_forward=None if walk_forward == "off" else walk_forward,
                evaluation=EVALUATION,
            )
        except ValidationError as error:
            problem = error.errors()[0]
            message = problem["msg"].removeprefix("Value error, ")
            raise CaseError(f"Search space {self.space.name!r}: {message}") from error

    def _select(self, switches: tuple[bool, ...]) -> tuple[tuple[str, ...], str]:
        """Feature columns and their display name; consecutive cases share them, so the latest are cached."""
        if self._selected[0] != switches or not switches:
            groups = dict(zip(self.space.groups, switches, strict=False))
            columns = dict(zip(self.space.columns, switches[len(groups) :], strict=True))
            features = tuple(
                column for column, group in self._catalogue if columns.get(column, groups.get(group, False))
            )
            label = "+".join(name for name, on in groups.items() if on)
            marks = [f"{'+' if on else '-'}{name}" for name, on in columns.items()]
            self._selected = (switches, features, " ".join([label, *marks]))
        return self._selected[1:]


def _learns_features(model: str) -> bool:
    return MODELS[model].inputs == "features"


def _digits(number: int, ranges: Sequence[Sequence[Any]]) -> list[Any]:
    values = []
    for choices in reversed(ranges):
        number, digit = divmod(number, len(choices))
        values.append(choices[digit])
    return values[::-1]


def enumerate_cases(
    spaces: Sequence[SearchSpace], series: Sequence[Series], catalogue: Mapping[str, str]
) -> Iterator[TestCase]:
    """All distinct test cases of several spaces over several series, lazily, in a fixed order, before any halving.

    Args:
        spaces: the search spaces.
        series: of the cases.
        catalogue: feature column -> group.

    Raises:
        CaseError: a group or column is not in the catalogue, or a case is impossible.
    """
    for one in series:
        seen = KeySet()
        for space in spaces:
            if space.applies_to(one):
                for _, case in CaseRange(space, one, catalogue).numbered():
                    if seen.add(case.key):
                        yield case
