"""Submits the chunks of a drill to the pool `cpu`, round after round: `python -m tests.drill.submitter STORE ...`."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from prefect.deployments import run_deployment

from flows.pools.work_pools import CHUNK_DEPLOYMENT
from ml.execution.chunks import Chunk, write_chunk
from tests.drill.actors import missing_chunks
from tests.drill.work import Work

#: As long as it takes: what was killed shall be found by the heartbeat automation, not by a lease that expires.
LEASE_SECONDS = 600.0
RUNS = 2


def submit(work: Work, chunk: Chunk) -> None:
    """Run a chunk on the pool and wait for its end, whatever that is."""
    write_chunk(work.store, chunk)
    parameters: dict[str, Any] = {
        "store_url": work.store_url,
        "dataset_id": chunk.dataset_id,
        "chunk_id": chunk.id,
        "lease_seconds": LEASE_SECONDS,
    }
    run_deployment(CHUNK_DEPLOYMENT.format(pool="cpu"), parameters=parameters, timeout=None, poll_interval=1)


def main(work: Work) -> None:
    """Rounds over what is missing."""
    with ThreadPoolExecutor(RUNS) as threads:
        while missing := missing_chunks(work):
            list(threads.map(partial(submit, work), missing))


if __name__ == "__main__":
    main(Work.parse(sys.argv[1:]))
