"""Chunks: blocks of test cases on one dataset, leased, evaluated and written to one result file as a unit."""

from __future__ import annotations

import gzip
import json
import resource
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache, partial

from ml.canonical import canonical_json, digest
from ml.data.datasets import Dataset, read_dataset
from ml.errors import CandleworksError, StoreError
from ml.evaluation.evaluate import Evaluation, evaluate
from ml.execution.grouping import Together, fit_together, groups_of
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
from ml.execution.workers import machine_of, worker_name
from ml.metrics import running
from ml.models import MODELS
from ml.records import ChunkLine, ResultRow
from ml.search.cases import TestCase
from ml.signatures import SigningKey
from ml.store import Store

#: How often a worker in careful mode saves its rows.
SAVE_SECONDS = 5.0
GIVEN_UP = "its worker process died repeatedly: it crashed, hung in native code, or ran out of memory"


@dataclass(frozen=True)
class Chunk:
    """Test cases of one dataset, the unit of work of one worker."""

    dataset_id: str
    cases: tuple[TestCase, ...]

    @cached_property
    def id(self) -> str:
        """Hash of dataset and case keys: equal work has equal ids on every machine."""
        return digest([self.dataset_id, [case.key for case in self.cases]])[:24]


def chunk_path(dataset_id: str, chunk_id: str) -> str:
    """Path of the cases of a chunk, for a worker that gets its id only."""
    return f"chunks/{dataset_id}/{chunk_id}.json.gz"


def write_chunk(store: Store, chunk: Chunk) -> None:
    """Store the cases of a chunk; neighbouring cases are nearly equal, so they compress well.

    A file that stays is harmless: the same chunk has the same cases, and writes it again.
    """
    content = canonical_json([case.content() for case in chunk.cases])
    store.replace(chunk_path(chunk.dataset_id, chunk.id), gzip.compress(content.encode(), compresslevel=6))


def read_chunk(store: Store, dataset_id: str, chunk_id: str) -> Chunk | None:
    """A stored chunk; None if it has its results already, as its cases may have been deleted.

    Raises:
        StoreError: there is neither.
    """
    if store.exists(result_path(dataset_id, chunk_id)):
        return None
    path = chunk_path(dataset_id, chunk_id)
    try:
        cases = tuple(TestCase(**case) for case in json.loads(gzip.decompress(store.read(path))))
    except FileNotFoundError:
        raise StoreError(
            f"The store {store.url} has no {path}: the sweep that submitted it has ended, or it uses another store. "
            "The next sweep submits its cases again."
        ) from None
    except (OSError, EOFError, ValueError, TypeError, zlib.error):
        raise StoreError(f"{path} is damaged. The next sweep submits its cases again.") from None
    return Chunk(dataset_id, cases)


@dataclass(frozen=True)
class _Begun:
    """A case in progress."""

    case: TestCase
    dataset_id: str
    worker: str
    code_version: str
    #: Its share of the seconds of a grouped fit.
    shared: float = 0.0
    started: datetime = field(default_factory=lambda: datetime.now(UTC).replace(tzinfo=None))
    clock: float = field(default_factory=time.perf_counter)

    def row(self, outcome: Evaluation | str) -> ResultRow:
        """The result row of an outcome, finished now."""
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
    case: TestCase,
    dataset: Dataset,
    worker: str,
    code_version: str,
    together: Together | None = None,
    shared: float = 0.0,
) -> ResultRow:
    """Evaluate one case and return a result row; a failed case gives a row with its error.

    Args:
        case: to evaluate.
        dataset: to evaluate it on.
        worker: name of the worker.
        code_version: of the code.
        together: the case's group, if it was fitted with others.
        shared: seconds of that, per case.
    """
    begun = _Begun(case, dataset.id, worker, code_version, shared)
    outcome: Evaluation | str
    try:
        outcome = evaluate(case, dataset, together.fit, together.predict) if together else evaluate(case, dataset)
        require_meaning(outcome)
    except Exception as error:  # a failing case must not stop the sweep
        outcome = failure(error)
    return begun.row(outcome) | {"lineage": lineage_id(dataset, case)}


