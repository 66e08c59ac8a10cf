"""The job of running a chunk: plain functions of arguments that can be sent to another process."""

from __future__ import annotations

import os

from flows.pools.worker_process import KEY_VARIABLE
from ml.execution.chunks import Chunk, chunk_lines, read_chunk, run_chunk
from ml.execution.limits import CaseLimits
from ml.records import ChunkLine
from ml.signatures import SigningKey
from ml.store import Store
from ml.version import code_version


def do_chunk(
    store_url: str, chunk: Chunk, lease_seconds: float, limits: dict[str, float] | None = None
) -> list[ChunkLine]:
    """Lease and run one chunk; `limits` are those of one case, by the names of `ml.execution.limits.CaseLimits`.

    The results are signed with the key in the environment of the worker, if there is one: so it is in no parameter of a
    run, which the server stores.

    Returns:
        A short record per case for the progress (case_key, status, seconds, worker); empty if another worker holds it.
    """
    rows = run_chunk(
        Store(store_url),
        chunk,
        lease_seconds=lease_seconds,
        code_version=code_version(),
        limits=CaseLimits(**(limits or {})),
        key=SigningKey(os.environ[KEY_VARIABLE]) if os.environ.get(KEY_VARIABLE) else None,
    )
    return chunk_lines(rows or [])


def do_stored_chunk(
    store_url: str, dataset_id: str, chunk_id: str, lease_seconds: float, limits: dict[str, float] | None = None
) -> list[ChunkLine]:
    """`do_chunk` for a chunk that was stored with `ml.execution.chunks.write_chunk`.

    Raises:
        StoreError: it has neither cases nor results in the store.
    """
    chunk = read_chunk(Store(store_url), dataset_id, chunk_id)
    return [] if chunk is None else do_chunk(store_url, chunk, lease_seconds, limits)
