"""Children started through the launcher die with their parent, whatever kills it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from flows.processes import launcher
from flows.processes.children import child_environment, start_child, stop_child

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")]

SLEEP = "import time; time.sleep(120)"


def run_launcher(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.processes.launcher", *arguments]
    return subprocess.run(
        command, env=child_environment(environment), capture_output=True, text=True, check=False, timeout=30
    )


def wait_until(condition: object, limit_seconds: float = 20.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + limit_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_child_and_a_grandchild_die_when_their_parent_is_killed(tmp_path: Path) -> None:
    # The grandchild is started as the work pools start flow runs: without an expected parent.
    child = f"""
        import subprocess, sys
        command = [sys.executable, "-m", "flows.processes.launcher", "--", sys.executable, "-c", {SLEEP!r}]
        open({str(tmp_path / "grandchild")!r}, "w").write(f"{{subprocess.Popen(command).pid}}\\n")
        {SLEEP}
    """
    parent = f"""
        import sys
        from flows.processes.children import start_child
        child = start_child([sys.executable, "-c", {textwrap.dedent(child)!r}])
        open({str(tmp_path / "child")!r}, "w").write(f"{{child.pid}}\\n")
        {SLEEP}
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(parent)], env=child_environment())
    files = [tmp_path / "child", tmp_path / "grandchild"]
    assert wait_until(lambda: all(file.exists() and file.read_text().endswith("\n") for file in files))
    pids = [int(file.read_text()) for file in files]
    # The grandchild has become the sleeper: its parent-death signal is set.
    assert wait_until(lambda: psutil.Process(pids[1]).cmdline()[1:2] == ["-c"])

    process.kill()
    process.wait()

    assert wait_until(lambda: all(is_dead(pid) for pid in pids), 5)


def test_a_child_survives_the_end_of_the_thread_that_asked_for_it() -> None:
    children: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: children.append(start_child([sys.executable, "-c", SLEEP])))
    thread.start()
    thread.join()
    try:
        # It becomes the sleeper after the launcher has set the signal; from then on it would die within milliseconds.
        assert wait_until(lambda: psutil.Process(children[0].pid).cmdline()[1:2] == ["-c"])
        time.sleep(0.3)
        assert children[0].poll() is None
    finally:
        assert stop_child(children[0]) == -signal.SIGTERM


def test_the_command_gets_its_arguments_and_its_exit_code_is_kept() -> None:
    result = run_launcher("--", sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "--signal", "x y")

    assert result.stdout.strip() == "['--signal', 'x y']"
    assert result.returncode == 7


def test_a_child_whose_parent_is_gone_already_does_not_start() -> None:
    # This test is the parent, not process 1.
    assert run_launcher("--parent", "1", "--", "echo", "started").stdout == ""
    assert run_launcher("--parent", "1", "--", "echo").returncode == launcher.EXIT_PARENT_GONE
    assert run_launcher("--parent", str(os.getpid()), "--", "echo", "started").stdout == "started\n"


def test_a_flow_run_whose_worker_is_gone_already_does_not_start() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    gone = run_launcher("echo", "started", CANDLEWORKS_LAUNCHED_PID=str(ended.pid))
    alive = run_launcher("echo", "started", CANDLEWORKS_LAUNCHED_PID=str(os.getpid()))

    assert (gone.returncode, gone.stdout) == (launcher.EXIT_PARENT_GONE, "")
    assert (alive.returncode, alive.stdout) == (0, "started\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--wrong"], launcher.EXIT_USAGE, "unknown or incomplete option --wrong"),
        (["--signal", "NONSENSE", "--", "echo"], launcher.EXIT_USAGE, "SIGNONSENSE"),
        (["--"], launcher.EXIT_USAGE, "no command given"),
        (["no-such-command"], launcher.EXIT_NOT_FOUND, "cannot run no-such-command"),
    ],
)
def test_a_wrong_call_is_answered_in_one_line(arguments: list[str], code: int, message: str) -> None:
    result = run_launcher(*arguments)

    assert result.returncode == code
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_death_signal_can_be_chosen() -> None:
    assert launcher.parse(["--signal", "TERM", "x"]) == (signal.SIGTERM, None, ["x"])
    assert launcher.parse(["--signal", "SIGINT", "--parent", "5", "x"]) == (signal.SIGINT, 5, ["x"])
    assert launcher.parse(["x", "--signal"]) == (signal.SIGKILL, None, ["x", "--signal"])
