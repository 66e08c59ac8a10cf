"""Faults on demand: typical failures of exchanges, queued by a driver and applied in a fixed order.

Two kinds. A fault of the *answer* corrupts one answer: `rate_limit` (429 with Retry-After), `server_error` (500),
`stall` (no answer for a while, then the connection is closed), `truncate` (half of the body, then the connection is
closed). A fault of the *data* changes the candles themselves: `gap` (missing candles), `revise` (closed candles with
other values), `duplicate` (repeated rows).

Nothing is random: the first fault in the queue that matches a request strikes it, after `after` matching requests were
spared and until it has struck `count` times. Data faults in force all apply together, in the order of the queue.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

AnswerFaultKind = Literal["rate_limit", "server_error", "stall", "truncate"]
DataFaultKind = Literal["gap", "revise", "duplicate"]
ANSWER_FAULTS: tuple[str, ...] = get_args(AnswerFaultKind)


class Fault(BaseModel):
    """One fault, the requests it strikes, and how often."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: AnswerFaultKind | DataFaultKind
    endpoint: Literal["ping", "time", "exchangeInfo", "klines", "*"] = Field(
        default="klines", description="the endpoint struck; * is every one; data faults exist in klines only"
    )
    symbol: str | None = Field(default=None, description='market such as "BTC/USDT"; none is every market')
    count: int | None = Field(
        default=None,
        ge=1,
        description="answers struck; by default one for a fault of the answer, all for one of the data",
    )
    after: int = Field(default=0, ge=0, description="matching requests that pass before the first one is struck")
    from_ms: int | None = Field(default=None, description="replay time from which it is in force")
    until_ms: int | None = Field(default=None, description="replay time at which it is no longer in force")
    retry_after_seconds: int = Field(default=1, ge=0, description="rate_limit: the header Retry-After")
    stall_seconds: float = Field(
        default=60.0, ge=0, description="stall: wall-clock seconds until the connection is closed"
    )
    start_ms: int | None = Field(default=None, description="data faults: first open time struck")
    end_ms: int | None = Field(default=None, description="data faults: open time before which candles are struck")
    factor: float = Field(default=1.001, gt=0, description="revise: factor on close and volume")

    @property
    def strikes_answers(self) -> bool:
        """Whether it corrupts an answer rather than changing candles."""
        return self.kind in ANSWER_FAULTS

    def fits(self, endpoint: str, symbol: str | None, now_ms: int) -> bool:
        """Whether it can strike a request to `endpoint` for `symbol` at replay time `now_ms`."""
        return (
            self.endpoint in ("*", endpoint)
            and self.symbol in (None, symbol)
            and (self.from_ms is None or now_ms >= self.from_ms)
            and (self.until_ms is None or now_ms < self.until_ms)
        )


class FaultReport(Fault):
    """A fault and how many requests it has struck."""

    struck: int


@dataclass
class _Queued:
    fault: Fault
    spared: int = 0
    struck: int = 0

    @property
    def spent(self) -> bool:
        count = self.fault.count or (1 if self.fault.strikes_answers else None)
        return count is not None and self.struck >= count

    def take(self) -> bool:
        """Count a matching request; returns whether it is struck."""
        if self.spared < self.fault.after:
            self.spared += 1
            return False
        self.struck += 1
        return True


class Faults:
    """The fault queue of a server; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[_Queued] = []

    def add(self, *faults: Fault) -> None:
        """Append faults to the queue."""
        with self._lock:
            self._queue.extend(_Queued(fault) for fault in faults)

    def clear(self) -> None:
        """Remove all faults, including spent ones."""
        with self._lock:
            self._queue.clear()

    def report(self) -> list[FaultReport]:
        """Each fault, spent ones included, in the order of the queue."""
        with self._lock:
            return [FaultReport(**entry.fault.model_dump(), struck=entry.struck) for entry in self._queue]

    def strike_answer(self, endpoint: str, symbol: str | None, now_ms: int) -> Fault | None:
        """The fault that corrupts this answer, or None. At most one strikes; those that spare it count the request."""
        with self._lock:
            for entry in self._queue:
                if entry.fault.strikes_answers and self._open(entry, endpoint, symbol, now_ms) and entry.take():
                    return entry.fault
        return None

    def strike_data(self, symbol: str, now_ms: int) -> list[Fault]:
        """The faults that change the candles of this answer, in the order of the queue."""
        with self._lock:
            return [
                entry.fault
                for entry in self._queue
                if not entry.fault.strikes_answers and self._open(entry, "klines", symbol, now_ms) and entry.take()
            ]

    @staticmethod
    def _open(entry: _Queued, endpoint: str, symbol: str | None, now_ms: int) -> bool:
        return not entry.spent and entry.fault.fits(endpoint, symbol, now_ms)
