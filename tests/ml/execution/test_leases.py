"""Leases: no chunk is held by two live workers, and none is lost with a worker."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ml.execution.leases import FOLDER, Lease, acquire_lease, is_latest, keep_lease_alive, leases_of, release, renew
from ml.execution.workers import worker_name
from ml.store import Store

ELSEWHERE = "another-machine:1:100.00"


def race(store: Store, workers: list[str], now_s: float) -> list[Lease]:
    """All workers ask for a lease of the same chunk at the same moment; returns the leases granted."""
    given: list[Lease] = []
    start = threading.Barrier(len(workers))

    def work(worker: str) -> None:
        start.wait()
        mine = acquire_lease(store, "chunk", worker, now_s, lease_seconds=60)
        if mine is not None:
            given.append(mine)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return given


def test_of_many_workers_that_race_one_holds_the_chunk_in_each_generation(tmp_path: Path) -> None:
    store = Store(tmp_path)
    workers = [f"machine-{number}:1:100.00" for number in range(12)]
    for generation in range(10):
        # 61 seconds later every lease of 60 seconds has expired.
        given = race(store, workers, now_s=1000 + 61 * generation)
        assert [one.generation for one in given] == [generation]
        assert leases_of(store, "chunk")[-1] == given[0]


def test_a_chunk_is_refused_until_its_lease_has_expired(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert acquire_lease(store, "chunk", ELSEWHERE, 1000, 60) is not None
    assert acquire_lease(store, "chunk", worker_name(), 1059, 60) is None
    assert acquire_lease(store, "another chunk", worker_name(), 1059, 60) is not None
    taken = acquire_lease(store, "chunk", worker_name(), 1060, 60)
    assert taken == Lease("chunk", 1, worker_name(), 1120)


def test_a_sign_of_life_prolongs_the_lease(tmp_path: Path) -> None:
    store = Store(tmp_path)
    held = acquire_lease(store, "chunk", ELSEWHERE, 1000, 60)
    assert held is not None
    renewed = renew(store, held, 1050, 60)
    assert renewed is not None
    assert renewed.until_s == 1110
    assert acquire_lease(store, "chunk", worker_name(), 1100, 60) is None
    assert acquire_lease(store, "chunk", worker_name(), 1111, 60) is not None


def test_a_late_sign_of_life_does_not_take_back_what_another_holds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    late = acquire_lease(store, "chunk", ELSEWHERE, 1000, 60)
    taken = acquire_lease(store, "chunk", "third-machine:1:100.00", 1100, 60)
    assert late is not None
    assert taken is not None
    assert renew(store, late, 1101, 60) is None
    assert leases_of(store, "chunk")[-1] == taken
    assert (is_latest(store, late), is_latest(store, taken)) == (False, True)


class InterruptedStore(Store):
    """A store that does something else right before it creates its first file."""

    def __init__(self, root: Path, before_create: Callable[[], object]) -> None:
        super().__init__(root)
        self._before_create: Callable[[], object] | None = before_create

    def create(self, path: str, data: bytes) -> None:
        if self._before_create is not None:
            act, self._before_create = self._before_create, None
            act()
        super().create(path, data)


def test_a_lease_renewed_while_another_worker_took_over_is_not_taken_by_a_third(tmp_path: Path) -> None:
    store = Store(tmp_path)
    held = acquire_lease(store, "chunk", ELSEWHERE, 1000, 60)
    assert held is not None
    renewed = []
    interrupted = InterruptedStore(tmp_path, lambda: renewed.append(renew(store, held, 1061, 60)))
    assert acquire_lease(interrupted, "chunk", "second-machine:1:100.00", 1061, 60) is None
    assert [one and one.until_s for one in renewed] == [1121]
    # The second worker has created and given up generation 1, which is not the one that is held.
    assert [lease.until_s for lease in leases_of(store, "chunk")] == [1121, 0]
    assert acquire_lease(store, "chunk", "third-machine:1:100.00", 1062, 60) is None
    assert acquire_lease(store, "chunk", "third-machine:1:100.00", 1121, 60) is not None


def test_a_chunk_that_was_given_back_is_free_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    held = acquire_lease(store, "chunk", ELSEWHERE, 1000, 60)
    assert held is not None
    release(store, held)
    taken = acquire_lease(store, "chunk", worker_name(), 1001, 60)
    assert taken is not None
    assert taken.generation == 1
    # Given back by a worker that was overtaken: the one that holds it now keeps it.
    release(store, held)
    assert acquire_lease(store, "chunk", "third-machine:1:100.00", 1002, 60) is None


@pytest.mark.e2e
def test_a_worker_of_this_machine_that_was_killed_loses_its_lease_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        started = psutil.Process(process.pid).create_time()
        worker = f"{socket.gethostname()}:{process.pid}:{started:.2f}"
        assert acquire_lease(store, "chunk", worker, 1000, 600) is not None
        assert acquire_lease(store, "chunk", worker_name(), 1001, 600) is None
        process.kill()
        psutil.wait_procs([psutil.Process(process.pid)], timeout=0)
        # Not reaped by its parent yet, as after a kill of a pool's process.
        deadline = time.monotonic() + 10
        while (
            taken := acquire_lease(store, "chunk", worker_name(), 1002, 600)
        ) is None and time.monotonic() < deadline:
            time.sleep(0.01)
    assert taken is not None
    assert taken.generation == 1


def test_a_lease_is_kept_however_long_the_work_takes_and_no_longer(tmp_path: Path) -> None:
    store = Store(tmp_path)
    lease_seconds = 0.6
    held = acquire_lease(store, "chunk", ELSEWHERE, time.time(), lease_seconds)
    assert held is not None
    with keep_lease_alive(store, held, lease_seconds):
        for _ in range(4):
            time.sleep(lease_seconds / 2)
            assert acquire_lease(store, "chunk", worker_name(), time.time(), lease_seconds) is None
    assert acquire_lease(store, "chunk", worker_name(), time.time(), lease_seconds) is not None


def test_a_lease_is_given_up_when_the_work_fails(tmp_path: Path) -> None:
    store = Store(tmp_path)
    held = acquire_lease(store, "chunk", ELSEWHERE, time.time(), 60)
    assert held is not None
    with pytest.raises(KeyError), keep_lease_alive(store, held, 60):
        raise KeyError
    assert not [thread for thread in threading.enumerate() if thread.name == "lease-chunk"]


@pytest.mark.parametrize("until", ["1e18", "Infinity", "NaN", '"soon"', "null", "-1", "1e999"])
def test_no_lease_blocks_a_chunk_for_ever(tmp_path: Path, until: str) -> None:
    store = Store(tmp_path)
    store.create(f"{FOLDER}/chunk/0000.json", f'{{"worker": "far:1:2.00", "until_s": {until}}}'.encode())
    held = acquire_lease(store, "chunk", "me:1:2.00", 1000.0, 60.0)
    assert held is not None
    assert (held.generation, is_latest(store, held)) == (1, True)


def test_files_that_are_no_leases_change_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name, content in (
        ("zzzz.json", b"{}"),
        ("9999.json", b"["),
        ("0000.json", b'{"worker": "a:b:c:\\u001b[2J", "until_s": 0}'),
        ("12.json", b""),
    ):
        store.create(f"{FOLDER}/chunk/{name}", content)
    held = acquire_lease(store, "chunk", "me:1:2.00", 1000.0, 60.0)
    assert held is not None
    assert (held.generation, is_latest(store, held)) == (10_000, True)  # sorted as text it would be before 9999
    assert acquire_lease(store, "chunk", "other:1:2.00", 1000.0, 60.0) is None
    assert renew(store, held, 1010.0, 60.0) is not None
