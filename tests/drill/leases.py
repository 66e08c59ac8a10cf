"""Kills at the level of leases: processes die or stand still at random moments, in the midst of their chunks."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.drill.actors import LEASE_SECONDS
from tests.drill.work import Work, differences

Say = Callable[[str], None]
LIMIT_SECONDS = 60.0


@dataclass
class Actor:
    """One process of the drill that is started again when it was killed."""

    role: str
    work: Work
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.drill.actors", self.role, *self.work.arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def end(self) -> int:
        assert self.process is not None
        self.process.kill()
        return self.process.wait()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


@contextmanager
def running(*actors: Actor) -> Iterator[None]:
    """All of them, for the block."""
    for actor in actors:
        actor.start()
    try:
        yield
    finally:
        for actor in actors:
            actor.end()


def undisturbed(folder: Path, cases: int, cases_a_chunk: int) -> Work:
    """The same sweep by one worker that nobody kills."""
    work = Work(str(folder / "undisturbed"), cases, cases_a_chunk)
    actor = Actor("worker", work, folder / "undisturbed.log")
    actor.start()
    assert actor.process is not None
    assert actor.process.wait() == 0, actor.log.read_text()
    return work


def _parent(pid: int) -> int | None:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return process.ppid() if process.status() != psutil.STATUS_ZOMBIE else None
    return None


class Drill:
    """A sweep by a coordinator with its chunk processes and one worker besides, and what is done to them."""

    def __init__(self, work: Work, folder: Path, seed: int, say: Say) -> None:
        self.work, self.say = work, say
        self.random = random.Random(seed)
        self.coordinator = Actor("coordinator", work, folder / "coordinator.log")
        self.worker = Actor("worker", work, folder / "worker.log")

    def at_work(self, role: str) -> int:
        """Process of that role that is in the midst of a chunk.

        Raises:
            AssertionError: there is none within a minute, or no work is left.
        """
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            for pid in sorted(int(lease.worker.split(":")[1]) for lease in self.work.held()):
                parent = _parent(pid)
                if role == "worker" and pid == self.worker.pid and parent is not None:
                    return pid
                if role != "worker" and parent == self.coordinator.pid:
                    return self.coordinator.pid if role == "coordinator" else pid
            assert len(self.work.done()) < self.work.cases, "all work is done: give the drill more cases"
            time.sleep(0.02)
        raise AssertionError(f"no {role} at work within {LIMIT_SECONDS:.0f} s")

    def kill(self, role: str) -> None:
        """kill -9 at a random moment within the work of that role."""
        self.at_work(role)
        time.sleep(self.random.uniform(0, 0.3))
        os.kill(self.at_work(role), signal.SIGKILL)
        for actor in (self.coordinator, self.worker):
            if actor.role == role:
                actor.end()
                actor.start()

    def stand_still(self) -> None:
        """Stop the worker until others have overtaken it; then it comes late with its result."""
        pid = self.at_work("worker")
        os.kill(pid, signal.SIGSTOP)
        time.sleep(LEASE_SECONDS * 1.5)
        os.kill(pid, signal.SIGCONT)

    def run(self, kills: int, stops: int) -> None:
        """Kill, and let the rest be done in peace."""
        roles = ["worker", "chunk process", "coordinator"] * -(-kills // 3)
        faults = [*roles[:kills], *["stand still"] * stops]
        self.random.shuffle(faults)
        with running(self.coordinator, self.worker):
            for number, fault in enumerate(faults, 1):
                self.stand_still() if fault == "stand still" else self.kill(fault)
                self.say(f"{number} of {len(faults)}: {fault}, {len(self.work.done())} of {self.work.cases} cases done")
            for actor in (self.coordinator, self.worker):
                assert actor.process is not None
                assert actor.process.wait(5 * LIMIT_SECONDS) == 0, actor.log.read_text()[-2000:]


def drill(folder: Path, *, kills: int, stops: int, cases: int, seed: int, say: Say) -> list[str]:
    """The whole drill; returns how its results differ from those of an undisturbed sweep."""
    calm = undisturbed(folder, cases, cases_a_chunk=6)
    work = Work(str(folder / "disturbed"), cases, cases_a_chunk=6)
    work.chunks()  # writes the dataset before anybody looks for it
    Drill(work, folder, seed, say).run(kills, stops)
    return differences(work, calm)
