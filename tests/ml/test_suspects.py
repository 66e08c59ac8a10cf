"""Suspects: only a death that nothing else explains counts against a case."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ml.store import Store
from ml.suspects import begin, end, suspects
from ml.workers import worker_name

GONE = f"{socket.gethostname()}:1:1.00"
PATH = "suspects/d/case.json"


def begun_by(store: Store, worker: str, parent: str, deaths: int = 0) -> None:
    store.replace(PATH, json.dumps({"deaths": deaths, "worker": worker, "parent": parent}).encode())


@pytest.mark.parametrize(
    ("worker", "parent", "deaths"),
    [
        (GONE, worker_name(), 1),
        (GONE, GONE, 0),  # an interrupted sweep, or a worker that was killed with all its runs
        (worker_name(), GONE, 0),  # somebody is at it
        ("another-machine:1:1.00", "another-machine:2:1.00", 1),
    ],
)
def test_a_death_counts_when_the_parent_lives_on(tmp_path: Path, worker: str, parent: str, deaths: int) -> None:
    store = Store(tmp_path)
    begun_by(store, worker, parent)
    assert suspects(store, "d") == {"case": deaths}
    assert suspects(store, "elsewhere") == {}


def test_deaths_add_up_until_the_case_has_a_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    begun_by(store, GONE, worker_name(), deaths=1)
    begin(store, "d", "case")
    # What was counted stays counted, also when the parent of then has gone.
    assert suspects(store, "d") == {"case": 2}
    entry = json.loads(store.read(PATH))
    assert (entry["deaths"], entry["worker"]) == (2, worker_name())
    end(store, "d", "case")
    assert suspects(store, "d") == {}


def test_the_name_of_a_process_that_has_ended_is_that_of_a_gone_worker(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    store = Store(tmp_path)
    begun_by(store, GONE, worker_name(process.pid))
    assert suspects(store, "d") == {"case": 0}
