"""Load: result files of every age, each once."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.forecasting.inputs import best_baseline
from flows.settings import load_settings
from flows.warehouse.load import load_store
from flows.workspace.workspace import Workspace
from ml.evaluation.evaluate import evaluate
from ml.execution.results import RunInfo, result_path, result_row, write_results
from ml.search.cases import TestCase
from tests.synthetic import SERIES, make_case, make_dataset, with_all_kinds

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC).replace(tzinfo=None)
LATER_COLUMNS = ("log_loss", "baseline_log_loss", "auc", "average_precision", "f1", "percent_correct")
LATER_COLUMNS += ("baseline_percent_correct", "skill_correct", "label_metrics", "window_metrics")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, load_settings(None, {}))


def _write(workspace: Workspace, chunk: str, case: TestCase) -> str:
    path = result_path("d1", chunk)
    outcome = evaluate(case, with_all_kinds(make_dataset(1200)))
    row = result_row(case, "d1", RunInfo("w", NOON, NOON, 1.0, 1.0, "code"), outcome)
    assert write_results(workspace.store, path, [row])
    return path


def test_a_result_file_from_before_targets_of_other_kinds_is_loaded(workspace: Workspace) -> None:
    path = _write(workspace, "old", make_case())
    table = pq.read_table(io.BytesIO(workspace.store.read(path))).drop_columns(list(LATER_COLUMNS))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    workspace.store.replace(path, buffer.getvalue())
    _write(workspace, "new", make_case(target="horizon_summary_30", walk_forward={"refit_every": 100}))
    assert load_store(workspace)["results"] == 2
    assert load_store(workspace)["results"] == 0
    with workspace.warehouse.connect() as connection:
        rows = connection.execute(
            "select rmse_pct > 0, log_loss, json_array_length(label_metrics), json_array_length(window_metrics) > 1 "
            "from raw.results order by result_file desc"
        ).fetchall()
    assert rows == [(True, None, None, None), (True, None, 3, True)]


def test_a_forecast_is_held_against_a_baseline_of_the_next_candle(workspace: Workspace) -> None:
    _write(workspace, "candle", make_case())
    _write(workspace, "summary", make_case(target="horizon_summary_30"))
    load_store(workspace)
    with workspace.warehouse.connect() as connection:
        found = {row[0] for row in connection.execute("select baseline from raw.results").fetchall()}
        assert found == {"pooled_range", "train_mean"}
        assert best_baseline(connection, SERIES) == "pooled_range"
        connection.execute("delete from raw.results where baseline = 'pooled_range'")
        assert best_baseline(connection, SERIES) is None


def test_a_result_whose_case_cannot_be_read_is_left_out(workspace: Workspace) -> None:
    path = _write(workspace, "good", make_case())
    table = pq.read_table(io.BytesIO(workspace.store.read(path)))
    for name, value in (("case_key", "f"), ("case_json", "{")):
        table = table.set_column(table.column_names.index(name), name, pa.array([value]))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    workspace.store.replace(result_path("d1", "forged"), buffer.getvalue())
    load_store(workspace)
    with workspace.warehouse.connect() as connection:
        assert connection.execute("select case_key from raw.results").fetchall() == [(make_case().key,)]
