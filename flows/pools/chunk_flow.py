"""One chunk of a sweep as a flow, for workers on any machine: they need the Prefect API and the store only."""

from __future__ import annotations

from prefect import flow

from flows.pools.worker_process import use_one_thread
from ml.records import ChunkLine


@flow(name="sweep-chunk")
def run_chunk(
    store_url: str,
    dataset_id: str,
    chunk_id: str,
    lease_seconds: float = 600.0,
    limits: dict[str, float] | None = None,
) -> list[ChunkLine]:
    """Lease and run one chunk of cases that the submitter has stored; see `flows.pools.chunk_job`."""
    use_one_thread()
    from flows.pools.chunk_job import do_stored_chunk  # noqa: PLC0415 - after the number of threads is set

    return do_stored_chunk(store_url, dataset_id, chunk_id, lease_seconds, limits)