@dataclass
class _Work:
    """A worker's progress on a leased chunk.

    Attributes:
        key: signs the result files.
        rows: of the cases done under this lease.
        unwritten: the latest of them, not yet in a file.
    """

    store: Store
    chunk: Chunk
    held: Lease
    code_version: str
    key: SigningKey | None = None
    rows: list[ResultRow] = field(default_factory=list)
    unwritten: list[ResultRow] = field(default_factory=list)
    parts: int = 0
    written_at: float = field(default_factory=time.monotonic)

    def begun(self, case: TestCase, shared: float = 0.0) -> _Begun:
        return _Begun(case, self.chunk.dataset_id, self.held.worker, self.code_version, shared)

    def add(self, row: ResultRow) -> None:
        self.rows.append(row)
        self.unwritten.append(row)

    def write_part(self) -> None:
        """Save the unwritten rows; this worker or another continues the chunk."""
        self._write(part_path(self.chunk.dataset_id, self.chunk.id, self.held.generation, self.parts))
        self.parts += 1

    def write_rest(self) -> bool:
        """Finish the chunk; False if another worker has taken over the lease and nothing was changed."""
        return self._write(result_path(self.chunk.dataset_id, self.chunk.id))

    def _write(self, path: str) -> bool:
        # Without this check a worker whose lease has expired would write duplicate rows to a file of another name.
        if not is_latest(self.store, self.held):
            return False
        rows, self.unwritten, self.written_at = self.unwritten, [], time.monotonic()
        return not rows or write_results(self.store, path, rows, self.key)

    def stop(self, begun: _Begun, reason: str) -> None:
        """Record a case that exceeded a limit, before the process exits (see `ml.execution.limits`)."""
        self.add(begun.row(reason))
        self.write_part()
        end(self.store, self.chunk.dataset_id, begun.case.key)
        self._leave()

    def stop_group(self, _: str) -> None:
        """Save the rows when a group exceeded a limit; the next worker does its cases one by one."""
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
    on_case: Callable[[ResultRow], None] = lambda row: None,
    key: SigningKey | None = None,
) -> Sequence[ResultRow] | None:
    """Lease a chunk, do its missing cases, write its result file, signed with `key`.

    A chunk that was lost before, or that contains a suspected poison case, is done in careful mode: each case is
    recorded before it begins, and rows are saved every few seconds. So a case that crashes its process is identified
    and recorded as failed, and the other cases of the chunk are done.

    Returns:
        The rows, including those saved by an earlier worker; None if another worker holds the lease or has finished.

    Raises:
        DatasetError: the dataset, or one that its cases learn from too, is missing or broken. No result is recorded,
            since the cases are not at fault.
        StoreError: the results cannot be written; the rows since the last save are lost.
    """
    path = result_path(chunk.dataset_id, chunk.id)
    if store.exists(path):
        return None
    held = acquire_lease(store, chunk.id, worker_name(), time.time(), lease_seconds)
    if held is None:
        return None
    with keep_lease_alive(store, held, lease_seconds):
        if store.exists(path):
            return None  # finished by another worker before the lease was acquired
        saved = _rows_in_store(store, chunk) if held.generation else []
        known = {row["case_key"] for row in saved}
        missing = [case for case in chunk.cases if case.key not in known]
        if not missing:
            return saved
        work = _Work(store, chunk, held, code_version, key)
        _do(work, missing, limits or CaseLimits(), on_case)
        return [*saved, *work.rows] if work.write_rest() else None


