"""A demo that is killed in the middle and begun again ends as one that ran through (test_demo.py)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.flows.conftest import CommandLine
from tests.flows.shared_services import SharedServices
from tests.flows.test_demo import STEP_SECONDS, results_of, tables_of

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("small_dbt")]


def _kill_at(command_line: CommandLine, recorded: Path, stage: str) -> None:
    """Start the demo, and kill it as soon as it has stored the first file of a stage."""
    marker = command_line.home / "store" / stage
    assert not marker.exists(), "the kill before came too late"
    process = command_line.start("demo", "--candles", str(recorded), "--hours", "1")
    deadline = time.monotonic() + STEP_SECONDS
    while not (marker.is_dir() and any(marker.iterdir())):
        assert time.monotonic() < deadline, f"no {stage}"
        assert process.poll() is None, "the demo ended before it could be killed"
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == [], "a child outlived the demo"


@pytest.mark.timeout(1200)
def test_a_demo_that_was_killed_completes_with_the_same_numbers(
    demo: tuple[CommandLine, str], recorded: Path, config: Path, tmp_path: Path, shared_services: SharedServices
) -> None:
    """Killed at its datasets, begun again, killed at its results and begun again."""
    command_line = CommandLine(shared_services.with_migrated_prefect(tmp_path / "home"), config)
    for stage in ("datasets/current", "results"):
        _kill_at(command_line, recorded, stage)
    shared_services.attach(command_line.home)
    done = command_line.run("demo", "--candles", str(recorded), "--hours", "1")
    assert done.returncode == 0, done.stderr
    assert tables_of(command_line.home) == tables_of(demo[0].home)
    undisturbed = results_of(demo[0].home)
    assert results_of(command_line.home) == pytest.approx(undisturbed, rel=1e-12)
