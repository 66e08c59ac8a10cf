"""Chunks: cut the same way by everybody, done once, and a failed case is a result."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml.data.datasets import write_dataset
from ml.errors import StoreError
from ml.execution import chunks
from ml.execution.chunks import (
    Chunk,
    chunk_lines,
    chunk_path,
    read_chunk,
    read_chunk_lines,
    run_case,
    run_chunk,
    write_chunk,
)
from ml.execution.leases import acquire_lease
from ml.execution.results import read_result_file, read_results, result_path
from ml.models.base import Floats, Inputs
from ml.search.cases import TestCase
from ml.store import Store
from tests.classifying import LogisticModel, registered
from tests.synthetic import SERIES, make_case, make_dataset

ALPHAS = [make_case(params={"alpha": float(alpha)}) for alpha in range(1, 8)]


def stored_chunk(store: Store, *cases: TestCase) -> Chunk:
    return Chunk(write_dataset(store, make_dataset(1000), "code"), cases)


def test_the_same_work_has_the_same_id_whoever_cut_it() -> None:
    whole = Chunk("d", tuple(ALPHAS))
    again = Chunk("d", tuple(TestCase(**case.model_dump(mode="json")) for case in ALPHAS))
    renamed = Chunk("d", tuple(case.model_copy(update={"feature_set": "other name"}) for case in ALPHAS))
    assert whole.id == again.id == renamed.id
    assert len({whole.id, Chunk("other", whole.cases).id, Chunk("d", whole.cases[:-1]).id}) == 3


def test_a_chunk_is_done_once_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    chunk = stored_chunk(store, *ALPHAS[:2])
    told: list[dict[str, Any]] = []
    rows = run_chunk(store, chunk, lease_seconds=60, code_version="code", on_case=told.append)
    assert rows == told
    assert [row["case_key"] for row in rows] == [case.key for case in chunk.cases]
    before = store.read(result_path(chunk.dataset_id, chunk.id))
    assert run_chunk(store, chunk, lease_seconds=60, code_version="other") is None
    assert store.read(result_path(chunk.dataset_id, chunk.id)) == before
    lines = read_chunk_lines(store, chunk)
    assert [line["case_key"] for line in lines] == [case.key for case in chunk.cases]
    assert {line["worker"] for line in lines} == {socket.gethostname()}


def test_a_stored_chunk_is_read_until_it_is_done_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    chunk = stored_chunk(store, ALPHAS[0].model_copy(update={"feature_set": "a name"}))
    with pytest.raises(StoreError, match=rf"has no chunks/{chunk.dataset_id}/{chunk.id}.json.gz: the sweep .* ended"):
        read_chunk(store, chunk.dataset_id, chunk.id)
    write_chunk(store, chunk)
    write_chunk(store, chunk)  # by a sweep that was started again
    assert read_chunk(store, chunk.dataset_id, chunk.id) == chunk
    assert run_chunk(store, chunk, lease_seconds=60, code_version="code")
    store.delete(chunk_path(chunk.dataset_id, chunk.id))
    assert read_chunk(store, chunk.dataset_id, chunk.id) is None


def test_a_chunk_that_a_living_worker_holds_is_left_to_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    chunk = stored_chunk(store, ALPHAS[0])
    assert acquire_lease(store, chunk.id, "another-machine:1:100.00", time.time(), 60) is not None
    assert run_chunk(store, chunk, lease_seconds=60, code_version="code") is None
    assert read_chunk_lines(store, chunk) == []


def test_of_workers_that_race_for_a_chunk_one_does_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    chunk = stored_chunk(store, *ALPHAS[:2])
    done: list[Any] = []
    start = threading.Barrier(6)

    def work() -> None:
        start.wait()
        done.append(run_chunk(store, chunk, lease_seconds=60, code_version="code"))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([rows for rows in done if rows is not None]) == 1
    assert len(read_results(store, chunk.dataset_id)) == 2


def test_a_worker_that_comes_late_with_its_result_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    chunk = stored_chunk(store, ALPHAS[0])

    def overtaken(case: TestCase, *rest: Any) -> dict[str, Any]:
        # While this worker is at it, its lease runs out and another one takes over and finishes.
        with monkeypatch.context() as patch:
            patch.setattr(chunks, "run_case", run_case)
            patch.setattr(
                chunks,
                "acquire_lease",
                lambda store, chunk_id, worker, now_s, lease: acquire_lease(
                    store, chunk_id, worker, now_s + 1000, lease
                ),
            )
            assert run_chunk(store, chunk, lease_seconds=60, code_version="first") is not None
        return run_case(case, *rest)

    monkeypatch.setattr(chunks, "run_case", overtaken)
    assert run_chunk(store, chunk, lease_seconds=60, code_version="late") is None
    rows = read_result_file(store, result_path(chunk.dataset_id, chunk.id))
    assert [row["code_version"] for row in rows] == ["first"]


class Broken(LogisticModel):
    """A model with a defect."""

    def fit(self, inputs: Inputs, labels: Floats) -> None:
        raise TypeError("of two\nlines")


def test_a_case_that_fails_is_a_result_with_its_error_and_the_others_go_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with registered("broken", Broken, kinds=frozenset({"candle"})):
        chunk = stored_chunk(store, make_case(features=("moon_phase",)), make_case(model="broken"), ALPHAS[0])
        rows = run_chunk(store, chunk, lease_seconds=60, code_version="code")
    assert rows is not None
    assert [(row["status"], row["skill"] is None) for row in rows] == [
        ("failed", True),
        ("failed", True),
        ("tested", False),
    ]
    assert "lacks moon_phase" in rows[0]["error"]
    assert rows[1]["error"].startswith("TypeError: ")
    assert "\n" not in rows[1]["error"]
    assert [line["status"] for line in chunk_lines(rows)] == ["failed", "failed", "tested"]
    assert chunk_lines(read_results(store, chunk.dataset_id)) == chunk_lines(rows)


def test_a_row_says_where_it_comes_from() -> None:
    dataset = replace(make_dataset(1000), id="d1")
    row = run_case(ALPHAS[0], dataset, "host:1:2.00", "code-7")
    assert (row["dataset_id"], row["worker"], row["code_version"]) == ("d1", "host:1:2.00", "code-7")
    assert (row["exchange"], row["symbol"], row["timeframe"]) == (SERIES.exchange, SERIES.symbol, SERIES.timeframe)
    assert row["started_at"] <= row["finished_at"]
    assert row["started_at"].tzinfo is None
    assert row["fit_seconds"] > 0
    assert row["peak_memory_mb"] > 10
    assert TestCase.model_validate_json(row["case_json"]) == ALPHAS[0]
