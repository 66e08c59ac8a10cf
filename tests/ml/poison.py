"""Test cases that do harm, and processes that do chunks with them: clean ones, forked from a server of their own."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from typing import Any

import sklearn.linear_model  # noqa: F401 - the server has it loaded: a limit shall not strike while it loads

from ml.data.datasets import Dataset
from ml.evaluation.evaluate import Evaluation, evaluate
from ml.execution import chunks
from ml.execution.chunks import Chunk, run_chunk
from ml.execution.limits import CaseLimits
from ml.search.cases import TestCase
from ml.store import Store
from tests.synthetic import make_case

CRASH, HANG, HOLD_THE_LOCK, EAT_MEMORY, WAIT = 1001.0, 1002.0, 1003.0, 1004.0, 1005.0


def poisoned(kind: float) -> TestCase:
    """A Ridge case that `evaluate_poisoned` knows by its alpha."""
    return make_case(params={"alpha": kind})


def evaluate_poisoned(case: TestCase, dataset: Dataset, *together: Any) -> Evaluation:
    """What a model with a defect in its native code does; other cases are evaluated as always."""
    kind = case.params["alpha"]
    if kind == CRASH:
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == HANG:
        ctypes.CDLL(None).sleep(60)
    if kind == HOLD_THE_LOCK:
        ctypes.PyDLL(None).sleep(60)  # no other thread of Python runs meanwhile
    if kind == EAT_MEMORY:
        hoard = [os.urandom(1) * 10_000_000 for _ in range(40)]
        time.sleep(60)
        del hoard
    if kind == WAIT:
        time.sleep(60)
    return evaluate(case, dataset, *together)


def _work(store_url: str, dataset_id: str, cases: Sequence[TestCase], limits: dict[str, float]) -> None:
    chunks.evaluate = evaluate_poisoned  # type: ignore[attr-defined]
    chunk = Chunk(dataset_id, tuple(cases))
    run_chunk(Store(store_url), chunk, lease_seconds=60, code_version="code", limits=CaseLimits(**limits))


def start_worker(store: Store, chunk: Chunk, **limits: float) -> Any:
    """A worker process that does a chunk; its parent is the server that forked it, which lives on."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.ml.poison"])
    process = context.Process(target=_work, args=(store.url, chunk.dataset_id, chunk.cases, limits))
    process.start()
    return process


def work_until_done(store: Store, chunk: Chunk, **limits: float) -> list[int]:
    """Replace the worker as often as it dies, as a pool does; returns the exit codes, the last one 0."""
    codes: list[int] = []
    while not codes or codes[-1] != 0:
        assert len(codes) < 8, codes
        process = start_worker(store, chunk, **limits)
        process.join(60)
        codes.append(process.exitcode)
    return codes
