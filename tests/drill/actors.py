"""The processes that a drill kills: `python -m tests.drill.actors coordinator|worker STORE CASES CASES_A_CHUNK`."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from flows.pools.worker_process import use_one_thread

use_one_thread()  # before NumPy is loaded: the same bits everywhere

from flows.pools.chunk_job import do_chunk  # noqa: E402
from flows.pools.local_pool import LocalPool  # noqa: E402
from ml.execution.chunks import Chunk, run_chunk  # noqa: E402
from ml.version import code_version  # noqa: E402
from tests.drill.work import Work  # noqa: E402

#: Short, so that a worker that was only stopped is overtaken within the drill.
LEASE_SECONDS = 3.0
PAUSE_SECONDS = 0.2


def missing_chunks(work: Work) -> list[Chunk]:
    """The chunks that have cases without a result."""
    done = work.done()
    return [chunk for chunk in work.chunks() if any(case.key not in done for case in chunk.cases)]


def coordinate(work: Work) -> None:
    """As a sweep does: rounds over what is missing, on a pool of chunk processes."""
    with LocalPool(2) as pool, ThreadPoolExecutor(pool.size) as threads:

        def one(chunk: Chunk) -> None:
            try:
                pool.run(do_chunk, work.store_url, chunk, LEASE_SECONDS)
            except BrokenProcessPool:
                return  # killed each time: the next round

        while missing := missing_chunks(work):
            list(threads.map(one, missing))
            time.sleep(PAUSE_SECONDS)  # what is left is in the hands of workers elsewhere


def work_alone(work: Work) -> None:
    """As a worker on another machine does: from the other end, whatever is free."""
    while missing := missing_chunks(work):
        for chunk in reversed(missing):
            run_chunk(work.store, chunk, lease_seconds=LEASE_SECONDS, code_version=code_version())
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    {"coordinator": coordinate, "worker": work_alone}[sys.argv[1]](Work.parse(sys.argv[2:]))
