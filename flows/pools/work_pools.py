"""Work pools: chunks of a sweep as runs of a deployment, executed by any worker of the pool."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from flows.pools.local_pool import ATTEMPTS
from ml.errors import ServiceError, StoreError
from ml.execution.chunks import Chunk, chunk_path, read_chunk_lines, write_chunk
from ml.records import ChunkLine
from ml.store import Store

CHUNK_DEPLOYMENT = "sweep-chunk/sweep-chunk-{pool}"
POLL_SECONDS = 2.0
#: How often to check, for a run that has not started, that its pool still has an online worker.
ONLINE_SECONDS = 30.0


def has_online_worker(pool: str) -> bool:
    """Whether at least one live worker polls the pool; False where there is no such pool."""
    with get_client(sync_client=True) as client:
        return _has_online_worker(client, pool)


def _has_online_worker(client: SyncPrefectClient, pool: str) -> bool:
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        return False
    workers = client.read_workers_for_work_pool(pool)
    return any(worker.status == WorkerStatus.ONLINE for worker in workers)


def run_on_work_pool(
    pool: str,
    store: Store,
    chunk: Chunk,
    lease_seconds: float,
    limits: dict[str, float],
    on_start: Callable[[], None] = lambda: None,
) -> list[ChunkLine]:
    """Run one chunk on the pool and wait for it; the results are in the store, their short lines come back.

    A run that crashed is submitted again at once, so that a case that crashes its process is soon found (see
    `ml.execution.poison_cases`). A chunk that no worker started, or that crashed each time, is submitted again in a
    later round. `limits` are those of one case (`flows.pools.chunk_job`); `on_start` is called when a worker starts.
    The cases are in the store while they are needed: a server keeps at most 512 KiB of the parameters of a run.

    Raises:
        ServiceError: the run failed with an exception, such as that of a worker with another version.
        StoreError: the cases cannot be stored.
    """
    parameters = {
        "store_url": store.url,
        "dataset_id": chunk.dataset_id,
        "chunk_id": chunk.id,
        "lease_seconds": lease_seconds,
        "limits": limits,
    }
    try:
        for attempt in range(ATTEMPTS):
            write_chunk(store, chunk)  # each time: a concurrent sweep may have deleted it
            # The function is a coroutine only when it is called from one, which its type cannot tell.
            run = cast(FlowRun, run_deployment(CHUNK_DEPLOYMENT.format(pool=pool), parameters=parameters, timeout=0))
            state = wait_for_run(run, pool, on_start if attempt == 0 else lambda: None)
            if state.is_failed():
                raise ServiceError(f"A chunk failed on the work pool {pool}: {state.message}")
            if state.is_completed():
                break
            if state.is_cancelled():
                return []
        return read_chunk_lines(store, chunk)
    finally:
        with suppress(StoreError):  # one that stays is harmless
            store.delete(chunk_path(chunk.dataset_id, chunk.id))


def wait_for_run(run: FlowRun, pool: str, on_start: Callable[[], None]) -> State:
    """Wait for the end of a run; returns its last state."""
    begun = False
    looked = time.monotonic()
    with get_client(sync_client=True) as client:
        while run.state is None or not run.state.is_final():
            time.sleep(POLL_SECONDS)
            run = client.read_flow_run(run.id)
            if not begun and run.state is not None and (run.state.is_running() or run.state.is_completed()):
                begun = True
                on_start()
            if not begun and time.monotonic() - looked > ONLINE_SECONDS:
                looked = time.monotonic()
                if not _has_online_worker(client, pool):
                    client.set_flow_run_state(run.id, Cancelled(message=f"No worker is left on the pool {pool}."))
    return run.state
