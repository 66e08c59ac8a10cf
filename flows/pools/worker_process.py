"""Initialization of a local worker process. Deliberately imports nothing heavy.

The number of threads of BLAS, OpenMP and TensorFlow is read when those libraries load, so it has to be set before the
jobs, which need them, are imported.
"""

from __future__ import annotations

import os
import threading
import time

#: One worker per core, each with one thread: threads of several cases do not compete for the cores.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
#: The environment variable of the key with which a worker signs its results (a text of `ml.signatures.SigningKey`).
KEY_VARIABLE = "CANDLEWORKS_WORKER_KEY"


def use_one_thread() -> None:
    """Limit every library that has not been loaded yet to one thread."""
    os.environ.update(ONE_THREAD)


def prepare(parent_pid: int, log_path: str | None, key: str = "") -> None:
    """Initializer of a worker process: one thread, exit with the parent, output into a log, a key to sign results."""
    use_one_thread()
    if key:
        os.environ[KEY_VARIABLE] = key
    if log_path is not None:
        # The descriptors themselves: TensorFlow's C++ writes past Python's sys.stderr.
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
    threading.Thread(target=_end_with_parent, args=(parent_pid,), daemon=True).start()


def _end_with_parent(parent_pid: int) -> None:
    """A flow that is killed cannot stop its workers; they notice that their parent has changed and exit."""
    while os.getppid() == parent_pid:
        time.sleep(0.5)
    os._exit(1)
