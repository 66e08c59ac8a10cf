"""The local pool: warm processes that are replaced when they die, and that die with the work they were for."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest

from flows.pools.local_pool import LocalPool

pytestmark = pytest.mark.e2e


def _die_the_first_time(marker: str) -> str:
    path = Path(marker)
    if not path.exists():
        path.touch()
        os._exit(9)
    return "done"


def _work_long(marker: str) -> None:
    part = Path(f"{marker}.part")
    part.write_text(str(os.getpid()))
    part.rename(marker)
    time.sleep(60)


def _environment(name: str) -> str | None:
    return os.environ.get(name)


def test_work_of_a_process_that_died_is_done_by_another(tmp_path: Path) -> None:
    with LocalPool(1) as pool:
        assert pool.run(_die_the_first_time, str(tmp_path / "marker")) == "done"


def test_processes_have_one_thread_for_every_numeric_library(tmp_path: Path) -> None:
    with LocalPool(1, tmp_path / "logs" / "workers.log") as pool:
        assert pool.run(_environment, "OMP_NUM_THREADS") == "1"
        pool.run(print, "a line for the log")
    assert "a line for the log" in (tmp_path / "logs" / "workers.log").read_text()


def test_an_error_ends_the_processes_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    pool = LocalPool(1)
    with ThreadPoolExecutor(1) as threads, pytest.raises(KeyboardInterrupt), pool:
        waiting = threads.submit(pool.run, _work_long, str(tmp_path / "pid"))
        while not (tmp_path / "pid").exists():
            time.sleep(0.02)
        raise KeyboardInterrupt
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(BrokenProcessPool):
        waiting.result()
    assert time.monotonic() - started < 30
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def _wait_for(marker: str) -> int:
    while not Path(marker).exists():
        time.sleep(0.02)
    return os.getpid()


def test_a_process_that_dies_takes_no_other_with_it(tmp_path: Path) -> None:
    with LocalPool(2) as pool, ThreadPoolExecutor(2) as threads:
        # Both warm, then one dies while the other one works.
        (tmp_path / "warm").touch()
        list(threads.map(lambda _: pool.run(_wait_for, str(tmp_path / "warm")), range(2)))
        neighbour = threads.submit(pool.run, _work_until_told, str(tmp_path / "began"), str(tmp_path / "go on"))
        _wait_for(str(tmp_path / "began"))
        assert pool.run(_die_the_first_time, str(tmp_path / "died")) == "done"
        (tmp_path / "go on").touch()
        neighbour.result()
    assert (tmp_path / "began").read_text().count("begun") == 1


def _work_until_told(began: str, go_on: str) -> None:
    with Path(began).open("a") as file:
        file.write("begun\n")
    _wait_for(go_on)
