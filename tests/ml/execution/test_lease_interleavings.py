"""Leases under every interleaving: workers that stop between any two of their steps never hold a chunk together."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from greenlet import getcurrent, greenlet
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.execution.leases import Lease, acquire_lease, release, renew

LEASE_SECONDS = 60.0
CHUNK = "chunk"


class Shared:
    """The files of a store, in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}


class SteppedStore:
    """A worker's view of the store: before each call it waits until the test lets it go on."""

    def __init__(self, shared: Shared, wait: Callable[[], None]) -> None:
        self._files, self._wait = shared.files, wait

    def list(self, prefix: str) -> list[str]:
        self._wait()
        return sorted(path for path in self._files if path.startswith(f"{prefix}/"))

    def read(self, path: str) -> bytes:
        self._wait()
        return self._files[path]

    def create(self, path: str, data: bytes) -> None:
        self._wait()
        if path in self._files:
            raise FileExistsError(path)
        self._files[path] = data

    def replace(self, path: str, data: bytes) -> None:
        self._wait()
        self._files[path] = data


class Worker:
    """Acquires, renews and releases the lease of one chunk; makes one call to the store each time it may continue.

    `held` is what it believes to hold: that which its last finished operation has told it.
    """

    def __init__(self, shared: Shared, number: int) -> None:
        self.name = f"machine-{number}:1:100.00"
        self.held: Lease | None = None
        self._store: Any = SteppedStore(shared, self._pause)
        #: A greenlet, not a thread: it costs a hundredth, and stops and continues where the test wants it in any case.
        self._begun: greenlet | None = None

    def _pause(self) -> None:
        getcurrent().parent.switch()

    def _operate(self, now_s: float, give_back: bool) -> None:
        if self.held is None:
            self.held = acquire_lease(self._store, CHUNK, self.name, now_s, LEASE_SECONDS)
        elif give_back:
            held, self.held = self.held, None
            release(self._store, held)
        else:
            self.held = renew(self._store, self.held, now_s, LEASE_SECONDS)

    def step(self, now_s: float, give_back: bool) -> None:
        """Begin an operation with the time as it is now, or go on with the one that was begun."""
        if self._begun is None:
            self._begun = greenlet(lambda: self._operate(now_s, give_back))
        self._continue()

    def _continue(self) -> None:
        assert self._begun is not None
        self._begun.switch()
        if self._begun.dead:
            self._begun = None

    def finish(self) -> None:
        while self._begun is not None:
            self._continue()

    def lives_with_the_chunk(self, now_s: float) -> bool:
        return self.held is not None and self.held.until_s > now_s


#: (worker, whether it gives back what it holds, seconds that pass before). A lease runs out in two or three passes, and
#: the third worker is rarer. One draw a step: four of them took most of the time.
STEPS = st.sampled_from(
    list(product([0, 1] * 5 + [2] * 2, [False, False, False, True], [0.0, 0.0, 0.0, 0.0, 25.0, 45.0]))
)


@settings(max_examples=400, deadline=None)
@given(st.lists(STEPS, min_size=20, max_size=60))
def test_no_two_live_workers_hold_a_chunk_wherever_they_were_stopped(steps: list[tuple[int, bool, float]]) -> None:
    shared, now_s = Shared(), 1000.0
    workers = [Worker(shared, number) for number in range(3)]
    try:
        for number, give_back, passed in steps:
            now_s += passed
            workers[number].step(now_s, give_back)
            assert sum(worker.lives_with_the_chunk(now_s) for worker in workers) <= 1
    finally:
        for worker in workers:
            worker.finish()


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=20, max_size=60))
def test_a_chunk_is_never_lost_wherever_its_workers_were_stopped(steps: list[tuple[int, bool, float]]) -> None:
    shared, now_s = Shared(), 1000.0
    workers = [Worker(shared, number) for number in range(3)]
    for number, give_back, passed in steps:
        now_s += passed
        workers[number].step(now_s, give_back)
    for worker in workers:
        worker.finish()
    late = Worker(shared, 9)
    late.step(now_s + LEASE_SECONDS, give_back=False)
    late.finish()
    assert late.lives_with_the_chunk(now_s + LEASE_SECONDS)
