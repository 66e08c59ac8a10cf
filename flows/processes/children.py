"""Child processes that die with their parent.

Every long-lived child of the product is started by `start_child`: through the launcher (so that it dies with us), in a
session of its own (so that Ctrl-C reaches only us, and we stop the children in order), with its output in a log file.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import IO

from flows.processes import launcher

Fork = Callable[[], subprocess.Popen[bytes]]
PACKAGE_ROOT = Path(__file__).resolve().parents[2]


class _Spawner:
    """One thread that forks for all threads and never ends.

    The parent-death signal follows the thread that forked: a child started from a thread of a pool, as Prefect and
    Streamlit run most code, would be killed when that thread ends.
    """

    def __init__(self) -> None:
        self.owner_pid = os.getpid()
        self._requests: queue.SimpleQueue[tuple[Future[subprocess.Popen[bytes]], Fork]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="spawner", daemon=True).start()

    def _serve(self) -> None:
        while True:
            answer, fork = self._requests.get()
            try:
                answer.set_result(fork())
            except BaseException as error:
                answer.set_exception(error)

    def spawn(self, fork: Fork) -> subprocess.Popen[bytes]:
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._requests.put((answer, fork))
        return answer.result()


_spawner: _Spawner | None = None
_spawner_lock = threading.Lock()


def _get_spawner() -> _Spawner:
    global _spawner  # noqa: PLW0603 - one thread for the whole process
    with _spawner_lock:
        # A forked process inherits the object but not its thread.
        if _spawner is None or _spawner.owner_pid != os.getpid():
            _spawner = _Spawner()
        return _spawner


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, adapted for children that run our packages from another folder.

    The interpreter's folder comes first on PATH, so that `python` and `prefect` are those of this environment; the
    folder of our packages is on PYTHONPATH, so that a checkout works as well as an installed package.
    """
    environment = dict(os.environ)
    scripts = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([scripts, environment.get("PATH", os.defpath)])
    if PACKAGE_ROOT.name not in ("site-packages", "dist-packages"):
        paths = [str(PACKAGE_ROOT), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    environment.setdefault("PYTHONUNBUFFERED", "1")
    environment.update(extra or {})
    return environment


def start_child(
    argv: Sequence[str],
    env: Mapping[str, str] | None = None,
    log_path: Path | None = None,
    *,
    cwd: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a child that is killed when this process exits for any reason. May be called from any thread.

    Args:
        argv: The command; `sys.executable` for our own interpreter.
        env: The whole environment; default `child_environment()`.
        log_path: Standard output and standard error are appended here; default: they are inherited.
        cwd: Working directory; default ours.
        stdin: Standard input, as of `subprocess.Popen`; default: none.
        death_signal: The signal that the child gets when this process dies.

    Returns:
        The running child, in a process group of its own (end it with `stop_child`).
    """
    # The launcher runs by path and isolated: it needs only the standard library and starts in 15 ms.
    own = [sys.executable, "-I", "-S", launcher.__file__, "--parent", str(os.getpid())]
    command = [*own, "--signal", death_signal.name, "--", *argv]
    environment = child_environment() if env is None else env

    def fork(output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        errors = None if output is None else subprocess.STDOUT
        return subprocess.Popen(
            command, env=environment, cwd=cwd, stdin=stdin, stdout=output, stderr=errors, start_new_session=True
        )

    if log_path is None:
        return _get_spawner().spawn(fork)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        return _get_spawner().spawn(partial(fork, log))


def stop_child(child: subprocess.Popen[bytes], grace_seconds: float = 5.0) -> int:
    """Ask a child of `start_child` to end, wait, then kill it and all remaining processes of its group.

    Returns:
        Its exit code (negative: the signal that ended it).
    """
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace_seconds)
    # Its own children may outlive it; while they are in its group, the group's id is not reused.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


def log_tail(log_path: Path | None, lines: int = 15) -> str:
    """The last lines of a log, for an error message; empty if there is none."""
    if log_path is None or not log_path.exists():
        return ""
    return "\n".join(log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
