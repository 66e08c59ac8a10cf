"""Work pools: chunks of a sweep as runs of a deployment, done by whatever workers have joined."""

from __future__ import annotations

from typing import Any, cast

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from ml.cases import TestCase
from ml.chunks import Chunk, read_chunk_lines
from ml.store import Store

CHUNK_DEPLOYMENT = "sweep-chunk/sweep-chunk-{pool}"


def work_pool_is_manned(pool: str) -> bool:
    """Whether at least one live worker polls the pool; False where there is no such pool."""
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound:
            return False
        workers = client.read_workers_for_work_pool(pool)
    return any(worker.status == WorkerStatus.ONLINE for worker in workers)


def run_on_work_pool(
    pool: str, store_url: str, dataset_id: str, cases: list[dict[str, Any]], lease_seconds: float
) -> list[dict[str, Any]]:
    """Run one chunk on the pool and wait for it; the results are in the store, their short lines come back.

    A run that crashed has no lines: its chunk is not done and will be taken up again.
    """
    parameters = {"store_url": store_url, "dataset_id": dataset_id, "cases": cases, "lease_seconds": lease_seconds}
    # The function is a coroutine only when it is called from one, which its type cannot tell.
    run = cast(
        FlowRun,
        run_deployment(CHUNK_DEPLOYMENT.format(pool=pool), parameters=parameters, timeout=None, poll_interval=2),
    )
    if run.state is None or not run.state.is_completed():
        return []
    chunk = Chunk(dataset_id, tuple(TestCase(**case) for case in cases))
    return read_chunk_lines(Store(store_url), chunk)
