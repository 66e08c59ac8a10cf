"""Chunks: blocks of test cases on one dataset, claimed, done and written to one result file as a whole."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ml.canonical import digest
from ml.data.datasets import Dataset, read_dataset
from ml.errors import CandleworksError
from ml.evaluation.evaluate import Evaluation, Fit, evaluate, fit_rows
from ml.execution.grouping import fit_together, groups_of
from ml.execution.leases import Lease, acquire_lease, is_latest, keep_lease_alive, release
from ml.execution.limits import STDERR, CaseLimits, CaseWatch, failure, require_meaning
from ml.execution.poison_cases import Deaths, begin, crash_file, end, poison_cases
from ml.execution.results import (
    RunInfo,
    lineage_id,
    part_path,
    read_result_file,
    result_files,
    result_path,
    result_row,
    write_results,
)
from ml.execution.workers import worker_name
from ml.models import MODELS
from ml.search.cases import TestCase
from ml.store import Store

#: How often a worker that is careful saves what it has done.
SAVE_SECONDS = 5.0
GIVEN_UP = "its process died again and again: it crashed, or was killed for its memory"


@dataclass(frozen=True)
class Chunk:
    """Test cases of one dataset that one worker does in one go."""

    dataset_id: str
    cases: tuple[TestCase, ...]

    @property
    def id(self) -> str:
        """Hash over dataset and case keys: the same work has the same name, whoever cut it."""
        return digest([self.dataset_id, [case.key for case in self.cases]])[:24]


@dataclass(frozen=True)
class _Begun:
    """A case that a worker has begun."""

    case: TestCase
    dataset_id: str
    worker: str
    code_version: str
    #: Seconds that were spent on it before, in a group.
    shared: float = 0.0
    started: datetime = field(default_factory=lambda: datetime.now(UTC).replace(tzinfo=None))
    clock: float = field(default_factory=time.perf_counter)

    def row(self, outcome: Evaluation | str) -> dict[str, Any]:
        """The result row of an outcome that is there now."""
        run = RunInfo(
            worker=self.worker,
            started_at=self.started,
            finished_at=datetime.now(UTC).replace(tzinfo=None),
            fit_seconds=self.shared + time.perf_counter() - self.clock,
            # ru_maxrss is in KiB on Linux.
            peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            code_version=self.code_version,
        )
        return result_row(self.case, self.dataset_id, run, outcome)


def run_case(
    case: TestCase, dataset: Dataset, worker: str, code_version: str, fit: Fit = fit_rows, shared: float = 0.0
) -> dict[str, Any]:
    """Evaluate one case and describe the outcome as a row; a case that fails is a result with its error.

    Args:
        case: what to evaluate.
        dataset: on what.
        worker: who does it.
        code_version: with what code.
        fit: who fits; `ml.execution.grouping.fit_together` may have done it already,
        shared: which took so many seconds for each of the group.
    """
    begun = _Begun(case, dataset.id, worker, code_version, shared)
    outcome: Evaluation | str
    try:
        outcome = evaluate(case, dataset, fit)
        require_meaning(outcome)
    except Exception as error:  # a poisoned case must not take the sweep with it
        outcome = failure(error)
    return begun.row(outcome) | {"lineage": lineage_id(dataset, case)}


@dataclass
class _Work:
    """A worker's turn on a chunk: what it has done, and what of it is in the store.

    Attributes:
        rows: done in this turn.
        unwritten: the last ones of them, which are in no file yet.
    """

    store: Store
    chunk: Chunk
    held: Lease
    code_version: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    unwritten: list[dict[str, Any]] = field(default_factory=list)
    parts: int = 0
    written_at: float = field(default_factory=time.monotonic)

    def begun(self, case: TestCase, shared: float = 0.0) -> _Begun:
        return _Begun(case, self.chunk.dataset_id, self.held.worker, self.code_version, shared)

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self.unwritten.append(row)

    def write_part(self) -> None:
        """Save what is done; the work goes on with this worker or another."""
        self._write(part_path(self.chunk.dataset_id, self.chunk.id, self.held.turn, self.parts))
        self.parts += 1

    def write_rest(self) -> bool:
        """End the chunk; False when another worker has overtaken this one, and nothing was changed."""
        return self._write(result_path(self.chunk.dataset_id, self.chunk.id))

    def _write(self, path: str) -> bool:
        # Without this look a late worker would add second rows beside the first ones, in a file of another name.
        if not is_latest(self.store, self.held):
            return False
        rows, self.unwritten, self.written_at = self.unwritten, [], time.monotonic()
        return not rows or write_results(self.store, path, rows)

    def stop(self, begun: _Begun, reason: str) -> None:
        """A case has passed a limit and its process is about to end (see `ml.execution.limits`)."""
        self.add(begun.row(reason))
        self.write_part()
        end(self.store, self.chunk.dataset_id, begun.case.key)
        self._leave()

    def stop_group(self, _: str) -> None:
        """A group has passed a limit; whoever takes the chunk up next does its cases one by one."""
        self.write_part()
        self._leave()

    def _leave(self) -> None:
        with suppress(CandleworksError, OSError):
            release(self.store, self.held)


def run_chunk(
    store: Store,
    chunk: Chunk,
    *,
    lease_seconds: float,
    code_version: str,
    limits: CaseLimits | None = None,
    on_case: Callable[[dict[str, Any]], None] = lambda row: None,
) -> Sequence[dict[str, Any]] | None:
    """Lease a chunk, do what of it has not been done, write its result file.

    A chunk that was lost before, or that holds a suspect, is done carefully: each case is written down before it
    begins, and what is done is saved every few seconds. So a case that takes its process down is found, ends as a
    failed result, and its neighbours are done.

    Returns:
        The rows, also those that an earlier worker had saved; None when another worker holds it or has done it.

    Raises:
        DatasetError: the dataset is gone or broken. Nothing is recorded: that says nothing about the cases.
        StoreError: the results cannot be written; what was done since the last save is lost.
    """
    path = result_path(chunk.dataset_id, chunk.id)
    if store.exists(path):
        return None
    held = acquire_lease(store, chunk.id, worker_name(), time.time(), lease_seconds)
    if held is None:
        return None
    with keep_lease_alive(store, held, lease_seconds):
        if store.exists(path):
            return None  # done between the look and the claim
        saved = _rows_in_store(store, chunk) if held.turn else []
        known = {row["case_key"] for row in saved}
        missing = [case for case in chunk.cases if case.key not in known]
        if not missing:
            return saved
        work = _Work(store, chunk, held, code_version)
        _do(work, missing, limits or CaseLimits(), on_case)
        return [*saved, *work.rows] if work.write_rest() else None


def _do(work: _Work, cases: Sequence[TestCase], limits: CaseLimits, on_case: Callable[[dict[str, Any]], None]) -> None:
    store, dataset_id = work.store, work.chunk.dataset_id
    dataset = read_dataset(store, dataset_id)
    known = poison_cases(store, dataset_id)
    careful = work.held.turn > 0 or any(case.key in known for case in cases)
    _load_libraries(cases)
    with CaseWatch(limits, crash_file() if careful else STDERR) as watch:
        if careful:
            _do_carefully(work, cases, dataset, known, watch, on_case)
            return
        for group in groups_of(cases):
            fit, shared = _fitted(work, group, dataset, watch)
            for case in group:
                with watch.case(partial(work.stop, work.begun(case, shared))):
                    row = run_case(case, dataset, work.held.worker, work.code_version, fit, shared)
                work.add(row)
                on_case(row)


def _do_carefully(
    work: _Work,
    cases: Sequence[TestCase],
    dataset: Dataset,
    known: dict[str, Deaths],
    watch: CaseWatch,
    on_case: Callable[[dict[str, Any]], None],
) -> None:
    """One by one, each written down before it begins: one of them may have taken a process down."""
    for case in cases:
        begun = work.begun(case)
        if case.key in known and known[case.key].is_poison:
            work.add(begun.row(GIVEN_UP))
            work.write_part()  # before its record goes, which would have to be gathered again
        else:
            begin(work.store, dataset.id, case.key)
            with watch.case(partial(work.stop, begun)):
                row = run_case(case, dataset, work.held.worker, work.code_version)
            work.add(row)
        end(work.store, dataset.id, case.key)
        on_case(work.rows[-1])
        if time.monotonic() - work.written_at > SAVE_SECONDS:
            work.write_part()


def _fitted(work: _Work, group: Sequence[TestCase], dataset: Dataset, watch: CaseWatch) -> tuple[Fit, float]:
    """Who fits the cases of a group, and the seconds that this took already for each of them."""
    if len(group) == 1:
        return fit_rows, 0.0
    started = time.perf_counter()
    try:
        with watch.case(work.stop_group):
            fit = fit_together(group, dataset)
    except Exception:  # one by one they say what is wrong, if it is not that they are too many together
        return fit_rows, 0.0
    return fit, (time.perf_counter() - started) / len(group)


def _load_libraries(cases: Sequence[TestCase]) -> None:
    """Seconds that are no case's own: neither its cost, nor its fault if the process dies in them."""
    for name, case in {case.model: case for case in cases}.items():
        with suppress(Exception):  # what is wrong with it, it says when it is evaluated
            MODELS[name].build(case.params, 0)


def chunk_lines(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What progress needs of result rows: case_key, status, seconds and worker (its machine)."""
    return [
        {
            "case_key": row["case_key"],
            "status": row["status"],
            "seconds": row["fit_seconds"],
            "worker": row["worker"].split(":", 1)[0],
        }
        for row in rows
    ]


def _rows_in_store(store: Store, chunk: Chunk) -> list[dict[str, Any]]:
    """Rows of a chunk from its file and from the parts that lost workers have saved, one a case."""
    paths = [path for path in result_files(store, chunk.dataset_id) if path.split("/")[-1].startswith(chunk.id)]
    first: dict[str, dict[str, Any]] = {}
    for row in (row for path in paths for row in read_result_file(store, path)):
        first.setdefault(row["case_key"], row)
    return list(first.values())


def read_chunk_lines(store: Store, chunk: Chunk) -> list[dict[str, Any]]:
    """The lines of what has been done of a chunk elsewhere; empty while it has no result."""
    return chunk_lines(_rows_in_store(store, chunk))
