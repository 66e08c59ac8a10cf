"""Keys of earlier versions: results, verdicts and models are found under the key of today, none is lost."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ml.canonical import canonical_json, digest
from ml.errors import StoreError
from ml.execution.former_keys import bring_up_to_date, former_keys
from ml.execution.result_index import read_result_index
from ml.execution.results import RunInfo, read_result_file, read_results, result_row, write_results
from ml.forecasting.chain import Chain
from ml.promotion.verdicts import current_champion, read_verdicts
from ml.search.cases import TestCase
from ml.store import Store
from tests.synthetic import make_case

RUN = RunInfo(
    "host:1:2.00", datetime.fromisoformat("2024-01-01"), datetime.fromisoformat("2024-01-02"), 1.0, 100.0, "0.1.0+old"
)
#: What an earlier version wrote of one fit, and of two others: parameters as given, seeds that ridge does not take.
ONE_FIT: list[dict[str, Any]] = [
    {"params": {}, "seeds": [0]},
    {"params": {"alpha": 1}, "seeds": [0]},
    {"params": {"alpha": 1.0}, "seeds": [0]},
    {"params": {}, "seeds": [2, 1]},
]
OTHERS: list[dict[str, Any]] = [{"params": {"alpha": 2}, "seeds": [0]}, {"params": {"alpha": 3.0}, "seeds": [0]}]


def as_before(case: TestCase, changes: dict[str, Any]) -> dict[str, Any]:
    """The row of a case as an earlier version wrote it."""
    content = {**case.content(), **changes}
    key = digest({name: value for name, value in content.items() if name != "feature_set"})[:16]
    return result_row(case, "d1", RUN, "an error") | {"case_key": key, "case_json": canonical_json(content)}


def old_store(tmp_path: Path, rows: list[dict[str, Any]]) -> Store:
    """A store of schema 1 with a result file per row."""
    store = Store(tmp_path)
    store.replace("schema.json", b'{"schema_version": 1}')
    for number, row in enumerate(rows):
        write_results(store, f"results/d1/{number:02}.parquet", [row])
    return store


def test_one_fit_has_one_key_and_no_row_is_lost(tmp_path: Path) -> None:
    rows = [as_before(make_case(), changes) for changes in (*ONE_FIT, *OTHERS)]
    store = old_store(tmp_path, rows)
    assert len({row["case_key"] for row in rows}) == len(read_result_index(store, "d1")) == 6
    bring_up_to_date(store)
    index = read_result_index(store, "d1")
    assert len(index) == 3
    for case in (make_case(), make_case(params={"alpha": 2}), make_case(params={"alpha": 3})):
        assert index.find(case.key) is not None
    assert sum(len(read_result_file(store, path)) for path in store.list("results")) == 6
    for row in read_results(store, "d1"):
        assert TestCase(**json.loads(row["case_json"])).key == row["case_key"]
    expected = [make_case(params={"alpha": alpha}).key for alpha in (1, 1, 1, 1, 2, 3)]
    assert [former_keys(store).get(row["case_key"], row["case_key"]) for row in rows] == expected


def test_verdicts_name_cases_by_their_key_of_today(tmp_path: Path) -> None:
    before = [as_before(make_case(), changes) for changes in ({"params": {}}, OTHERS[0])]
    store = old_store(tmp_path, before)
    chain = Chain(store, "verdicts")
    chain.append(
        {"decision": "promoted", "case_key": before[0]["case_key"], "incumbent_case_key": None, "model_id": "m"}
    )
    chain.append(
        {"decision": "refused", "case_key": before[1]["case_key"], "incumbent_case_key": before[0]["case_key"]}
    )
    sealed = [store.read(path) for path in store.list("verdicts")]
    bring_up_to_date(store)
    chain.append({"decision": "retired", "case_key": make_case().key, "reason": "no edge"})
    verdicts = read_verdicts(store)
    assert [verdict["case_key"] for verdict in verdicts] == [
        make_case().key,
        make_case(params={"alpha": 2}).key,
        make_case().key,
    ]
    assert verdicts[1]["incumbent_case_key"] == make_case().key
    # Under its former key the champion would never have been retired.
    assert current_champion(verdicts) is None
    assert [store.read(path) for path in store.list("verdicts")][:2] == sealed


@pytest.mark.parametrize("writes", range(9))
def test_a_migration_that_is_interrupted_anywhere_is_completed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    rows = [as_before(make_case(), changes) for changes in (*ONE_FIT, *OTHERS)]
    whole, store = old_store(tmp_path / "whole", rows), old_store(tmp_path / "cut", rows)
    bring_up_to_date(whole)
    left = iter(range(writes))

    def replace(self: Store, path: str, data: bytes) -> None:
        if next(left, None) is None:
            raise StoreError("killed")
        original(self, path, data)

    original = Store.replace
    with monkeypatch.context() as patch:
        patch.setattr(Store, "replace", replace)
        try:
            bring_up_to_date(store)
        except StoreError:
            assert writes < 8
    bring_up_to_date(store)
    assert {path: store.read(path) for path in store.list("")} == {path: whole.read(path) for path in whole.list("")}


def test_a_forged_row_and_one_of_a_model_that_is_gone_stay_as_they_are(tmp_path: Path) -> None:
    forged = as_before(make_case(), {}) | {"case_key": "0" * 16}
    gone = as_before(make_case(), {"model": "oracle"})
    nonsense = as_before(make_case(), {}) | {"case_json": "[1]"}
    store = old_store(tmp_path, [forged, gone, nonsense])
    bring_up_to_date(store)
    kept = [read_result_file(store, path)[0] for path in store.list("results")]
    assert [(row["case_key"], row["case_json"]) for row in kept] == [
        (row["case_key"], row["case_json"]) for row in (forged, gone, nonsense)
    ]
    assert former_keys(store) == {}


def test_a_store_without_a_mark_is_migrated_where_it_has_results_and_an_empty_one_stays_empty(tmp_path: Path) -> None:
    store = old_store(tmp_path / "old", [as_before(make_case(), {"params": {}})])
    store.delete("schema.json")
    bring_up_to_date(store)
    assert read_result_index(store, "d1").find(make_case().key) is not None
    store.require_schema()
    empty = Store(tmp_path / "new")
    bring_up_to_date(empty)
    assert empty.list("") == []


def test_a_store_of_today_is_only_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.require_schema()
    monkeypatch.setattr(Store, "replace", lambda *_: pytest.fail("nothing is to be written"))
    bring_up_to_date(store)
