"""Limits of one test case: time, memory, and metrics that are not finite.

A case runs in the worker process itself. A watchdog thread checks the clock and the memory of the process; at a limit
it records the case as failed, saves the finished cases of the chunk, and exits the process. The pool replaces the
process, and the chunk continues without that case. Three designs were considered:

- a child process per case that is killed at the limit stops everything, but imports cost seconds for a case of 50 ms,
  and forking a process that has TensorFlow loaded is not safe;
- an exception raised in the main thread does not interrupt native code, which is where hours are spent;
- a thread that exits the process costs nothing, and works unless native code holds the interpreter lock. For that case
  a timer in C (`faulthandler`) exits the process with nothing recorded; the next worker then identifies the case (see
  `ml.execution.poison_cases`).
"""

from __future__ import annotations

import faulthandler
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
import psutil

from ml.errors import CandleworksError, PredictionError
from ml.evaluation.evaluate import Evaluation
from ml.texts import one_line

#: Exit code of a process that exited at a limit.
EXIT_AT_LIMIT = 75
CHECK_SECONDS = 0.25
#: Delay of the timer in C after the time limit: enough to save the finished cases.
BACKSTOP_SECONDS = 30.0
STDERR = 2
#: Metrics that must be finite to rank a result; a direction accuracy may be NaN.
NECESSARY = ("rmse_pct", "baseline_rmse_pct", "skill")


@dataclass(frozen=True)
class CaseLimits:
    """Limits of one test case, all its seeds together.

    Attributes:
        seconds: of wall-clock time.
        memory_gb: growth of the process's resident memory since the case began, in 1e9 bytes.
        backstop_seconds: how long after `seconds` the process exits even if the watchdog could not run.
    """

    seconds: float = 1800.0
    memory_gb: float = 8.0
    backstop_seconds: float = BACKSTOP_SECONDS


class CaseWatch:
    """The watchdog of a process that evaluates one case after the other; a context manager.

    Exits the process (`EXIT_AT_LIMIT`) when a case exceeds a limit; one instance at a time per process.

    Args:
        limits: of each case.
        trace_to: file descriptor for the stack trace of the timer in C.
    """

    def __init__(self, limits: CaseLimits, trace_to: int = STDERR) -> None:
        self._limits, self._trace_to = limits, trace_to
        self._process = psutil.Process()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="case-watch", daemon=True)
        self._at_limit: Callable[[str], None] | None = None
        self._started = self._memory = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @contextmanager
    def case(self, at_limit: Callable[[str], None]) -> Iterator[None]:
        """Watch one case; `at_limit` is called from the watchdog thread with the reason when a limit is exceeded."""
        with self._lock:
            self._started, self._memory = time.monotonic(), self._resident_gb()
            self._at_limit = at_limit
        backstop = self._limits.seconds + self._limits.backstop_seconds
        faulthandler.dump_traceback_later(backstop, file=self._trace_to, exit=True)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            with self._lock:  # once the watchdog is exiting the process, this never acquires the lock
                self._at_limit = None

    def _resident_gb(self) -> float:
        return float(self._process.memory_info().rss) / 1e9

    def _passed(self) -> str | None:
        seconds = time.monotonic() - self._started
        if seconds > self._limits.seconds:
            return f"time limit: not done after {seconds:.0f} s (sweep.case_seconds = {self._limits.seconds:g})"
        grown = self._resident_gb() - self._memory
        if grown > self._limits.memory_gb:
            return f"memory: {grown:.1f} GB more than before (sweep.case_memory_gb = {self._limits.memory_gb:g})"
        return None

    def _look(self) -> None:
        while not self._over.wait(CHECK_SECONDS):
            with self._lock:
                reason = self._passed() if self._at_limit else None
                if reason is None or self._at_limit is None:
                    continue
                try:
                    self._at_limit(reason)
                except Exception:
                    traceback.print_exc()  # recording failed, the process must exit nevertheless
                finally:
                    os._exit(EXIT_AT_LIMIT)


def require_meaning(outcome: Evaluation) -> None:
    """Refuse an evaluation that could not be ranked.

    Raises:
        PredictionError: a necessary metric, or a loss, is NaN or infinite.
    """
    wrong = [name for name in NECESSARY if not np.isfinite(outcome.metrics.get(name, 0.0))]
    if not np.isfinite([*outcome.losses, *outcome.baseline_losses]).all():
        wrong.append("the losses per day")
    if wrong:
        raise PredictionError(
            f"Not finite: {', '.join(wrong)}. Check the candles of this dataset, and the model's parameters."
        )


def failure(error: Exception) -> str:
    """The error of a failed case as one line, with a remedy if there is one."""
    if isinstance(error, CandleworksError):
        return str(error)
    said = one_line(error)
    if isinstance(error, np.linalg.LinAlgError):
        return f"singular matrix ({said}): leave out features that repeat each other, or take a regularised model"
    if isinstance(error, MemoryError):
        return f"memory: {said or 'none left'}. Take fewer lags or features"
    return f"{type(error).__name__}: {said}"
