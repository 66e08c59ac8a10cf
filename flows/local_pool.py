"""The local pool: warm worker processes of this machine, one a core, that live as long as a run of flows."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from flows import worker_process

_Answer = TypeVar("_Answer")
#: How often work is given to fresh processes after its process died.
ATTEMPTS = 3
ABORT_SECONDS = 5.0


class LocalPool:
    """Runs functions in worker processes; processes that die are replaced.

    Args:
        processes: how many; 0 is one per core.
        log_path: where their output goes; None leaves it where ours goes.
    """

    def __init__(self, processes: int = 0, log_path: Path | None = None) -> None:
        self.size = processes or os.cpu_count() or 1
        self._log_path = log_path
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None
        self._aborted = False

    def _current(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._executor is None:
                if self._log_path is not None:
                    self._log_path.parent.mkdir(parents=True, exist_ok=True)
                self._executor = ProcessPoolExecutor(
                    max_workers=self.size,
                    # spawn: a forked child would inherit locks and threads of Prefect and DuckDB.
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=worker_process.prepare,
                    initargs=(os.getpid(), str(self._log_path) if self._log_path else None),
                )
            return self._executor

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._executor is broken:
                broken.shutdown(wait=False, cancel_futures=True)
                self._executor = None

    def run(self, function: Callable[..., _Answer], *arguments: Any) -> _Answer:
        """Run a function in a worker process and wait for its answer; may be called from many threads.

        Raises:
            BrokenProcessPool: its process died each time, probably killed for its memory.
        """
        for attempt in range(ATTEMPTS):
            if self._aborted:
                raise BrokenProcessPool("the pool was ended")
            executor = self._current()
            try:
                return executor.submit(function, *arguments).result()
            except BrokenProcessPool:
                self._replace(executor)
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            if self._executor is not None:
                self._executor.shutdown(wait=True, cancel_futures=True)
                self._executor = None

    def abort(self) -> None:
        """End the processes at once, whatever they are doing: a chunk that is cut off is simply not done."""
        self._aborted = True
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is None:
            return
        executor.shutdown(wait=False, cancel_futures=True)
        # Again and again: one that was just being started is not in the list yet.
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
