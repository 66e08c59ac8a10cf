"""Significance over a store and a warehouse: measured once, replaced when results are new, never half."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.promotion.significance import due_datasets, significance_rows, store_rows
from flows.promotion.steps import run_significance
from flows.reporting import SILENT
from flows.settings import load_settings
from flows.warehouse.load import load_store
from flows.workspace.workspace import Workspace
from ml.data.datasets import write_dataset
from ml.execution.chunks import Chunk, run_chunk
from tests.synthetic import SERIES, make_case, make_dataset

ALPHAS = (0.1, 1.0, 3.0, 10.0, 30.0, 100.0)
CASES = tuple(make_case(params={"alpha": alpha}) for alpha in ALPHAS)
POOR = make_case(features=("return_1",))
WALK = make_case(walk_forward={"refit_every": 400})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, load_settings(None))


def sweep(workspace: Workspace, rows: int, *cases: Any) -> str:
    dataset_id = write_dataset(workspace.store, make_dataset(rows, edge=0.5), "test")
    chunk = Chunk(dataset_id, cases)
    assert run_chunk(workspace.store, chunk, lease_seconds=60, code_version="test") is not None
    load_store(workspace)
    return dataset_id


def stored(workspace: Workspace) -> dict[tuple[str, str], dict[str, Any]]:
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        found = connection.execute("select * from raw.significance")
        names = [column[0] for column in found.description or []]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return {(row["dataset_id"], row["case_key"]): row for row in rows}


def measure(workspace: Workspace, dataset_id: str) -> None:
    store_rows(workspace, SERIES, dataset_id, significance_rows(workspace.store, dataset_id))


def test_every_ranked_case_has_a_row_and_the_edge_of_a_market_is_found(workspace: Workspace) -> None:
    dataset_id = sweep(workspace, 6000, *CASES, POOR, WALK, make_case(features=("unknown",)))
    rows = {row["case_key"]: row for row in significance_rows(workspace.store, dataset_id)}
    assert set(rows) == {case.key for case in (*CASES, POOR)}  # the failed one and the walk forward are not ranked
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        results = connection.execute("select case_key, skill from raw.results where skill is not null").fetchall()
    for key, skill in results:
        if key != WALK.key:
            assert rows[key]["skill_lower"] < skill < rows[key]["skill_upper"]
            assert rows[key]["skill_upper"] - rows[key]["skill_lower"] < 0.2
    assert {row["spa_p_value"] for row in rows.values()} == {1 / 1001}
    finalists = {key for key, row in rows.items() if row["is_finalist"]}
    assert len(finalists) == 5
    assert POOR.key not in finalists
    assert {key for key, row in rows.items() if row["in_confidence_set"] is None} == set(rows) - finalists
    assert any(rows[key]["in_confidence_set"] for key in finalists)


def test_few_days_leave_the_figures_open_but_name_the_finalists(workspace: Workspace) -> None:
    dataset_id = sweep(workspace, 2000, *CASES)
    rows = significance_rows(workspace.store, dataset_id)
    assert sum(row["is_finalist"] for row in rows) == 5
    names = ("skill_lower", "skill_upper", "spa_p_value", "in_confidence_set")
    assert all(row[name] is None for row in rows for name in names)


def test_unchanged_results_are_not_due_and_new_ones_replace_all_rows_of_the_dataset(workspace: Workspace) -> None:
    first = sweep(workspace, 4000, *CASES[:2])
    datasets = {SERIES: first}
    assert due_datasets(workspace, datasets) == datasets
    measure(workspace, first)
    before = stored(workspace)
    assert due_datasets(workspace, datasets) == {}
    # What is not ranked changes nothing of what is measured.
    sweep(workspace, 4000, WALK)
    assert due_datasets(workspace, datasets) == {}
    assert sweep(workspace, 4000, POOR) == first
    assert due_datasets(workspace, datasets) == datasets
    second = sweep(workspace, 4100, *CASES[:1])
    assert due_datasets(workspace, {SERIES: second}) == {SERIES: second}
    measure(workspace, first)
    measure(workspace, second)
    after = stored(workspace)
    assert set(after) == {(first, case.key) for case in (*CASES[:2], POOR)} | {(second, CASES[0].key)}
    assert after[first, CASES[0].key]["skill_lower"] == before[first, CASES[0].key]["skill_lower"]
    assert (after[second, CASES[0].key]["symbol"], len(before)) == (SERIES.symbol, 2)


def test_rows_that_cannot_be_stored_leave_the_old_ones(workspace: Workspace) -> None:
    dataset_id = sweep(workspace, 4000, *CASES[:1])
    measure(workspace, dataset_id)
    before = stored(workspace)
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        connection.execute("alter table raw.significance rename column spa_p_value to other")
    with pytest.raises(Exception, match="spa_p_value"):
        measure(workspace, dataset_id)
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        connection.execute("alter table raw.significance rename column other to spa_p_value")
    assert stored(workspace) == before


def test_a_series_without_results_has_no_rows(workspace: Workspace) -> None:
    assert significance_rows(workspace.store, "nothing") == []


class InThisProcess:
    """A pool that counts what it runs."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, function: Any, *arguments: Any) -> Any:
        self.runs += 1
        return function(*arguments)


def test_the_step_measures_what_is_due_and_nothing_twice(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.promotion import steps  # noqa: PLC0415

    dataset_id = sweep(workspace, 4000, *CASES[:2])
    monkeypatch.setattr(steps, "require_datasets", lambda _: {SERIES: {"id": dataset_id}})
    monkeypatch.setattr(steps, "load_results", load_store)
    monkeypatch.setattr(steps, "measure", DirectTask(steps.measure.fn))
    pool: Any = InThisProcess()
    assert run_significance(workspace, pool, SILENT) == {str(SERIES): 2}
    assert run_significance(workspace, pool, SILENT) == {}
    assert pool.runs == 1
    assert len(stored(workspace)) == 2


class DirectTask:
    """A task that runs where it is submitted, without a server."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def submit(self, *arguments: Any) -> Any:
        answer = self._function(*arguments)
        return type("Done", (), {"result": lambda self: answer})()
