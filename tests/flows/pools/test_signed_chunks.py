"""The key in the environment of a worker signs its results."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.pools.chunk_job import do_chunk
from flows.pools.worker_process import KEY_VARIABLE
from flows.settings import load_settings
from flows.workspace.worker_keys import home_worker_key
from flows.workspace.workspace import Workspace
from ml.data.datasets import write_dataset
from ml.execution.chunks import Chunk
from ml.execution.results import read_results
from tests.synthetic import make_case, make_dataset


def test_a_chunk_of_a_worker_of_the_home_is_signed_and_one_without_a_key_is_not_counted_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path, load_settings(None, {}))
    dataset_id = write_dataset(workspace.store, make_dataset(1200), "test")
    assert read_results(workspace.store, dataset_id) == []
    monkeypatch.setenv(KEY_VARIABLE, home_worker_key(tmp_path).text)
    assert len(do_chunk(workspace.store_url, Chunk(dataset_id, (make_case(),)), 60.0)) == 1
    assert [row["signer"] for row in read_results(workspace.store, dataset_id)] == [""]
    monkeypatch.delenv(KEY_VARIABLE)
    assert len(do_chunk(workspace.store_url, Chunk(dataset_id, (make_case(lags=2),)), 60.0)) == 1
    assert len(read_results(workspace.store, dataset_id)) == 1
    # Its chunk is free again for a worker with a key.
    monkeypatch.setenv(KEY_VARIABLE, home_worker_key(tmp_path).text)
    assert len(do_chunk(workspace.store_url, Chunk(dataset_id, (make_case(lags=2),)), 60.0)) == 1
    assert len(read_results(workspace.store, dataset_id)) == 2
