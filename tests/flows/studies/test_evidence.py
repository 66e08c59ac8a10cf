"""Evidence: the table says what serves on the holdout, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.promotion.significance import significance_rows, store_rows
from flows.reporting import SILENT
from flows.settings import load_settings
from flows.studies import evidence
from flows.studies.evidence import close_sentence, evidence_records
from flows.warehouse.load import load_store
from flows.workspace.workspace import Workspace
from ml.data.datasets import read_dataset, read_manifest, write_dataset
from ml.execution.chunks import Chunk, run_chunk
from ml.execution.results import read_results
from ml.forecasting.chain import Chain
from ml.promotion.served import direction_figures, served_figures
from ml.search.cases import TestCase
from tests.synthetic import SERIES, make_case, make_dataset

CASES = tuple(make_case(params={"alpha": alpha}) for alpha in (0.1, 1.0, 3.0, 10.0, 30.0, 100.0))


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
    best = max(read_results(store, dataset_id), key=lambda row: row["skill"])
    verdict = {"case_key": best["case_key"], "dataset_id": dataset_id, "decision": "promoted", "reason": "it is better"}
    Chain(store, "verdicts").append(verdict | {"holdout_skill": 0.05})
    Chain(store, "verdicts").append(verdict | {"dataset_id": "another", "decision": "refused", "holdout_skill": -1})
    return workspace


@pytest.mark.e2e
def test_the_record_of_a_series_is_the_holdout_as_the_promoted_case_serves(searched: Workspace) -> None:
    (record,) = evidence_records(searched, SILENT)
    (before, *_) = Chain(searched.store, "verdicts").records()
    dataset = read_dataset(searched.store, before["body"]["dataset_id"])
    results = read_results(searched.store, dataset.id)
    best = max(results, key=lambda row: row["skill"])
    served = served_figures(dataset, TestCase.model_validate_json(best["case_json"]))
    assert {name: record[name] for name in served} == served
    assert (record["decision"], record["reason"]) == ("promoted", "it is better")
    assert (record["selection_skill"], record["model"], record["n_trials"]) == (best["skill"], "ridge", 6)
    assert 0 < record["spa_p_value"] <= 1
    learnt = direction_figures(dataset, TestCase.model_validate_json(best["case_json"]))
    assert {name: record[name] for name in learnt} == learnt
    assert record["skill_lower"] < record["skill"] < record["skill_upper"]


@pytest.mark.e2e
def test_where_nothing_was_promoted_the_record_is_that_of_the_baseline(
    searched: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_promoted", lambda *_: None)
    (record,) = evidence_records(searched, SILENT)
    assert record["model"] == record["baseline"]
    assert (record["skill"], record["skill_lower"], record["skill_upper"]) == (0.0, 0.0, 0.0)


def row(**changes: float | None) -> dict[str, Any]:
    skills = {"skill_high": 0.05, "skill_low": 0.02, "skill_close": -0.001, "skill": 0.01, "skill_lower": 0.001}
    return skills | {"direction_accuracy": 0.55, "direction_se": 0.005, "over_holding_t": 1.0} | changes


def test_the_sentence_about_the_close_says_what_the_records_say() -> None:
    said = close_sentence([row(), row(skill_close=0.002, skill_high=0.08), row(skill=0.0, skill_lower=0.0)])
    assert "On the holdout of 3 series" in said
    assert "between +2.0% and +8.0% on high and low" in said
    assert "between -0.10% and +0.20% on the close" in said
    assert "A model serves on 2 of them; on 2 its gain" in said
    assert "right on 55.0% to 55.0% of the candles" in said
    assert "it gains more than holding, beyond luck, on 0 of 3 series" in said
    assert "beyond luck, on 1 of 2" in close_sentence([row(), row(over_holding_t=2.0)])
    assert "direction" not in close_sentence([row(direction_accuracy=None)])
    assert "look for a leak" in close_sentence([row(), row(skill_close=0.02)])
    assert close_sentence([]) == "No series was searched, so nothing is said."
