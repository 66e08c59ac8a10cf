"""The exchange's rate limit: each request has a weight, and the total per minute is limited.

Minutes are those of the wall clock, not replayed time: clients limit their rate by the wall clock too.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

WINDOW_SECONDS = 60.0
DEFAULT_WEIGHT_PER_MINUTE = 6000


class RateLimiter:
    """Weight used in fixed windows of a minute; safe to use from several threads.

    Args:
        weight_per_minute: the maximum weight of one window.
        seconds: a clock in seconds; replaced in tests.
    """

    def __init__(self, weight_per_minute: int, seconds: Callable[[], float] = time.monotonic) -> None:
        self.weight_per_minute = weight_per_minute
        self._seconds = seconds
        self._lock = threading.Lock()
        self._window = 0
        self._used = 0

    def use(self, weight: int) -> tuple[int, int | None]:
        """Count a request.

        Returns:
            The weight used in this window, this request included; and the seconds to wait if it exceeds the limit, else
            None.
        """
        with self._lock:
            now = self._seconds()
            window = int(now // WINDOW_SECONDS)
            if window != self._window:
                self._window, self._used = window, 0
            self._used += weight
            if self._used <= self.weight_per_minute:
                return self._used, None
            return self._used, max(1, math.ceil((window + 1) * WINDOW_SECONDS - now))
