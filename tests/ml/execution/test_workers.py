"""Workers: whether one of this machine still lives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import psutil
import pytest

from ml.execution.workers import is_gone, machine_of, worker_name


def test_this_process_is_not_gone() -> None:
    host, pid, started = worker_name().rsplit(":", 2)
    assert (host, int(pid)) == (socket.gethostname(), os.getpid())
    assert not is_gone(worker_name())
    # The clock was set right by half a second since: still the same process.
    assert not is_gone(f"{host}:{pid}:{float(started) + 0.5:.2f}")


def test_a_later_process_with_the_same_number_is_another_worker() -> None:
    host, pid, started = worker_name().rsplit(":", 2)
    assert is_gone(f"{host}:{pid}:{float(started) - 60:.2f}")


def test_of_a_worker_elsewhere_nothing_is_known() -> None:
    assert not is_gone("another-machine:1:100.00")


@pytest.mark.e2e
def test_a_process_that_has_ended_is_gone_reaped_or_not() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    worker = f"{socket.gethostname()}:{process.pid}:{psutil.Process(process.pid).create_time():.2f}"
    assert not is_gone(worker)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and left unreaped
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    assert is_gone(worker)
    process.communicate()
    assert is_gone(worker)


def test_the_machine_of_a_worker_is_its_name_without_process_and_start() -> None:
    assert machine_of(worker_name()) == socket.gethostname()
    assert machine_of("rack:2:host:17:3.50") == "rack:2:host"
    assert machine_of("nameless") == "nameless"
