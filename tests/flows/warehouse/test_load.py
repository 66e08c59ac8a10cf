"""Load: result files of every age and sealed records, each once."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import flows.cli  # noqa: F401 - registers the commands
from flows.cli.application import application
from flows.forecasting.inputs import best_baseline
from flows.settings import load_settings
from flows.warehouse.load import load_store, reload_chains
from flows.warehouse.verification import record_verification, verify_home
from flows.workspace.signing import signing_key_path
from flows.workspace.workspace import Workspace
from ml.errors import StoreError
from ml.evaluation.evaluate import evaluate
from ml.execution.results import RunInfo, result_path, result_row, write_results
from ml.forecasting.chain import Chain
from ml.forecasting.seals import CHAINS
from ml.forecasting.trust import AcceptedHead
from ml.search.cases import TestCase
from tests.sealing import sealer_of
from tests.synthetic import SERIES, make_case, make_dataset, with_all_kinds

NOW = datetime(2026, 1, 1, tzinfo=UTC)
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


RULE = {"exchange": "e", "symbol": "A/USDT", "timeframe": "1h", "decided_at": "2024-01-01T00:00:40+00:00"}


def _sealed(workspace: Workspace, n: int) -> Path:
    chain = workspace.chain("rules")
    for number in range(n):
        chain.append({**RULE, "p_value": float(number)})
    return workspace.home / "store" / "rules"


def _p_values(workspace: Workspace) -> list[float]:
    with workspace.warehouse.connect() as connection:
        return [row[0] for row in connection.execute("select p_value from raw.rules order by sequence").fetchall()]


def test_a_record_that_was_lost_after_it_was_loaded_is_a_ghost_with_a_remedy(workspace: Workspace) -> None:
    folder = _sealed(workspace, 3)
    load_store(workspace)
    (folder / "0000000003.json").unlink()  # by a power failure
    for again in (False, True):
        if again:  # the number is used once more
            workspace.chain("rules").append({**RULE, "p_value": 9.0})
        with pytest.raises(StoreError, match=r"has a record 3 of the chain rules .*`candleworks reload-chains`"):
            load_store(workspace)
        assert _p_values(workspace) == [0.0, 1.0, 2.0]
    assert not any(report.problem for report in verify_home(workspace)), "the store itself is whole"
    (report,) = [one for one in record_verification(workspace, NOW) if one.problem]
    assert report.chain == "rules" and "has a record 3" in report.problem

    done = CliRunner().invoke(application, ["reload-chains", "--home", str(workspace.home)])
    assert done.exit_code == 0, done.output
    assert _p_values(workspace) == [0.0, 1.0, 9.0]
    assert load_store(workspace)["rules"] == 0
    assert not any(report.problem for report in record_verification(workspace, NOW))


def test_an_earlier_record_that_differs_is_found_by_the_verification(workspace: Workspace) -> None:
    _sealed(workspace, 3)
    load_store(workspace)
    with workspace.warehouse.connect() as connection:
        connection.execute("update raw.rules set hash = 'f' where sequence = 1")
    assert load_store(workspace)["rules"] == 0
    (report,) = [one for one in record_verification(workspace, NOW) if one.problem]
    assert "has a record 1 of the chain rules" in report.problem


def test_a_bad_or_forged_record_is_not_loaded_and_a_reload_keeps_the_rows(workspace: Workspace) -> None:
    folder = _sealed(workspace, 2)
    load_store(workspace)
    stranger = sealer_of(9, rules=AcceptedHead(*Chain(workspace.store, "rules").head()))
    Chain(workspace.store, "rules", stranger).append({**RULE, "p_value": 7.0})
    for reason in ("signed with another key than that of this home", "its content does not match its hash"):
        for use in (load_store, reload_chains):
            with pytest.raises(StoreError, match=rf"0000000003\.json is the first bad record: .*{reason}"):
                use(workspace)
            assert _p_values(workspace) == [0.0, 1.0]
        path = folder / "0000000003.json"
        path.write_bytes(path.read_bytes().replace(b"7.0", b"8.0"))


def test_the_last_verification_replaces_the_one_before_and_a_lost_key_is_a_result(workspace: Workspace) -> None:
    def rows() -> list[tuple[object, ...]]:
        with workspace.warehouse.connect() as connection:
            return connection.execute(
                "select verified_at, chain, records, problem = '' from raw.verifications order by chain"
            ).fetchall()

    assert rows() == [], "never verified"
    _sealed(workspace, 2)
    record_verification(workspace, NOW)
    assert [(row[1], row[2], row[3]) for row in rows()] == [
        (name, 2 if name == "rules" else 0, True) for name in sorted(CHAINS)
    ]
    assert {row[0] for row in rows()} == {NOW.replace(tzinfo=None)}
    signing_key_path(workspace.home).unlink()
    record_verification(workspace, NOW)
    assert {row[3] for row in rows()} == {False}
