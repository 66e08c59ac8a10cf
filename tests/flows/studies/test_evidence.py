"""Evidence: finalists walk through the years before the holdout, and the table says what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.promotion.significance import significance_rows, store_rows
from flows.reporting import SILENT
from flows.settings import load_settings
from flows.studies import evidence
from flows.studies.evidence import close_sentence, evidence_records, finalist_cases, walk_finalists, walking
from flows.warehouse.load import load_store
from flows.workspace.workspace import Workspace
from ml.data.datasets import read_dataset, read_manifest, write_dataset
from ml.evaluation.preparation import prepare
from ml.evaluation.walk_forward import folds_of
from ml.execution.chunks import Chunk, run_chunk
from ml.execution.results import read_results
from ml.forecasting.chain import Chain
from ml.timeframes import DAY_MS, HOUR_MS
from tests.synthetic import SERIES, make_case, make_dataset

CASES = tuple(make_case(params={"alpha": alpha}) for alpha in (0.1, 1.0, 3.0, 10.0, 30.0, 100.0))


@pytest.mark.parametrize(
    ("days", "walked_days"), [(4 * 365, 730), (2500, 730), (4 * 365 - 1, 365), (1000, 365), (400, 200)]
)
@pytest.mark.parametrize("timeframe_ms", [HOUR_MS, 4 * HOUR_MS, DAY_MS])
def test_a_long_series_walks_through_two_years_a_short_one_through_one(
    days: int, walked_days: int, timeframe_ms: int
) -> None:
    rows = days * DAY_MS // timeframe_ms
    case = walking(CASES[0], rows, timeframe_ms)
    assert case.walk_forward is not None
    assert case.walk_forward.refit_every * timeframe_ms == 30 * DAY_MS
    assert case.validation_fraction * days == pytest.approx(walked_days, rel=0.002)
    # The holdout is the one of every other case: nobody walks into it.
    assert case.train_fraction + case.validation_fraction == pytest.approx(0.8)


def test_the_walk_ends_before_the_holdout_and_learns_from_what_lies_before_each_step() -> None:
    dataset = make_dataset(4000)
    prepared = prepare(walking(CASES[0], len(dataset), HOUR_MS), dataset)
    folds = folds_of(prepared)
    assert len(folds) == 3  # half of the series in steps of 720 hours
    assert all(fold.train[-1] < fold.predict[0] - 1 for fold in folds)
    assert folds[-1].predict[-1] < 0.8 * len(dataset) <= prepared.split.holdout[0]


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose one series was searched and evaluated."""
    workspace = Workspace(tmp_path, load_settings(None, {"sweep": {"processes": 1}}))
    store = workspace.store
    dataset_id = write_dataset(store, make_dataset(4000), "test")
    manifest = read_manifest(store, dataset_id)
    monkeypatch.setattr(evidence, "require_datasets", lambda _: {SERIES: manifest})
    run_chunk(store, Chunk(dataset_id, CASES), lease_seconds=60, code_version="test")
    load_store(workspace)
    store_rows(workspace, SERIES, dataset_id, significance_rows(store, dataset_id))
    best = finalist_cases(read_results(store, dataset_id))[0]
    verdict = {"case_key": best.key, "dataset_id": dataset_id, "decision": "promoted", "reason": "it is better"}
    Chain(store, "verdicts").append(verdict | {"holdout_skill": 0.05})
    Chain(store, "verdicts").append(verdict | {"dataset_id": "another", "decision": "refused", "holdout_skill": -1})
    return workspace


@pytest.mark.e2e
def test_the_record_of_a_series_is_that_of_its_best_finalist_walking(searched: Workspace) -> None:
    (before,) = evidence_records(searched)
    assert (before["skill"], before["walked_days"], before["n_trials"]) == (None, None, 6)
    walk_finalists(searched, SILENT)
    (record,) = evidence_records(searched)
    (dataset_id,) = {row["dataset_id"] for row in read_results(searched.store, before_id(searched))}
    results = {row["case_key"]: row for row in read_results(searched.store, dataset_id)}
    walks = [row for row in results.values() if '"walk_forward"' in row["case_json"]]
    assert len(walks) == 5
    best = max((row for row in results.values() if row not in walks), key=lambda row: row["skill"])
    mine = next(row for row in walks if f'"alpha":{alpha_of(best)}' in row["case_json"])
    assert record["skill"] == mine["skill"]
    assert record["skill_lower"] < record["skill"] < record["skill_upper"]
    assert (record["decision"], record["holdout_skill"], record["reason"]) == ("promoted", 0.05, "it is better")
    assert record["selection_skill"] == best["skill"]
    assert 0 < record["spa_p_value"] <= 1
    # Walks are not what was chosen from.
    assert record["n_trials"] == 6
    # A second time there is nothing to do.
    walk_finalists(searched, SILENT)
    assert len(read_results(searched.store, dataset_id)) == len(results)


def before_id(workspace: Workspace) -> str:
    (record, *_) = Chain(workspace.store, "verdicts").records()
    dataset_id: str = record["body"]["dataset_id"]
    assert len(read_dataset(workspace.store, dataset_id)) == 4000
    return dataset_id


def alpha_of(row: dict[str, Any]) -> str:
    return str(row["case_json"].split('"alpha":')[1].split("}")[0])


def test_the_sentence_about_the_close_says_what_the_records_say() -> None:
    row = {"skill_high": 0.05, "skill_low": 0.02, "skill_close": -0.001}
    said = close_sentence([row, row | {"skill_close": 0.002, "skill_high": 0.08}])
    assert "between -0.10% and +0.20% on the close (above 0 in 1 of them)" in said
    assert "between +2.0% and +8.0% on high and low" in said
    suspicious = close_sentence([row, row | {"skill_close": 0.02}])
    assert "look for a leak" in suspicious
    assert close_sentence([dict.fromkeys(row)]) == "No walk has a result, so nothing is said about the close."
