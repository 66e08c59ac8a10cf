"""Children that end are started again, aloud; one that ends too often takes all with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.processes.children import start_child
from flows.server.fleet import RESTARTS_PER_HOUR, Child, Fleet
from flows.server.process_records import read_records, record_path
from ml.errors import ServiceError

pytestmark = pytest.mark.e2e


def _sleeper(name: str, folder: Path) -> Child:
    log_path = folder / f"{name}.log"

    def launch() -> subprocess.Popen[bytes]:
        return start_child(
            [sys.executable, "-c", "import time; print('hello', flush=True); time.sleep(60)"], None, log_path
        )

    return Child(name, launch, log_path)


def _kill(child: Child) -> None:
    child.process.kill()
    child.process.wait()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    yield made
    made.stop()


def test_a_child_that_ended_is_started_again_and_named(fleet: Fleet, tmp_path: Path) -> None:
    worker, app = fleet.add(_sleeper("worker", tmp_path)), fleet.add(_sleeper("app", tmp_path))
    said: list[str] = []
    before = app.process.pid

    fleet.restart_exited(said.append)
    assert said == []

    _kill(worker)
    fleet.restart_exited(said.append)

    assert said == [f"The worker ended with exit code -9; restarting it. Its log: {tmp_path / 'worker.log'}"]
    assert worker.process.poll() is None
    assert app.process.pid == before
    assert fleet.restarts == 1
    # `down` must find the new one.
    assert [record.pid for record in read_records(tmp_path)[1:]] == [worker.process.pid, app.process.pid]


def test_what_a_child_needs_is_done_before_and_after_its_new_start(fleet: Fleet, tmp_path: Path) -> None:
    worker = fleet.add(_sleeper("worker", tmp_path))
    order: list[str] = []
    worker.before = lambda: order.append("before" if worker.process.poll() is not None else "too late")
    worker.after = lambda: order.append("after" if worker.process.poll() is None else "too early")

    _kill(worker)
    fleet.restart_exited(lambda line: None)

    assert order == ["before", "after"]


def test_a_child_that_ends_too_often_is_given_up_in_one_message(fleet: Fleet, tmp_path: Path) -> None:
    worker = fleet.add(_sleeper("worker", tmp_path))
    for _ in range(RESTARTS_PER_HOUR):
        _kill(worker)
        fleet.restart_exited(lambda line: None)
    _kill(worker)

    with pytest.raises(ServiceError, match=r"The worker ended with exit code -9, for the 4th time within an hour"):
        fleet.restart_exited(lambda line: None)


def test_while_all_is_being_started_the_first_end_is_the_last(fleet: Fleet, tmp_path: Path) -> None:
    _kill(fleet.add(_sleeper("worker", tmp_path)))

    with pytest.raises(ServiceError, match="The worker ended with exit code -9; all others have been stopped"):
        fleet.require_alive()


def test_stop_ends_all_and_forgets_them(fleet: Fleet, tmp_path: Path) -> None:
    children = [fleet.add(_sleeper(name, tmp_path)) for name in ("worker", "app")]

    fleet.stop()

    assert all(child.process.poll() is not None for child in children)
    assert not record_path(tmp_path).exists()
