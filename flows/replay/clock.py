"""The clock of the recorded exchange.

It runs at `speed` replayed seconds per second from the time it was set to; at speed 0 it is stopped and a driver steps
it. It is based on the monotonic clock, so that a change of the machine's time has no effect.
"""

from __future__ import annotations

import threading
import time

from ml.errors import ConfigurationError


class ReplayClock:
    """Replayed time in milliseconds since 1970 UTC; safe to use from several threads.

    Args:
        start_ms: the initial time.
        speed: replayed seconds per second; 0: stopped.

    Raises:
        ConfigurationError: `speed` or `start_ms` is negative.
    """

    def __init__(self, start_ms: int, speed: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._speed = _not_negative("speed", speed)
        self._anchor_ms = int(_not_negative("start_ms", start_ms))
        self._anchor_seconds = time.monotonic()

    @property
    def speed(self) -> float:
        """Replayed seconds per second."""
        return self._speed

    def now_ms(self) -> int:
        """The replayed time, milliseconds since 1970 UTC."""
        with self._lock:
            return self._now_ms()

    def set(self, now_ms: int) -> None:
        """Set the clock; an earlier time is allowed (a drill starts over) and hides later candles again."""
        _not_negative("now_ms", now_ms)
        with self._lock:
            self._put(int(now_ms))

    def advance(self, milliseconds: int) -> int:
        """Step forward and return the new time. Concurrent steps add up."""
        _not_negative("the step", milliseconds)
        with self._lock:
            self._put(self._now_ms() + int(milliseconds))
            return self._anchor_ms

    def set_speed(self, speed: float) -> None:
        """Change the speed from now on."""
        _not_negative("speed", speed)
        with self._lock:
            self._put(self._now_ms())
            self._speed = speed

    def _now_ms(self) -> int:
        return self._anchor_ms + int((time.monotonic() - self._anchor_seconds) * self._speed * 1000.0)

    def _put(self, now_ms: int) -> None:
        self._anchor_ms = now_ms
        self._anchor_seconds = time.monotonic()


def _not_negative(name: str, value: float) -> float:
    if not value >= 0 or value == float("inf"):
        raise ConfigurationError(f"{name} of the replay clock was {value}. Use a finite number, 0 or more.")
    return value
