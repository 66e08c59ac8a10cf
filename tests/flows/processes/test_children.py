"""Children are stopped with all that they started, and find our packages from any folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.processes.children import child_environment, log_tail, start_child, stop_child

pytestmark = pytest.mark.e2e

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(120)"


def wait_for_text(path: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in log_tail(path):
        assert time.monotonic() < deadline, f"no {text!r} in {path}"
        time.sleep(0.02)


def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    log_path = tmp_path / "logs" / "child.log"
    child = start_child([sys.executable, "-c", STUBBORN], log_path=log_path)
    wait_for_text(log_path, "deaf")

    assert stop_child(child, grace_seconds=0.2) == -signal.SIGKILL


def test_what_a_stopped_child_leaves_behind_is_killed_too(tmp_path: Path) -> None:
    log_path = tmp_path / "child.log"
    code = f"""
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", {STUBBORN!r}]).pid, "grandchild")
time.sleep(120)
"""
    child = start_child([sys.executable, "-c", code], log_path=log_path)
    wait_for_text(log_path, "grandchild")
    wait_for_text(log_path, "deaf")
    grandchild = int(next(line for line in log_tail(log_path).splitlines() if "grandchild" in line).split()[0])

    stop_child(child, grace_seconds=5)

    deadline = time.monotonic() + 5
    while psutil.pid_exists(grandchild) and psutil.Process(grandchild).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ctrl_c_reaches_us_and_not_our_children() -> None:
    child = start_child([sys.executable, "-c", "import time; time.sleep(120)"])
    try:
        # A terminal sends the signal to its foreground process group; the child has its own.
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
    finally:
        stop_child(child)


def test_our_packages_and_commands_are_found_from_any_folder(tmp_path: Path) -> None:
    code = "import flows, shutil; print(shutil.which('python'))"
    result = subprocess.run(
        ["python", "-c", code], cwd=tmp_path, env=child_environment(), capture_output=True, text=True, check=True
    )

    assert Path(result.stdout.strip()).parent == Path(sys.executable).parent


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("1\n2\n3\n")

    assert log_tail(tmp_path / "log", lines=2) == "2\n3"
    assert log_tail(tmp_path / "missing") == ""
