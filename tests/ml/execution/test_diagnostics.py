"""Diagnostics of a sweep: a full disk, a missing dataset or a broken result file is reported, nothing else is lost."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ml.data.datasets import ARRAYS, write_dataset
from ml.errors import DatasetError, StoreError
from ml.execution.chunks import Chunk, run_chunk
from ml.execution.diagnostics import dataset_problems, sweep_warnings
from ml.execution.results import result_path
from ml.store import Store
from tests.synthetic import finished_cases, make_case, make_dataset

CASES = tuple(make_case(params={"alpha": float(alpha)}) for alpha in range(1, 3))


def stored_chunk(store: Store, seed: int = 1) -> Chunk:
    return Chunk(write_dataset(store, make_dataset(1000, seed), "code"), CASES)


def test_a_full_disk_loses_the_chunk_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    chunk = stored_chunk(store)
    create = Store.create

    def full(self: Store, path: str, data: bytes) -> None:
        if path.startswith("results/"):
            with self._writing():
                raise OSError(errno.ENOSPC, "No space left on device")
        create(self, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "create", full)
        with pytest.raises(StoreError, match="Free space"):
            run_chunk(store, chunk, lease_seconds=600, code_version="code")
    assert finished_cases(store, chunk.dataset_id) == {}
    # The lease was given back: there is no need to wait for its end.
    assert run_chunk(store, chunk, lease_seconds=600, code_version="code") is not None
    assert set(finished_cases(store, chunk.dataset_id).values()) == {"tested"}


@pytest.mark.parametrize("gone", ["manifest.json", *(f"{name}.npy" for name in ARRAYS)])
def test_a_dataset_that_was_deleted_is_named_and_says_nothing_about_its_cases(tmp_path: Path, gone: str) -> None:
    store = Store(tmp_path)
    chunk, other = stored_chunk(store), stored_chunk(store, seed=2)
    store.delete(f"datasets/{chunk.dataset_id}/{gone}")

    with pytest.raises(DatasetError, match=rf"{chunk.dataset_id}.*`candleworks export`"):
        run_chunk(store, chunk, lease_seconds=60, code_version="code")
    assert finished_cases(store, chunk.dataset_id) == {}
    problems = dataset_problems(store, [chunk.dataset_id, other.dataset_id])
    assert list(problems) == [chunk.dataset_id]
    assert sweep_warnings(store, [chunk.dataset_id, other.dataset_id]) == list(problems.values())
    assert "candleworks export" in problems[chunk.dataset_id]
    assert run_chunk(store, other, lease_seconds=60, code_version="code") is not None


def test_an_array_that_was_cut_off_is_no_dataset(tmp_path: Path) -> None:
    store = Store(tmp_path)
    chunk = stored_chunk(store)
    path = f"datasets/{chunk.dataset_id}/labels.npy"
    store.replace(path, store.read(path)[:-1000])
    with pytest.raises(DatasetError, match="is incomplete"):
        run_chunk(store, chunk, lease_seconds=60, code_version="code")


def test_a_broken_result_file_is_told_and_its_cases_are_done_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    chunk = stored_chunk(store)
    path = result_path(chunk.dataset_id, chunk.id)
    run_chunk(store, chunk, lease_seconds=600, code_version="code")
    assert sweep_warnings(store, [chunk.dataset_id]) == []
    store.replace(path, store.read(path)[:-9])

    assert finished_cases(store, chunk.dataset_id) == {}
    (warning,) = sweep_warnings(store, [chunk.dataset_id])
    assert f"{path}.corrupt in {store.url}" in warning
    assert run_chunk(store, chunk, lease_seconds=600, code_version="code") is not None
    assert len(finished_cases(store, chunk.dataset_id)) == len(CASES)
