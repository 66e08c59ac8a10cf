"""The job of running a chunk: a plain function of plain arguments, so that it can be sent to another process."""

from __future__ import annotations

from typing import Any

from ml.execution.chunks import Chunk, chunk_lines, run_chunk
from ml.execution.limits import CaseLimits
from ml.records import ChunkLine
from ml.search.cases import TestCase
from ml.store import Store
from ml.version import code_version


def do_chunk(
    store_url: str,
    dataset_id: str,
    cases: list[dict[str, Any]],
    lease_seconds: float,
    limits: dict[str, float] | None = None,
) -> list[ChunkLine]:
    """Lease and run one chunk; `limits` are those of one case, by the names of `ml.execution.limits.CaseLimits`.

    Returns:
        A short record per case for the progress (case_key, status, seconds, worker); empty if another worker holds it.
    """
    chunk = Chunk(dataset_id, tuple(TestCase(**case) for case in cases))
    rows = run_chunk(
        Store(store_url),
        chunk,
        lease_seconds=lease_seconds,
        code_version=code_version(),
        limits=CaseLimits(**(limits or {})),
    )
    return chunk_lines(rows or [])
