"""The rate limit: a token bucket per key.

Source: the headers are those of draft-ietf-httpapi-ratelimit-headers (RateLimit, RateLimit-Policy).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from app.api.problems import ApiError


@dataclass
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """Buckets that hold `per_minute` calls and refill evenly.

    Args:
        per_minute: calls per minute of one key.
        clock: seconds, never backwards.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._most, self._clock = per_minute, clock
        self._buckets: dict[str, _Bucket] = {}
        self._lock = Lock()

    def take(self, name: str) -> dict[str, str]:
        """Count a call.

        Args:
            name: of the key; there are as many buckets as keys.

        Returns:
            The headers that say how many calls are left.

        Raises:
            ApiError: none is left.
        """
        now, per_second = self._clock(), self._most / 60
        with self._lock:
            bucket = self._buckets.setdefault(name, _Bucket(self._most, now))
            bucket.tokens = min(self._most, bucket.tokens + (now - bucket.at) * per_second)
            bucket.at = now
            allowed = bucket.tokens >= 1
            bucket.tokens -= allowed
            left = bucket.tokens
        full = math.ceil((self._most - left) / per_second)
        headers = {
            "RateLimit-Policy": f'"key";q={self._most};w=60',
            "RateLimit": f'"key";r={int(left)};t={full}',
        }
        if allowed:
            return headers
        wait = max(1, math.ceil((1 - left) / per_second))
        detail = f"More than {self._most} calls in a minute. Wait {wait} s, or raise calls_per_minute under [api]."
        raise ApiError(429, "too-many-calls", detail, {**headers, "Retry-After": str(wait)})
