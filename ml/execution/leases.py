"""Leases: which worker holds which chunk, until when.

A lease is a file that can be created only once, ``claims/<chunk>/<generation>.json``. Generation 0 belongs to the first
worker; when the lease has expired, exactly one other worker can create generation 1, and so on. No lock is needed, two
live workers never hold the same chunk, and the work of a lost machine is done by the next worker. A worker renews its
lease while it works (`keep_lease_alive`), however long a case takes, and releases it at the end. A worker process of
this machine that has exited loses its lease at once.

A worker may be suspended between any two of its steps, long enough for its lease to expire. So each side checks again
after writing: the one that renews, whether another has taken over; the one that takes over, whether the lease was
renewed in the meantime. At least one of them sees the other and gives up.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ml.canonical import canonical_json
from ml.data.stored import read_object
from ml.errors import DamagedError, StoreError
from ml.execution.workers import is_gone
from ml.store import Store

_logger = logging.getLogger(__name__)

#: A stored name, like the form of the paths in it.
FOLDER = "claims"
_NAME = re.compile(r"\d{4,}\.json", re.ASCII)
#: How far the clocks of two machines may differ. A lease that ends later than its length after this is no lease: else
#: a file could block a chunk for ever.
CLOCK_SECONDS = 3600.0


@dataclass(frozen=True)
class Lease:
    """A lease generation of a chunk, held by `worker` until `until_s` (seconds since 1970-01-01)."""

    chunk_id: str
    generation: int
    worker: str
    until_s: float

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.chunk_id}/{self.generation:04d}.json"

    def content(self) -> bytes:
        return canonical_json({"worker": self.worker, "until_s": self.until_s}).encode()


def leases_of(store: Store, chunk_id: str) -> list[Lease]:
    """All leases of a chunk in the order of their generations, expired or not."""
    return [_read(store, chunk_id, path) for path in _paths(store, chunk_id)]


def _paths(store: Store, chunk_id: str) -> list[str]:
    """Files of the leases of a chunk, by generation; files with other names are none."""
    found = [path for path in store.list(f"{FOLDER}/{chunk_id}") if _NAME.fullmatch(path.rsplit("/", 1)[1])]
    return sorted(found, key=_generation)


def _generation(path: str) -> int:
    return int(path.rsplit("/", 1)[1].removesuffix(".json"))


def _read(store: Store, chunk_id: str, path: str) -> Lease:
    """A lease; a damaged one is expired, and a holder that lives finds that another has taken over."""
    worker, until_s = "", 0.0
    try:
        content = read_object(store, path, {"worker": str, "until_s": (int, float)}, "The chunk is taken over.")
        worker, until_s = content["worker"], float(content["until_s"])
    except DamagedError as error:
        _logger.warning("%s", error)
    except OverflowError:
        until_s = math.inf
    return Lease(chunk_id, _generation(path), worker, until_s if math.isfinite(until_s) else 0.0)


def acquire_lease(store: Store, chunk_id: str, worker: str, now_s: float, lease_seconds: float) -> Lease | None:
    """Create the next lease generation of a chunk; None while a live worker holds an unexpired lease.

    Of any generation: where a worker gave up the next one because this one had been renewed, this one is still held.
    """
    before = leases_of(store, chunk_id)
    latest = now_s + lease_seconds + CLOCK_SECONDS
    if any(now_s < lease.until_s <= latest and not is_gone(lease.worker) for lease in before):
        return None
    mine = Lease(chunk_id, before[-1].generation + 1 if before else 0, worker, now_s + lease_seconds)
    try:
        store.create(mine.path, mine.content())
    except FileExistsError:
        return None
    if any(_read(store, chunk_id, lease.path) != lease for lease in before):
        release(store, mine)
        return None
    return mine


def is_latest(store: Store, held: Lease) -> bool:
    """Whether no other worker has taken over."""
    paths = _paths(store, held.chunk_id)
    return bool(paths) and paths[-1] == held.path


def renew(store: Store, held: Lease, now_s: float, lease_seconds: float) -> Lease | None:
    """Extend a lease; None if another worker has taken over."""
    renewed = Lease(held.chunk_id, held.generation, held.worker, now_s + lease_seconds)
    store.replace(renewed.path, renewed.content())
    return renewed if is_latest(store, held) else None


def release(store: Store, held: Lease) -> None:
    """End a lease, whether the chunk is done or not, so that the next worker need not wait for its expiry."""
    store.replace(held.path, Lease(held.chunk_id, held.generation, held.worker, 0.0).content())


@contextmanager
def keep_lease_alive(store: Store, held: Lease, lease_seconds: float) -> Iterator[None]:
    """Renew a lease from a thread while the block runs, every third of its length, and release it afterwards.

    Uses the wall clock, because leases are compared between machines.
    """
    over = threading.Event()

    def beat() -> None:
        while not over.wait(lease_seconds / 3):
            # A failed renewal is retried; if all fail, the lease expires and another worker takes over.
            with suppress(StoreError, OSError):
                renew(store, held, time.time(), lease_seconds)

    thread = threading.Thread(target=beat, name=f"lease-{held.chunk_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(StoreError, OSError):  # if this fails, the lease expires
            release(store, held)
