"""Claims: who works on which chunk, until when.

A claim is a file that can be created only once, ``claims/<chunk>/<turn>.json``. Turn 0 belongs to the first worker;
when its lease has expired, exactly one other worker can create turn 1, and so on. Nobody needs a lock, two live workers
never hold the same chunk, and work lost with a machine is done by the next one that looks. A worker renews its lease as
long as it lives (`kept`), however long one case takes, and gives it back at the end; one that is seen to be gone,
because it ran on this machine, loses its lease at once.

A worker may be stopped between any two of its steps, long enough for its lease to expire. So each side looks again
after it has written: who renews, whether somebody has taken over; who takes over, whether the lease was renewed after
all. At least one of the two sees the other and steps back.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ml.canonical import canonical_json
from ml.errors import StoreError
from ml.execution.workers import is_gone
from ml.store import Store


@dataclass(frozen=True)
class Lease:
    """A turn on a chunk, held by `worker` until `until_s` (seconds since 1970-01-01)."""

    chunk_id: str
    turn: int
    worker: str
    until_s: float

    @property
    def path(self) -> str:
        return f"claims/{self.chunk_id}/{self.turn:04d}.json"

    def content(self) -> bytes:
        return canonical_json({"worker": self.worker, "until_s": self.until_s}).encode()


def latest_lease(store: Store, chunk_id: str) -> Lease | None:
    """The claim of the highest turn, expired or not."""
    paths = store.list(f"claims/{chunk_id}")
    if not paths:
        return None
    content = json.loads(store.read(paths[-1]))
    turn = int(paths[-1].rsplit("/", 1)[1].removesuffix(".json"))
    return Lease(chunk_id, turn, content["worker"], content["until_s"])


def acquire_lease(store: Store, chunk_id: str, worker: str, now_s: float, lease_seconds: float) -> Lease | None:
    """Take the next turn on a chunk; None while the lease of a living worker runs."""
    latest = latest_lease(store, chunk_id)
    if latest is not None and latest.until_s > now_s and not is_gone(latest.worker):
        return None
    mine = Lease(chunk_id, latest.turn + 1 if latest else 0, worker, now_s + lease_seconds)
    try:
        store.create(mine.path, mine.content())
    except FileExistsError:
        return None
    if latest is not None and store.read(latest.path) != latest.content():
        release(store, mine)
        return None
    return mine


def is_latest(store: Store, held: Lease) -> bool:
    """Whether nobody has taken over; the file of a later turn has a later name."""
    paths = store.list(f"claims/{held.chunk_id}")
    return bool(paths) and paths[-1] == held.path


def renew(store: Store, held: Lease, now_s: float, lease_seconds: float) -> Lease | None:
    """Sign of life of a worker that is still busy; None when another one has taken over."""
    renewed = Lease(held.chunk_id, held.turn, held.worker, now_s + lease_seconds)
    store.replace(renewed.path, renewed.content())
    return renewed if is_latest(store, held) else None


def release(store: Store, held: Lease) -> None:
    """Give a chunk back, done or not: whoever looks next need not wait for the end of the lease."""
    store.replace(held.path, Lease(held.chunk_id, held.turn, held.worker, 0.0).content())


@contextmanager
def keep_lease_alive(store: Store, held: Lease, lease_seconds: float) -> Iterator[None]:
    """Renew a claim from a thread while the block runs, three times a lease, and release it afterwards.

    The wall clock is used, because leases are compared between machines.
    """
    over = threading.Event()

    def beat() -> None:
        while not over.wait(lease_seconds / 3):
            # A sign of life that could not be written is tried again; without any, others take over.
            with suppress(StoreError, OSError):
                renew(store, held, time.time(), lease_seconds)

    thread = threading.Thread(target=beat, name=f"claim-{held.chunk_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(StoreError, OSError):  # then the lease expires
            release(store, held)
