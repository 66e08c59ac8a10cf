"""Sweeps at size: what Prefect, leases and results add to 10,000 small cases, and how soon a million cases begin."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from flows.pools.chunk_job import do_chunk
from flows.pools.local_pool import LocalPool
from flows.pools.worker_process import use_one_thread
from flows.processes.children import child_environment, start_child, stop_child
from flows.processes.ports import free_port
from flows.server.deploy import deploy, workspace_environment
from flows.server.prefect_server import local_prefect_server, prefect_environment, prefect_settings
from flows.settings import SweepSettings
from ml.data.datasets import read_dataset, read_manifest, write_dataset
from ml.evaluation.evaluate import evaluate
from ml.execution.chunks import Chunk
from ml.search.case_ranges import enumerate_cases
from ml.search.cases import TestCase
from ml.search.spaces import SearchSpace
from ml.series import Series
from ml.store import Store
from tests.benchmarks.pairing import report, seconds
from tests.conftest import REPOSITORY
from tests.synthetic import FEATURES, SERIES, make_case, make_dataset

CASES = int(os.environ.get("CANDLEWORKS_BENCH_CASES", "10000"))
ROWS = 20_000
COLUMNS = dict(zip(FEATURES, ("range", "range", "returns"), strict=True))
QUIET = {"PREFECT_LOGGING_LEVEL": "CRITICAL", "PREFECT_LOGGING_TO_API_ENABLED": "false"}
_opened: dict[str, Any] = {}


def ridge_space(lags: int, alphas: int) -> SearchSpace:
    """A space of lags x alphas Ridge cases."""
    return SearchSpace(
        name="ridge",
        model=("ridge",),
        groups={"range": "on", "returns": "on"},
        lags=tuple(range(1, lags + 1)),
        params={"alpha": tuple(0.1 * (number + 1) for number in range(alphas))},
    )


def _bare(url: str, dataset_id: str, case: TestCase) -> float:
    if dataset_id not in _opened:
        _opened[dataset_id] = read_dataset(Store(url), dataset_id)
    return evaluate(case, _opened[dataset_id]).metrics["rmse_pct"]


@contextmanager
def _peak_mib(*processes: psutil.Process) -> Iterator[list[float]]:
    """The largest resident memory of each process during the block, looked at ten times a second."""
    peaks = [0.0 for _ in processes]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            for place, process in enumerate(processes):
                peaks[place] = max(peaks[place], process.memory_info().rss / 2**20)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def sweep(
    url: str, series: Series, dataset_id: str, space: SearchSpace, catalogue: dict[str, str], pool: LocalPool
) -> None:
    """A sweep as the program runs it, in a flow."""
    from prefect import flow  # noqa: PLC0415 - after the server's address is set

    from flows.sweep.progress import Tracker  # noqa: PLC0415
    from flows.sweep.run import sweep_over  # noqa: PLC0415
    from flows.sweep.sweep import build_sweep  # noqa: PLC0415

    store = Store(url)

    def work() -> dict[str, int]:
        datasets = {series: read_manifest(store, dataset_id)}
        opened = build_sweep(store, [space], datasets, catalogue, chunk_seconds=90.0, processes=pool.size)
        with Tracker(store) as tracker:
            return sweep_over(opened, pool, tracker, SweepSettings())

    totals = flow(name="sweep")(work)()
    if totals["cases_tested"] != totals["cases_total"]:
        raise SystemExit(f"The sweep is not complete: {totals}")


@contextmanager
def warm_pool(store: Store, dataset_id: str, folder: Path) -> Iterator[LocalPool]:
    """A pool whose processes have loaded their libraries, as those of a bare loop have."""
    features, series = read_manifest(store, dataset_id)["columns"][:1], read_dataset(store, dataset_id).series
    with LocalPool(0, folder / "log") as pool, ThreadPoolExecutor(pool.size) as threads:
        cases = [make_case(series=series, features=features, lags=9 + number) for number in range(pool.size)]
        warm = [Chunk(dataset_id, (case,)) for case in cases]
        list(threads.map(lambda chunk: pool.run(do_chunk, store.url, chunk, 60.0), warm))
        yield pool


def _timed_sweep(folder: Path, alphas: int, server: psutil.Process) -> tuple[float, float, list[float]]:
    """Seconds of ours and of the bare loop over the same cases, and the peaks of client and server in MiB."""
    url = str(folder)
    dataset_id = write_dataset(Store(url), make_dataset(ROWS), "benchmark")
    space = ridge_space(4, alphas)
    with warm_pool(Store(url), dataset_id, folder) as pool, _peak_mib(psutil.Process(), server) as peaks:
        ours = seconds(lambda: sweep(url, SERIES, dataset_id, space, COLUMNS, pool))
    work = [(url, dataset_id, case) for case in enumerate_cases([space], [SERIES], COLUMNS)]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), use_one_thread) as bare:
        bare.starmap(_bare, work[:8], chunksize=1)
        reference = seconds(lambda: bare.starmap(_bare, work, chunksize=10))
    return ours, reference, peaks


def overhead(name: str) -> None:
    """Cases of Ridge through Prefect, leases and result files against a bare loop over the same function."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        with local_prefect_server(folder / "home", services=True), prefect_settings(QUIET):
            import flows.sweep.run  # noqa: F401, PLC0415 - neither side pays for its imports

            (server,) = (
                child for child in psutil.Process().children(recursive=True) if "uvicorn" in " ".join(child.cmdline())
            )
            _, _, fewer = _timed_sweep(folder / "quarter", CASES // 16, server)
            ours, reference, peaks = _timed_sweep(folder / "whole", CASES // 4, server)
    report(name, ours, reference, ours / reference, "s")
    report(f"{name}_client_memory", peaks[0], fewer[0], peaks[0] / fewer[0], "MiB, against a quarter of the cases")
    report(f"{name}_server_memory", peaks[1], fewer[1], peaks[1] / fewer[1], "MiB, against a quarter of the cases")


_START = """
import json, os, sys, time
import flows.sweep.run as running
from flows.pools.local_pool import LocalPool
from flows.pools.work_pools import has_online_worker
from tests.benchmarks import sweep_sizes
times = {}
run = running.run_on_work_pool

def told(*arguments, on_start):
    times.setdefault("submitted", time.monotonic() - started)
    def begun():
        print(json.dumps({**times, "running": time.monotonic() - started}), flush=True)
        os._exit(0)
    return run(*arguments, on_start=begun)

running.run_on_work_pool = told
while not has_online_worker("cpu"):
    time.sleep(0.5)
space = sweep_sizes.ridge_space(100, 10_000)
started = time.monotonic()
sweep_sizes.sweep(sys.argv[1], sweep_sizes.SERIES, sys.argv[2], space, sweep_sizes.COLUMNS, LocalPool(2))
"""


def start(name: str) -> None:
    """A sweep over a million cases: seconds to its first submitted and its first running chunk, against 5 and 30."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        dataset_id = write_dataset(Store(str(folder / "store")), make_dataset(ROWS), "benchmark")
        with local_prefect_server(folder, free_port(), services=True) as url:
            environment = {**prefect_environment(folder, url), **workspace_environment(folder, folder / "none.toml")}
            deploy(environment, folder / "deploy.log")
            command = [
                sys.executable,
                "-m",
                "prefect",
                "worker",
                "start",
                "--type",
                "process",
                "--pool",
                "cpu",
                "--limit",
                "2",
            ]
            worker = start_child(command, child_environment(environment), folder / "worker.log")
            try:
                done = subprocess.run(
                    [sys.executable, "-c", _START, str(folder / "store"), dataset_id],
                    cwd=REPOSITORY,
                    env={**child_environment(), **environment, **QUIET},
                    stdout=subprocess.PIPE,
                    timeout=300,
                    check=True,
                )
            finally:
                stop_child(worker)
                time.sleep(1)  # the worker's flow run notices that it is alone
    times = json.loads(done.stdout.splitlines()[-1])
    for what, limit in (("submitted", 5.0), ("running", 30.0)):
        report(f"{name}_{what}", times[what], limit, times[what] / limit, "s, against the limit")
