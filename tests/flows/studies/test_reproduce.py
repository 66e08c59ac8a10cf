"""Reproduce: every figure of a stored result comes out again, or it is said which one does not, or why it cannot."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flows.cli.application import application
from flows.pools.chunk_job import do_chunk
from flows.pools.local_pool import LocalPool
from flows.settings import load_settings
from flows.studies import reproduce
from flows.studies.reproduce import reproduce_case, since_changed
from flows.workspace.workspace import ARRIVALS, Workspace
from ml.data.datasets import write_dataset
from ml.errors import CaseError, StoreError
from ml.execution.chunks import Chunk
from ml.execution.results import read_result_file, result_path, write_results
from ml.forecasting.published import publish_version
from ml.models.linear import RidgeModel
from ml.search.cases import TestCase
from ml.store import Store
from tests.synthetic import FEATURES, make_case, make_dataset, with_all_kinds

CASES = {
    "plain": make_case(),
    "train rows": make_case(train_rows=300, lags=2),
    "walk-forward": make_case(walk_forward={"refit_every": 100}),
    "rolling": make_case(walk_forward={"refit_every": 100, "rolling": True}, train_rows=300, target="closes_100"),
    "summary": make_case(target="horizon_summary_30"),
    "trees": make_case(model="lightgbm", params={"trees": 5, "leaves": 4}, seeds=(1, 2)),
}


class Here:
    """In the place of a pool of processes: runs in this one."""

    def __init__(self, processes: int, log_path: Path) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, load_settings(None, {}))


def _swept(workspace: Workspace, *cases: TestCase) -> str:
    """Test the cases, and publish as much of their results as `reproduce` reads; returns the path of their file."""
    store = workspace.store
    dataset_id = write_dataset(store, with_all_kinds(make_dataset(1200)), "test")
    chunk = Chunk(dataset_id, cases)
    with reproduce.LocalPool(1, workspace.logs / "workers.log") as pool:
        pool.run(do_chunk, workspace.store_url, chunk, 60.0)
    path = result_path(dataset_id, chunk.id)
    _publish(store, path)
    return path


def _publish(store: Store, path: str) -> None:
    columns = ["case_key", "dataset_id", "status", "error", "finished_at"]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(read_result_file(store, path, columns)), buffer)
    publish_version(store, "v1", {"results": buffer.getvalue()}, {})


@pytest.mark.parametrize("name", CASES)
def test_every_figure_of_every_kind_of_evaluation_comes_out_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(reproduce, "LocalPool", Here)
    path = _swept(workspace, CASES[name])
    (stored,) = read_result_file(workspace.store, path)
    records = reproduce_case(workspace, CASES[name].key)
    assert all(record["equal"] for record in records)
    assert max(record["difference"] for record in records if record["difference"] == record["difference"]) <= 1e-12
    metrics = {record["metric"] for record in records}
    assert {"rmse_pct", "skill", "baseline_rmse_pct"} < metrics
    windows = json.loads(stored["window_metrics"] or "[]")
    assert {f"window_metrics {window['start']} skill" for window in windows} < metrics
    assert bool(windows) == (CASES[name].walk_forward is not None)
    assert ("label_metrics label_closes[100] rmse_pct" in metrics) == (CASES[name].target == "closes_100")


@pytest.mark.e2e
def test_a_network_comes_out_bit_by_bit_in_another_worker_of_this_machine(workspace: Workspace) -> None:
    params = {"units": 4, "epochs": 1}
    case = make_case(model="lstm", params=params, lags=3, walk_forward={"refit_every": 200})
    assert reproduce.LocalPool is LocalPool
    _swept(workspace, case)
    records = reproduce_case(workspace, case.key[:10])
    assert {record["difference"] for record in records} == {0.0}


def test_a_figure_that_was_changed_is_found(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "LocalPool", Here)
    case, store = CASES["walk-forward"], workspace.store
    path = _swept(workspace, case)
    (row,) = read_result_file(store, path)
    windows = json.loads(row["window_metrics"])
    windows[1]["rmse_pct"] += 1e-8
    days = [(day - type(day)(1970, 1, 1)).days for day in row["loss_day"]]
    changed = {"window_metrics": json.dumps(windows), "rmse_pct": row["rmse_pct"] + 1e-8, "loss_day": days}
    store.delete(path)
    assert write_results(store, path, [row | changed])
    (workspace.home / ARRIVALS).unlink()  # a home that sees it for the first time
    different = {record["metric"] for record in reproduce_case(workspace, case.key) if not record["equal"]}
    assert different == {"rmse_pct", f"window_metrics {windows[1]['start']} rmse_pct"}


@pytest.mark.parametrize("lost", ["manifest.json", "features.npy"])
def test_a_dataset_that_is_gone_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    monkeypatch.setattr(reproduce, "LocalPool", Here)
    path = _swept(workspace, CASES["plain"])
    dataset_id = path.split("/")[1]
    workspace.store.delete(f"datasets/{dataset_id}/{lost}")
    message = rf"^Dataset {dataset_id}, on which case {CASES['plain'].key} was tested, is no longer whole in .*Restore"
    with pytest.raises(StoreError, match=message):
        reproduce_case(workspace, CASES["plain"].key)


def test_what_cannot_be_reproduced_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "LocalPool", Here)
    impossible = make_case(features=("moon_phase",))
    path = _swept(workspace, impossible, CASES["plain"])
    with pytest.raises(CaseError, match="2 results have the key ''"):
        reproduce_case(workspace, "")
    with pytest.raises(CaseError, match="no result has the key 'xyz'"):
        reproduce_case(workspace, "xyz")
    with pytest.raises(CaseError, match=r"failed with: .*lacks moon_phase.* There is no figure to reproduce"):
        reproduce_case(workspace, impossible.key)
    workspace.store.delete(path)
    with pytest.raises(StoreError, match=r"The result file of case .* is no longer in .*tests the case again"):
        reproduce_case(workspace, CASES["plain"].key)


def test_columns_that_are_computed_otherwise_by_now_are_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "LocalPool", Here)
    series, case = make_dataset(300).series, CASES["plain"]
    stamps = dict.fromkeys(("range_6", "return_1", "label_high"), "v1")
    made = [
        write_dataset(workspace.store, replace(make_dataset(1200), fingerprints=prints), "test")
        for prints in (stamps, {**stamps, "range_6": "v2"})
    ]
    chunk = Chunk(made[0], (case,))
    do_chunk(workspace.store_url, chunk, 60.0)
    _publish(workspace.store, result_path(made[0], chunk.id))
    assert since_changed(workspace, case.key) == []  # nothing newer
    pointer = {"dataset_id": made[1], "through_ms": 0, "since_load_id": 0}
    workspace.store.replace(f"datasets/current/{series.slug}.json", json.dumps(pointer).encode())
    assert since_changed(workspace, case.key) == ["range_6"]
    done = CliRunner().invoke(application, ["reproduce", case.key, "--home", str(workspace.home)])
    assert done.exit_code == 0, done.output
    assert "range_6 have changed since" in done.stderr and "range_6 have" not in done.stdout


def test_a_case_that_was_fitted_in_a_group_comes_out_again_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "LocalPool", Here)
    cases = [make_case(features=features) for features in (FEATURES, FEATURES[:2])]
    with monkeypatch.context() as patch:
        patch.setattr(RidgeModel, "_solve", None)  # no case can be fitted alone
        _swept(workspace, *cases)
    records = [record for case in cases for record in reproduce_case(workspace, case.key)]
    assert len(records) > 40
    assert max(record["difference"] for record in records if record["difference"] == record["difference"]) <= 1e-9
    assert all(record["equal"] for record in records)
