"""The local pool: reused worker processes of this machine, one per core, that live as long as a run of flows."""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from flows.pools import worker_process

_Answer = TypeVar("_Answer")
#: How often a job is tried when its worker process crashes. A test case that crashes its process is known after three
#: attempts (see `ml.execution.poison_cases`), so the fourth can run the other cases of the chunk.
ATTEMPTS = 5
ABORT_SECONDS = 5.0


class LocalPool:
    """Runs functions in worker processes; processes that crash are replaced.

    Each process has an executor of its own: an executor that loses one process terminates all its others, and with
    them unrelated work.

    Args:
        processes: how many; 0: one per core.
        log_path: where their output goes; None: it is inherited.
        key: signs the results of test cases, a text of `ml.signatures.SigningKey`; "": they are not signed.
    """

    def __init__(self, processes: int = 0, log_path: Path | None = None, key: str = "") -> None:
        self.size = processes or os.cpu_count() or 1
        self._log_path = log_path
        self._key = key
        self._lock = threading.Lock()
        self._running: set[ProcessPoolExecutor] = set()
        # Last in, first out: a running process is reused before another one is started.
        self._free: queue.LifoQueue[ProcessPoolExecutor | None] = queue.LifoQueue()
        for _ in range(self.size):
            self._free.put(None)
        self._aborted = False

    def _start(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._log_path is not None:
                self._log_path.parent.mkdir(parents=True, exist_ok=True)
            executor = ProcessPoolExecutor(
                max_workers=1,
                # spawn: a forked child would inherit locks and threads of Prefect and DuckDB.
                mp_context=multiprocessing.get_context("spawn"),
                initializer=worker_process.prepare,
                initargs=(os.getpid(), str(self._log_path) if self._log_path else None, self._key),
            )
            self._running.add(executor)
            return executor

    def _stop(self, executor: ProcessPoolExecutor) -> None:
        with self._lock:
            self._running.discard(executor)
        executor.shutdown(wait=False, cancel_futures=True)

    def run(self, function: Callable[..., _Answer], *arguments: Any) -> _Answer:
        """Run a function in a worker process and wait for its answer; may be called from many threads.

        Raises:
            BrokenProcessPool: its process crashed each time, probably killed for its memory.
        """
        executor = self._free.get()
        try:
            for attempt in range(ATTEMPTS):
                if self._aborted:
                    raise BrokenProcessPool("the pool was aborted")
                executor = executor or self._start()
                try:
                    return executor.submit(function, *arguments).result()
                except BrokenProcessPool:
                    self._stop(executor)
                    executor = None
                    if attempt == ATTEMPTS - 1:
                        raise
            raise AssertionError("unreachable")
        finally:
            self._free.put(executor)

    def close(self) -> None:
        """End the processes after their current jobs."""
        with self._lock:
            running, self._running = self._running, set()
        for executor in running:
            executor.shutdown(wait=True, cancel_futures=True)

    def abort(self) -> None:
        """Kill the processes at once: an interrupted chunk has no result and is done by a later run."""
        with self._lock:
            self._aborted = True
            running, self._running = self._running, set()
        if not running:
            return
        for executor in running:
            executor.shutdown(wait=False, cancel_futures=True)
        # Repeatedly: a process that is just being started is not in the list yet.
        deadline = time.monotonic() + ABORT_SECONDS
        while (children := multiprocessing.active_children()) and time.monotonic() < deadline:
            for child in children:
                child.kill()
            time.sleep(0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()
