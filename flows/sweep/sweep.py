"""Sweep: the cases to try on the newest datasets, generated lazily and cut into chunks while they are submitted.

Where the chunks run (here, or on work pools) is decided in `flows.sweep.run`. The state is in the store only: a case is
done when its result is there, and a sweep that is started again does only the missing cases. No list of cases or chunks
is ever made; the state of n cases takes some 25 bytes each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from flows.warehouse.export import require_datasets
from flows.warehouse.feature_columns import catalogue_groups, search_spaces
from flows.workspace.workspace import Workspace
from ml.canonical import digest
from ml.errors import StoreError
from ml.execution.chunks import Chunk
from ml.execution.costs import Costs, costs_of_dataset, cut_chunks, measured_costs
from ml.execution.diagnostics import dataset_problems, failure_reasons, sweep_warnings
from ml.execution.ensembles import comparable_cases, ensembles
from ml.execution.halving import Rungs
from ml.execution.result_index import ResultIndex, read_result_index
from ml.models import MODELS
from ml.records import Manifest, SeriesProgress
from ml.search.case_ranges import CaseRange
from ml.search.cases import TestCase
from ml.search.keys import KeySet
from ml.search.spaces import SearchSpace
from ml.series import Series
from ml.store import Store

#: Towards the end chunks get shorter, so that each process has this many left and all end together ...
CHUNKS_LEFT = 2
#: ... but not so short that starting them costs more than doing them.
SHORTEST_CHUNK_SECONDS = 2.0


@dataclass(frozen=True)
class SeriesSpace:
    """The search spaces of one series over its newest dataset."""

    series: Series
    dataset_id: str
    rows: int
    ranges: tuple[CaseRange, ...]
    costs: Costs

    @property
    def size(self) -> int:
        """Upper bound of the cases, by arithmetic: a case of two spaces counts twice."""
        return sum(one.size for one in self.ranges)

    def kinds(self) -> set[str]:
        """The kinds of models in the search spaces."""
        return {kind for one in self.ranges for kind in one.kinds}

    def seconds_of(self, case: TestCase) -> float:
        """Estimated seconds of one case."""
        return self.costs.seconds(case, self.rows)

    def seconds(self, kind: str) -> tuple[float, float]:
        """Estimates for a kind of model: the longest first case of any model, and all cases extrapolated from those."""
        longest = total = 0.0
        for one in self.ranges:
            for model, combinations in one.per_model.items():
                first = one.first(model) if kind == MODELS[model].kind else None
                seconds = self.seconds_of(first) if first else 0.0
                longest = max(longest, seconds)
                total += seconds * one.size * combinations / one.combinations
        return longest, total


@dataclass
class SeriesCount:
    """Progress of one series. Until its cases have been enumerated once, `total` is a bound and `found` a guess.

    Attributes:
        total: cases to try.
        found: those that had a result when the round began.
        found_failed: those of them that failed.
        pruned: those of them that a halving did not continue; they count as tested.
        in_work: those that are being tested.
        ended: those that got a result since.
        ended_failed: those of them that failed.
        exact: whether `total` and `found` have been counted.
        failed_keys: of the cases that failed before the round, once they have been counted.
    """

    series: Series
    total: int
    found: int
    found_failed: int
    pruned: int = 0
    in_work: int = 0
    ended: int = 0
    ended_failed: int = 0
    exact: bool = False
    failed_keys: list[str] = field(default_factory=list)

    def record(self) -> SeriesProgress:
        """The figures under their published names."""
        done = min(self.found + self.ended, self.total)
        failed = min(self.found_failed + self.ended_failed, done)
        return {
            **self.series.key,
            "cases_total": self.total,
            "cases_done": done,
            "cases_failed": failed,
            "cases_in_work": self.in_work,
            "cases_tested": done - failed,
            "cases_never_tested": max(self.total - done - self.in_work, 0),
            "cases_pruned": self.pruned,
            "is_exact": self.exact,
        }


@dataclass
class Workload:
    """The remaining work of a series: keys of its cases without a result, and their estimated seconds on one core."""

    keys: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Round:
    """One pass over all cases: those without a result are cut into chunks, the others counted."""

    store: Store
    spaces: tuple[SeriesSpace, ...]
    indexes: dict[str, ResultIndex]
    chunk_seconds: float
    processes: int
    counts: dict[str, SeriesCount] = field(init=False)
    #: Why ensembles were left out, one line each.
    left_out: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self._seen = {one.dataset_id: KeySet() for one in self.spaces}
        self._singles: dict[str, bool] = {}
        self.left_out = set()
        self._passing = {one.dataset_id: len(one.kinds()) for one in self.spaces}
        self._tally = {one.dataset_id: SeriesCount(one.series, 0, 0, 0) for one in self.spaces}
        self.counts = {}
        for one in self.spaces:
            index = self.indexes[one.dataset_id]
            self.counts[one.dataset_id] = SeriesCount(one.series, one.size, len(index), index.n_failed)

    @property
    def sweep_id(self) -> str:
        """Id of the sweep: equal spaces over equal datasets are the same sweep."""
        return digest([[one.dataset_id, one.size] for one in self.spaces])[:12]

    @property
    def results(self) -> int:
        """Results on the datasets when the round began."""
        return sum(len(index) for index in self.indexes.values())

    def kinds(self) -> set[str]:
        """The kinds of models in the search spaces."""
        return {kind for one in self.spaces for kind in one.kinds()}

    def chunks(self, kinds: set[str]) -> Iterator[Chunk]:
        """The chunks of some kinds of models without a result, lazily.

        The series and kind with the longest cases come first, so that no long case runs alone at the end.
        """
        stages = [(one, kind) for one in self.spaces for kind in sorted(one.kinds() & kinds)]
        left = sum(one.seconds(kind)[1] for one, kind in stages)

        def aim() -> float:
            share = left / (self.processes * CHUNKS_LEFT)
            return min(self.chunk_seconds, max(share, SHORTEST_CHUNK_SECONDS))

        for one, kind in sorted(stages, key=lambda stage: -stage[0].seconds(stage[1])[0]):

            def passed(case: TestCase, one: SeriesSpace = one) -> float:
                nonlocal left
                seconds = one.seconds_of(case)
                left -= seconds
                return seconds

            yield from cut_chunks(one.dataset_id, self._cases(one, kind), passed, aim)

    def count_all(self) -> None:
        """Enumerate all cases without evaluating any, so that the counts are exact."""
        for _ in self.chunks(self.kinds()):
            pass

    def forecast(self) -> dict[str, Workload]:
        """Enumerate all cases without evaluating any; returns the remaining work by dataset id."""
        loads = {one.dataset_id: Workload() for one in self.spaces}
        for one in self.spaces:
            for kind in sorted(one.kinds()):
                for case, due in self._cases(one, kind):
                    if due:
                        loads[one.dataset_id].keys.append(case.key)
                        loads[one.dataset_id].seconds += one.seconds_of(case)
        return loads

    def _cases(self, one: SeriesSpace, kind: str) -> Iterator[tuple[TestCase, bool]]:
        """The distinct cases of a kind, each with whether it is to do; counts them as a side effect."""
        index, seen, tally = self.indexes[one.dataset_id], self._seen[one.dataset_id], self._tally[one.dataset_id]
        for cases in one.ranges:
            if kind not in cases.kinds:
                continue
            rungs = self._rungs(cases, index)
            for case in self._open_cases(one, cases, rungs):
                if MODELS[case.model].kind != kind or not seen.add(key := case.key):
                    continue
                result = index.find(key)
                tally.total += 1
                tally.found += result is not None
                if result is not None and result[1]:
                    tally.found_failed += 1
                    tally.failed_keys.append(key)
                yield case, result is None
            if rungs:
                tally.pruned += rungs.pruned
                tally.total += rungs.unopened
            elif cases.space.members and not self._singles_done(one):
                tally.total += cases.size
        self._pass_ended(one.dataset_id)

    def _rungs(self, cases: CaseRange, index: ResultIndex) -> Rungs | None:
        return Rungs(cases, cases.space.halving, index) if cases.space.halving else None

    def _open_cases(self, one: SeriesSpace, cases: CaseRange, rungs: Rungs | None) -> Iterator[TestCase]:
        """The cases of a range that can be done: ensembles only once all other cases have a result."""
        if rungs:
            yield from rungs.cases()
        elif not cases.space.members:
            yield from (case for _, case in cases.numbered())
        elif self._singles_done(one):
            found, missing = ensembles(cases.space.members, comparable_cases(self.store, one.dataset_id))
            if missing:
                self.left_out.add(
                    f"{one.series}: an ensemble of search space {cases.space.name!r} was left out, because no case of "
                    f"{', '.join(missing)} has a result. Add one to a search space, or remove the member."
                )
            yield from found

    def _singles_done(self, one: SeriesSpace) -> bool:
        """Whether all other cases of a series had a result when the round began."""
        if one.dataset_id not in self._singles:
            self._singles[one.dataset_id] = self._all_tested(one)
        return self._singles[one.dataset_id]

    def _all_tested(self, one: SeriesSpace) -> bool:
        index = self.indexes[one.dataset_id]
        for cases in one.ranges:
            rungs = self._rungs(cases, index)
            if not cases.space.members and any(
                index.find(case.key) is None for case in self._open_cases(one, cases, rungs)
            ):
                return False
            if rungs and rungs.unopened:
                return False
        return True

    def _pass_ended(self, dataset_id: str) -> None:
        self._passing[dataset_id] -= 1
        if self._passing[dataset_id] == 0:
            count, tally = self.counts[dataset_id], self._tally[dataset_id]
            count.total, count.found, count.found_failed = tally.total, tally.found, tally.found_failed
            count.pruned, count.failed_keys, count.exact = tally.pruned, tally.failed_keys, True


@dataclass(frozen=True)
class Sweep:
    """The search spaces of a workspace over its newest datasets."""

    store: Store
    spaces: tuple[SeriesSpace, ...]
    chunk_seconds: float
    processes: int

    def round(self) -> Round:
        """A pass over the store as it is now, without series of deleted datasets (see `ml.execution.diagnostics`)."""
        problems = dataset_problems(self.store, [one.dataset_id for one in self.spaces])
        spaces = tuple(one for one in self.spaces if one.dataset_id not in problems)
        indexes = {one.dataset_id: read_result_index(self.store, one.dataset_id) for one in spaces}
        return Round(self.store, spaces, indexes, self.chunk_seconds, self.processes)

    def warnings(self) -> list[str]:
        """Problems of the datasets and results in the store, one line per problem."""
        return sweep_warnings(self.store, [one.dataset_id for one in self.spaces])

    def unused(self) -> list[str]:
        """The series without a search space, in one line."""
        idle = [str(one.series) for one in self.spaces if not one.ranges]
        return [f"No search space is for {', '.join(idle)}: nothing was tried there."] if idle else []

    def failures(self, plan: Round) -> list[str]:
        """Why cases failed or were left out, one line per reason, for a round that has enumerated all cases."""
        failed = {dataset_id: count.failed_keys for dataset_id, count in plan.counts.items()}
        return [*failure_reasons(self.store, failed), *sorted(plan.left_out)]


def build_sweep(
    store: Store,
    spaces: list[SearchSpace],
    datasets: Mapping[Series, Manifest],
    catalogue: Mapping[str, str],
    *,
    chunk_seconds: float,
    processes: int,
) -> Sweep:
    """The sweep of search spaces over datasets.

    Args:
        store: holds the datasets and the results.
        spaces: the search spaces.
        datasets: series -> manifest of its dataset.
        catalogue: feature column -> group.
        chunk_seconds: the longest time of a chunk.
        processes: the least number of processes that work at the same time.

    Raises:
        StoreError: a dataset lacks columns that a search space uses.
        CaseError: a search space uses an unknown name.
    """
    measured: list[Costs] = []

    def measure() -> Costs:
        if not measured:
            measured.append(measured_costs(store))
        return measured[0]

    built = []
    for series, manifest in datasets.items():
        applying = [space for space in spaces if space.applies_to(series)]
        _require_columns(applying, catalogue, manifest)
        panel = bool(manifest.get("panel"))
        ranges = tuple(CaseRange(space, series, catalogue, panel) for space in applying)
        costs = costs_of_dataset(store, manifest["id"], measure)
        built.append(SeriesSpace(series, manifest["id"], manifest["rows"], ranges, costs))
    return Sweep(store, tuple(built), chunk_seconds, processes)


def open_sweep(workspace: Workspace, processes: int, only: Collection[Series] = ()) -> Sweep:
    """The sweep of a workspace; starts at once, however large its search spaces are.

    Args:
        workspace: settings and store.
        processes: the least number of processes that work at the same time.
        only: the series to sweep; empty: all that have a dataset.

    Raises:
        StoreError: nothing was exported yet, or datasets lack columns that a search space uses.
        CaseError: a search space uses an unknown name.
    """
    datasets = require_datasets(workspace)
    if missing := [str(series) for series in only if series not in datasets]:
        raise StoreError(f"No dataset of {', '.join(missing)}. Run `candleworks ingest`, `transform` and `export`.")
    return build_sweep(
        workspace.store,
        search_spaces(workspace),
        {series: manifest for series, manifest in datasets.items() if not only or series in only},
        catalogue_groups(workspace),
        chunk_seconds=workspace.settings.sweep.chunk_seconds,
        processes=processes,
    )


def _require_columns(spaces: list[SearchSpace], catalogue: Mapping[str, str], manifest: Manifest) -> None:
    wanted = {column for column, group in catalogue.items() if any(space.may_use(column, group) for space in spaces)}
    if missing := wanted - set(manifest["columns"]):
        raise StoreError(
            f"Dataset {manifest['id']} lacks {', '.join(sorted(missing))}, which a search space uses. "
            "Run `candleworks export`, with the same --space as the sweep."
        )