def _do(work: _Work, cases: Sequence[TestCase], limits: CaseLimits, on_case: Callable[[ResultRow], None]) -> None:
    store, dataset_id = work.store, work.chunk.dataset_id
    dataset = _opened(store.url, dataset_id)
    if any(one.pool for case in cases for one in (case, *(case.members or ()))):
        list(dataset.panel.values())  # a missing one is no fault of the cases
    known = poison_cases(store, dataset_id)
    careful = work.held.generation > 0 or any(case.key in known for case in cases)
    _load_libraries(cases)
    with CaseWatch(limits, crash_file() if careful else STDERR) as watch:
        if careful:
            _do_carefully(work, cases, dataset, known, watch, on_case)
            return
        for group in groups_of(cases, dataset):
            together, shared = _fitted(work, group, dataset, watch)
            for case in group:
                with watch.case(partial(work.stop, work.begun(case, shared))):
                    row = run_case(case, dataset, work.held.worker, work.code_version, together, shared)
                work.add(row)
                on_case(row)


@lru_cache(maxsize=2)
def _opened(url: str, dataset_id: str) -> Dataset:
    """A dataset, kept with all that is computed once for it: the chunks that a process does are mostly of one dataset.

    Raises:
        DatasetError: it is missing or broken.
    """
    return read_dataset(Store(url), dataset_id)


def _do_carefully(
    work: _Work,
    cases: Sequence[TestCase],
    dataset: Dataset,
    known: dict[str, Deaths],
    watch: CaseWatch,
    on_case: Callable[[ResultRow], None],
) -> None:
    """Do cases one by one, recording each before it begins: one of them may have crashed a worker process."""
    for case in cases:
        begun = work.begun(case)
        if case.key in known and known[case.key].is_poison:
            work.add(begun.row(GIVEN_UP))
            work.write_part()  # before its record is deleted: otherwise a crash here would lose the evidence
        else:
            begin(work.store, dataset.id, case.key)
            with watch.case(partial(work.stop, begun)):
                row = run_case(case, dataset, work.held.worker, work.code_version)
            work.add(row)
        end(work.store, dataset.id, case.key)
        on_case(work.rows[-1])
        if time.monotonic() - work.written_at > SAVE_SECONDS:
            work.write_part()


def _fitted(
    work: _Work, group: Sequence[TestCase], dataset: Dataset, watch: CaseWatch
) -> tuple[Together | None, float]:
    """The fits of a group of several cases, and the seconds already spent per case."""
    if len(group) == 1:
        return None, 0.0
    started = time.perf_counter()
    try:
        with watch.case(work.stop_group):
            together = fit_together(group, dataset)
    except Exception:  # each case is then fitted alone and reports its own error, if it has one
        return None, 0.0
    return together, (time.perf_counter() - started) / len(group)


def _load_libraries(cases: Sequence[TestCase]) -> None:
    """Load compiled code and the models' libraries up front: neither the time nor a crash counts against a case."""
    if any(case.evaluation is not None for case in cases):
        running.load()
    for name, case in {case.model: case for case in cases}.items():
        with suppress(Exception):  # reported when the case is evaluated
            MODELS[name].build(case.params, 0)


def chunk_lines(rows: Sequence[ResultRow]) -> list[ChunkLine]:
    """Result rows as progress records: case_key, status, seconds and worker (its machine)."""
    return [
        {
            "case_key": row["case_key"],
            "status": row["status"],
            "seconds": row["fit_seconds"],
            "worker": machine_of(row["worker"]),
        }
        for row in rows
    ]


def _rows_in_store(store: Store, chunk: Chunk) -> list[ResultRow]:
    """Rows of a chunk from its file and from the parts saved by lost workers, one per case."""
    paths = [path for path in result_files(store, chunk.dataset_id) if path.split("/")[-1].startswith(chunk.id)]
    first: dict[str, ResultRow] = {}
    for row in (row for path in paths for row in read_result_file(store, path)):
        first.setdefault(row["case_key"], row)
    return list(first.values())


def read_chunk_lines(store: Store, chunk: Chunk) -> list[ChunkLine]:
    """Progress records of a chunk from the store; empty while it has no result."""
    return chunk_lines(_rows_in_store(store, chunk))
