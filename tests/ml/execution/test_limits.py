"""Guards: a case that hangs, grows, crashes or gives nonsense ends as a failed result; its neighbours are done."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.settings import SweepSettings
from ml.data.datasets import Dataset, write_dataset
from ml.errors import CaseError, PredictionError
from ml.evaluation.evaluate import Evaluation, evaluate
from ml.execution.chunks import GIVEN_UP, Chunk, read_chunk_lines, run_case, run_chunk
from ml.execution.leases import Lease
from ml.execution.limits import EXIT_AT_LIMIT, CaseLimits, failure, require_meaning
from ml.execution.poison_cases import FOLDER, poison_cases
from ml.execution.results import read_results
from ml.search.cases import TestCase
from ml.store import Store
from tests.ml.poison import CRASH, EAT_MEMORY, HANG, HOLD_THE_LOCK, WAIT, poisoned, start_worker, work_until_done
from tests.synthetic import make_case, make_dataset

pytestmark = pytest.mark.e2e

NEIGHBOURS = [make_case(params={"alpha": float(alpha)}) for alpha in range(1, 4)]


def chunk_around(store: Store, *poison: TestCase) -> Chunk:
    first, *others = NEIGHBOURS
    return Chunk(write_dataset(store, make_dataset(1000), "code"), (first, *poison, *others))


def outcomes(store: Store, chunk: Chunk) -> dict[str, str]:
    """Case key -> "tested" or its error; every case exactly once, the neighbours as they are without poison."""
    rows = read_results(store, chunk.dataset_id)
    assert sorted(row["case_key"] for row in rows) == sorted(case.key for case in chunk.cases)
    tested = {row["case_key"]: row for row in rows if row["status"] == "tested"}
    dataset = replace(make_dataset(1000), id=chunk.dataset_id)
    for case in NEIGHBOURS:
        assert tested[case.key]["rmse_pct"] == evaluate(case, dataset).metrics["rmse_pct"]
    return {row["case_key"]: row["error"] or row["status"] for row in rows}


def test_native_code_that_hangs_is_stopped_at_the_time_limit(tmp_path: Path) -> None:
    store, hanging = Store(tmp_path), poisoned(HANG)
    chunk = chunk_around(store, hanging)
    assert work_until_done(store, chunk, seconds=0.5) == [EXIT_AT_LIMIT, 0]
    assert outcomes(store, chunk)[hanging.key].startswith("time limit: not done after ")
    assert "sweep.case_seconds = 0.5" in outcomes(store, chunk)[hanging.key]
    # Done is done: nobody begins the chunk a third time, and progress counts every case once.
    assert len(read_chunk_lines(store, chunk)) == len(chunk.cases)
    assert run_chunk(store, chunk, lease_seconds=60, code_version="late") is None


def test_a_case_that_needs_too_much_memory_is_stopped(tmp_path: Path) -> None:
    store, greedy = Store(tmp_path), poisoned(EAT_MEMORY)
    chunk = chunk_around(store, greedy)
    assert work_until_done(store, chunk, memory_gb=0.2) == [EXIT_AT_LIMIT, 0]
    assert outcomes(store, chunk)[greedy.key].startswith("memory: 0.")


def test_a_case_that_crashes_its_process_twice_is_given_up_and_its_neighbours_are_done(tmp_path: Path) -> None:
    store, deadly = Store(tmp_path), poisoned(CRASH)
    chunk = chunk_around(store, deadly)
    # The first death could be anybody's; then the worker is careful, and the case is convicted after two more.
    assert work_until_done(store, chunk) == [-signal.SIGSEGV] * 3 + [0]
    assert outcomes(store, chunk)[deadly.key] == GIVEN_UP
    assert poison_cases(store, chunk.dataset_id) == {}


def test_kills_from_outside_do_not_convict_a_case(tmp_path: Path) -> None:
    store, waiting = Store(tmp_path), poisoned(WAIT)
    chunk = Chunk(write_dataset(store, make_dataset(1000), "code"), (waiting,))
    for generation in range(4):
        process = start_worker(store, chunk)
        # From the second lease generation on a worker records what it begins.
        record = f"{FOLDER}/{chunk.dataset_id}/{waiting.key}.json"
        mark = record if generation else Lease(chunk.id, 0, "", 0.0).path
        deadline = time.monotonic() + 30
        while not (store.exists(mark) and f":{process.pid}:" in store.read(mark).decode()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.join()
    (suspicion,) = poison_cases(store, chunk.dataset_id).values()
    assert (suspicion.explained, suspicion.unexplained, suspicion.is_poison) == (0, 3, False)


def test_native_code_that_lets_no_other_thread_run_is_stopped_too(tmp_path: Path) -> None:
    store, deaf = Store(tmp_path), poisoned(HOLD_THE_LOCK)
    chunk = chunk_around(store, deaf)
    assert work_until_done(store, chunk, seconds=0.3, backstop_seconds=0.2) == [1, 1, 1, 0]
    assert outcomes(store, chunk)[deaf.key] == GIVEN_UP


def test_a_case_that_was_convicted_in_one_chunk_is_known_in_another(tmp_path: Path) -> None:
    store, deadly = Store(tmp_path), poisoned(CRASH)
    chunk = chunk_around(store, deadly)
    for _ in range(3):
        process = start_worker(store, chunk)
        process.join(60)
        assert process.exitcode == -signal.SIGSEGV
    again = Chunk(chunk.dataset_id, (*NEIGHBOURS, deadly))
    assert again.id != chunk.id
    assert work_until_done(store, again) == [0]
    assert outcomes(store, again)[deadly.key] == GIVEN_UP


POISON = {
    "features": lambda data: replace(data, features=np.full_like(data.features, np.nan)),
    "infinite features": lambda data: replace(data, features=np.full_like(data.features, np.inf)),
    "labels": lambda data: replace(data, labels=np.full_like(data.labels, np.nan)),
    "candles": lambda data: replace(data, candles=np.full_like(data.candles, np.nan)),
    "no candles": lambda data: replace(data, candles=np.zeros_like(data.candles)),
}


@pytest.mark.parametrize("what", POISON)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_data_without_meaning_give_a_failed_result_with_a_reason(what: str) -> None:
    dataset: Dataset = POISON[what](make_dataset(1000))
    row = run_case(make_case(), dataset, "host:1:2.00", "code")
    assert row["status"] == "failed"
    assert any(word in row["error"] for word in ("usable train rows", "Not finite"))
    assert row["skill"] is None


def test_a_figure_that_is_not_finite_is_no_result() -> None:
    good = evaluate(make_case(), make_dataset(1000))
    require_meaning(good)
    # No candle took the direction: no accuracy, and still a result.
    require_meaning(replace(good, metrics={**good.metrics, "direction_accuracy": np.nan}))
    bad: list[Evaluation] = [replace(good, metrics={**good.metrics, "skill": -np.inf}), replace(good, losses=[np.nan])]
    for one, name in zip(bad, ("skill", "losses"), strict=True):
        with pytest.raises(PredictionError, match=f"Not finite: .*{name}"):
            require_meaning(one)


def test_failures_are_one_line_with_a_remedy() -> None:
    with pytest.raises(np.linalg.LinAlgError) as singular:
        np.linalg.inv(np.zeros((2, 2)))
    assert failure(singular.value).startswith("singular matrix (Singular matrix): leave out features")
    assert failure(MemoryError()) == "memory: none left. Take fewer lags or features"
    assert failure(ValueError("two\nlines")) == "ValueError: two lines"
    assert failure(CaseError("Fix it.")) == "Fix it."


def test_the_limits_are_settings() -> None:
    assert CaseLimits(**SweepSettings(case_seconds=5, case_memory_gb=0.5).case_limits) == CaseLimits(5, 0.5)
    assert CaseLimits(**SweepSettings().case_limits) == CaseLimits()
