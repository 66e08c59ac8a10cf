"""Poison cases: only a death that nothing else explains counts against a case."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ml.execution.poison_cases import FOLDER, Deaths, begin, end, poison_cases
from ml.execution.workers import worker_name
from ml.store import Store

GONE = f"{socket.gethostname()}:1:1.00"
PATH = f"{FOLDER}/d/case.json"
INNOCENT, UNEXPLAINED, EXPLAINED = Deaths(), Deaths(0, 1), Deaths(1, 0)


def begun_by(store: Store, worker: str, parent: str, explained: int = 0, memory_kills: int = 10**9) -> None:
    entry = {"explained": explained, "unexplained": 0, "worker": worker, "parent": parent}
    store.replace(PATH, json.dumps({**entry, "memory_kills": memory_kills}).encode())


@pytest.mark.parametrize(
    ("worker", "parent", "suspicion"),
    [
        (GONE, worker_name(), UNEXPLAINED),
        (GONE, GONE, INNOCENT),  # an interrupted sweep, or a worker that was killed with all its runs
        (worker_name(), GONE, INNOCENT),  # somebody is at it
        ("another-machine:1:1.00", "another-machine:2:1.00", UNEXPLAINED),
    ],
    ids=["parent lives", "both are gone", "worker lives", "another machine"],
)
def test_a_death_counts_when_the_parent_lives_on(tmp_path: Path, worker: str, parent: str, suspicion: Deaths) -> None:
    store = Store(tmp_path)
    begun_by(store, worker, parent)
    assert poison_cases(store, "d") == {"case": suspicion}
    assert poison_cases(store, "elsewhere") == {}


def test_a_death_is_explained_by_a_trace_or_by_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    begun_by(store, GONE, GONE, memory_kills=-1)
    assert poison_cases(store, "d") == {"case": EXPLAINED}
    begun_by(store, GONE, GONE)
    assert poison_cases(store, "d") == {"case": INNOCENT}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trace = tmp_path / "candleworks-crashes" / GONE.replace(":", "-")
    trace.parent.mkdir()
    trace.touch()  # it ended without a fatal signal
    assert poison_cases(store, "d") == {"case": INNOCENT}
    trace.write_text("Fatal Python error: Segmentation fault")
    assert poison_cases(store, "d") == {"case": EXPLAINED}


def test_deaths_add_up_until_the_case_has_a_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    begun_by(store, GONE, worker_name(), explained=1)
    begin(store, "d", "case")
    # What was counted stays counted, also when the parent of then has gone.
    assert poison_cases(store, "d") == {"case": Deaths(1, 1)}
    assert json.loads(store.read(PATH))["worker"] == worker_name()
    end(store, "d", "case")
    assert poison_cases(store, "d") == {}


def test_two_explained_deaths_convict_or_six_of_any_kind() -> None:
    assert [Deaths(*deaths).is_poison for deaths in ((1, 4), (2, 0), (0, 5), (0, 6), (1, 5))] == [
        False,
        True,
        False,
        True,
        True,
    ]


@pytest.mark.e2e
def test_the_name_of_a_process_that_has_ended_is_that_of_a_gone_worker(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    store = Store(tmp_path)
    begun_by(store, GONE, worker_name(process.pid))
    assert poison_cases(store, "d") == {"case": INNOCENT}
