"""`down` ends what `up` left behind, and nobody else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from flows.server.down import down
from flows.server.process_records import read_records, record_of, record_path, write_records
from ml.errors import ServiceError

pytestmark = pytest.mark.e2e

SLEEP = [sys.executable, "-c", "import time; time.sleep(120)"]


def test_processes_that_a_killed_up_left_behind_are_ended(tmp_path: Path) -> None:
    killed, left = subprocess.Popen(SLEEP), subprocess.Popen(SLEEP)
    write_records(tmp_path, [record_of("up", killed.pid), record_of("app", left.pid, "http://127.0.0.1:1")])
    killed.kill()
    killed.wait()

    assert down(tmp_path) == ["app"]

    assert not psutil.pid_exists(left.pid)
    left.wait()
    assert not record_path(tmp_path).exists()
    assert down(tmp_path) == []


def test_a_process_that_merely_got_the_id_of_ours_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(SLEEP)
    ours = record_of("app", stranger.pid)
    write_records(tmp_path, [replace(ours, created_at=ours.created_at - 60)])
    try:
        assert down(tmp_path) == []
        assert psutil.Process(stranger.pid).is_running()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_broken_record_says_what_to_do(tmp_path: Path) -> None:
    write_records(tmp_path, [])
    assert read_records(tmp_path) == []
    record_path(tmp_path).write_text('[{"name": "app"}]')

    with pytest.raises(ServiceError, match=r"up\.json is broken .* then delete it"):
        down(tmp_path)
