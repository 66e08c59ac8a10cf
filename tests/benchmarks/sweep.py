"""Overhead of leases, result files and the pool compared with the bare work."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flows.pools.chunk_job import do_chunk
from flows.pools.local_pool import LocalPool
from flows.pools.worker_process import use_one_thread
from ml.data.datasets import read_dataset, write_dataset
from ml.evaluation.evaluate import evaluate
from ml.execution.chunks import Chunk
from ml.execution.costs import cut_chunks
from ml.search.cases import TestCase
from ml.store import Store
from tests.benchmarks.pairing import report, seconds
from tests.synthetic import make_case, make_dataset

CASES = 400
_opened: dict[str, object] = {}


def _bare(url: str, dataset_id: str, case: TestCase) -> float:
    if dataset_id not in _opened:
        _opened[dataset_id] = read_dataset(Store(url), dataset_id)
    return evaluate(case, _opened[dataset_id]).metrics["rmse_pct"]  # type: ignore[arg-type]


def local_pool(name: str) -> None:
    """400 Ridge cases over the local pool in leased chunks against multiprocessing over the same function."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        dataset_id = write_dataset(store, make_dataset(20_000), "benchmark")
        cases = [make_case(params={"alpha": 0.1 * (number + 1)}, lags=3) for number in range(CASES)]
        chunks = list(cut_chunks(dataset_id, [(case, True) for case in cases], lambda _: 0.05, lambda: 2.0))
        with LocalPool(0, Path(folder) / "log") as pool, ThreadPoolExecutor(pool.size) as threads:
            warm = Chunk(dataset_id, (make_case(lags=2),))
            list(threads.map(lambda _: pool.run(do_chunk, folder, warm, 60.0), range(pool.size)))

            def ours() -> object:
                return list(threads.map(lambda chunk: pool.run(do_chunk, folder, chunk, 60.0), chunks))

            with multiprocessing.get_context("spawn").Pool(os.cpu_count(), use_one_thread) as bare:
                bare.starmap(_bare, [(folder, dataset_id, make_case(lags=2))] * 8, chunksize=1)
                work = [(folder, dataset_id, case) for case in cases]
                reference = seconds(lambda: bare.starmap(_bare, work, chunksize=10))
            mine = seconds(ours)
    report(name, mine, reference, mine / reference, "s")
