"""Chunks: blocks of test cases on one dataset, claimed, done and written to one result file as a whole."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ml.canonical import digest
from ml.cases import TestCase
from ml.claims import claim, kept
from ml.datasets import Dataset, read_dataset
from ml.errors import CandleworksError
from ml.evaluation import evaluate
from ml.results import RunInfo, read_result_file, result_path, result_row, write_results
from ml.store import Store
from ml.workers import worker_name


@dataclass(frozen=True)
class Chunk:
    """Test cases of one dataset that one worker does in one go."""

    dataset_id: str
    cases: tuple[TestCase, ...]

    @property
    def id(self) -> str:
        """Hash over dataset and case keys: the same work has the same name, whoever cut it."""
        return digest([self.dataset_id, [case.key for case in self.cases]])[:24]


def run_case(case: TestCase, dataset: Dataset, worker: str, code_version: str) -> dict[str, Any]:
    """Evaluate one case and describe the outcome as a row; a case that fails is a result with its error."""
    started = datetime.now(UTC).replace(tzinfo=None)
    clock = time.perf_counter()
    outcome: Any
    try:
        outcome = evaluate(case, dataset)
    except CandleworksError as error:
        outcome = str(error)
    except Exception as error:  # a poisoned case must not take the sweep with it
        outcome = f"{type(error).__name__}: {error}".splitlines()[0]
    run = RunInfo(
        worker=worker,
        started_at=started,
        finished_at=datetime.now(UTC).replace(tzinfo=None),
        fit_seconds=time.perf_counter() - clock,
        # ru_maxrss is in KiB on Linux.
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        code_version=code_version,
    )
    return result_row(case, dataset.id, run, outcome)


def run_chunk(
    store: Store,
    chunk: Chunk,
    *,
    lease_seconds: float,
    code_version: str,
    on_case: Callable[[dict[str, Any]], None] = lambda row: None,
) -> Sequence[dict[str, Any]] | None:
    """Claim a chunk, do it, write its result file.

    Returns:
        The rows; None when another worker holds it or has done it.
    """
    path = result_path(chunk.dataset_id, chunk.id)
    if store.exists(path):
        return None
    worker = worker_name()
    held = claim(store, chunk.id, worker, time.time(), lease_seconds)
    if held is None:
        return None
    with kept(store, held, lease_seconds):
        dataset = read_dataset(store, chunk.dataset_id)
        rows = []
        for case in chunk.cases:
            rows.append(run_case(case, dataset, worker, code_version))
            on_case(rows[-1])
    return rows if write_results(store, path, rows) else None


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


def read_chunk_lines(store: Store, chunk: Chunk) -> list[dict[str, Any]]:
    """The lines of a chunk that was done elsewhere; empty while it has no result."""
    path = result_path(chunk.dataset_id, chunk.id)
    return chunk_lines(read_result_file(store, path)) if store.exists(path) else []
