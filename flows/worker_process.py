"""What a local worker process does before and for its first chunk. Imports nothing heavy, on purpose.

The number of threads of BLAS, OpenMP and TensorFlow is read when those libraries load, so it has to be set before; and
a process that only ever sees linear models must not pay for TensorFlow.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

#: One worker a core, each with one thread: the cores are busy with cases, not with waiting for each other.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def use_one_thread() -> None:
    """One thread for every library that has not been loaded yet."""
    os.environ.update(ONE_THREAD)


def prepare(parent_pid: int, log_path: str | None) -> None:
    """Initializer of a worker process: one thread, no life of its own, and what libraries say goes into a log."""
    use_one_thread()
    if log_path is not None:
        # The descriptors themselves: TensorFlow's C++ writes past Python's sys.stderr.
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
    threading.Thread(target=_end_with_parent, args=(parent_pid,), daemon=True).start()


def _end_with_parent(parent_pid: int) -> None:
    """A flow that is killed cannot stop its workers; they notice that they have another parent and end."""
    while os.getppid() == parent_pid:
        time.sleep(0.5)
    os._exit(1)


def do_chunk(
    store_url: str, dataset_id: str, cases: list[dict[str, Any]], lease_seconds: float
) -> list[dict[str, Any]]:
    """Claim and do one chunk.

    Returns:
        A short line a case for the progress (case_key, status, seconds, worker); empty when another has it.
    """
    from ml.cases import TestCase  # noqa: PLC0415
    from ml.chunks import Chunk, chunk_lines, run_chunk  # noqa: PLC0415
    from ml.store import Store  # noqa: PLC0415
    from ml.version import code_version  # noqa: PLC0415

    chunk = Chunk(dataset_id, tuple(TestCase(**case) for case in cases))
    rows = run_chunk(Store(store_url), chunk, lease_seconds=lease_seconds, code_version=code_version())
    return chunk_lines(rows or [])


def judge_series(home: str, settings: dict[str, Any], series: dict[str, str], dataset_id: str) -> dict[str, Any] | None:
    """Judge the challenger of one series with one thread, as the cases were evaluated; returns the new verdict."""
    from pathlib import Path  # noqa: PLC0415

    from flows.installation import Installation  # noqa: PLC0415
    from flows.promote import promote_series  # noqa: PLC0415
    from ml.config import Series, Settings  # noqa: PLC0415

    installation = Installation(Path(home), Settings(**settings))
    return promote_series(installation, Series(**series), dataset_id)


def evaluate_again(store_url: str, dataset_id: str, case: dict[str, Any]) -> dict[str, float]:
    """All metrics of a case, computed once more."""
    from ml.cases import TestCase  # noqa: PLC0415
    from ml.datasets import read_dataset  # noqa: PLC0415
    from ml.evaluation import evaluate  # noqa: PLC0415
    from ml.store import Store  # noqa: PLC0415

    return evaluate(TestCase(**case), read_dataset(Store(store_url), dataset_id)).metrics


def train_reference(store_url: str, dataset_id: str, epochs: int) -> dict[str, Any]:
    """The reference protocol on one dataset (see `ml.reference`)."""
    from ml.datasets import read_dataset  # noqa: PLC0415
    from ml.reference import evaluate_reference  # noqa: PLC0415
    from ml.store import Store  # noqa: PLC0415

    return evaluate_reference(read_dataset(Store(store_url), dataset_id), epochs)
