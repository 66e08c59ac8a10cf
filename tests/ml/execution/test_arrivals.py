"""Result files that arrive in a home: which are accepted, in which order they count, and why others are set aside."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data.parquet import parquet_bytes, read_parquet
from ml.errors import StoreError
from ml.evaluation.evaluate import evaluate
from ml.execution.arrivals import HomeStore, Signer
from ml.execution.diagnostics import sweep_warnings
from ml.execution.result_index import read_result_index
from ml.execution.result_signatures import NAME, public_key_of, signed_parquet
from ml.execution.results import RunInfo, read_results, result_files, result_path, result_row, write_results
from ml.promotion.field import read_field
from ml.search.cases import TestCase
from ml.signatures import SigningKey
from tests.synthetic import home_store, make_case, make_dataset

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC).replace(tzinfo=None)
HOME, ANNA, BEN, STRANGER = (SigningKey.create() for _ in range(4))
SIGNERS = {HOME.public: Signer(), ANNA.public: Signer("anna"), BEN.public: Signer("ben")}
_OUTCOME = evaluate(make_case(), make_dataset(1000))


def row(case: TestCase | None = None, worker: str = "box:1:2.00", **changes: Any) -> dict[str, Any]:
    return {**result_row(case or make_case(), "d", RunInfo(worker, NOON, NOON, 1.0, 1.0, "code"), _OUTCOME), **changes}


@pytest.fixture
def store(tmp_path: Path) -> HomeStore:
    """A home that has counted signed results."""
    store = home_store(tmp_path, SIGNERS)
    write_results(store, result_path("d", "m"), [row(make_case(lags=9))], HOME)
    assert len(read_results(store, "d")) == 1
    return store


def reasons(store: HomeStore) -> list[str]:
    result_files(store)
    return [one.reason for one in store.arrivals.refusals()]


def test_a_signed_file_comes_back_as_that_of_the_machine_whose_key_signed_it(store: HomeStore) -> None:
    write_results(store, result_path("d", "a"), [row(worker="honest:7:1.00")], ANNA)
    found = {one["worker"]: one["signer"] for one in read_results(store, "d", ["worker"])}
    assert found == {"box:1:2.00": "", "anna:7:1.00": "anna"}
    assert reasons(store) == []


def test_a_signature_covers_every_byte() -> None:
    content = signed_parquet(pa.table({"a": [1, 2, 3]}), ANNA)
    assert public_key_of(content) == ANNA.public
    assert read_parquet(content).column_names == ["a"]
    assert public_key_of(parquet_bytes(pa.table({"a": [1]}))) == ""
    for place in range(4, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1
        try:
            assert public_key_of(bytes(changed)) != ANNA.public, place
        except (ValueError, OSError, pa.ArrowException):
            continue


def test_what_is_not_signed_wrongly_signed_or_by_a_stranger_is_set_aside_by_name_with_the_reason(
    store: HomeStore,
) -> None:
    write_results(store, result_path("d", "unsigned"), [row()])
    write_results(store, result_path("d", "stranger"), [row()], STRANGER)
    signed = io.BytesIO(signed_parquet(read_parquet(store.read(result_path("d", "m"))), ANNA))
    mark = pq.read_metadata(signed).metadata[NAME.encode()].decode()
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, pq.read_schema(io.BytesIO(store.read(result_path("d", "unsigned"))))) as writer:
        writer.write_table(read_parquet(store.read(result_path("d", "unsigned"))))
        writer.add_key_value_metadata({NAME: mark})
    store.create(result_path("d", "borrowed"), buffer.getvalue())  # another file's signature
    assert len(read_results(store, "d")) == 1
    assert [one.path for one in store.arrivals.refusals()] == [
        f"results/d/{name}.parquet.corrupt" for name in ("borrowed", "stranger", "unsigned")
    ]
    for reason, words in zip(reasons(store), ("does not fit its content", "does not know", "not signed"), strict=True):
        assert words in reason
    (line, *_) = [one for one in sweep_warnings(store, []) if "unsigned" in one]
    assert "it is not signed, and this home has signed results; lend its machine with `candleworks lend NAME`" in line


def test_what_arrives_after_a_key_was_revoked_is_set_aside_and_earlier_results_stay(tmp_path: Path) -> None:
    signers = dict(SIGNERS)
    store = home_store(tmp_path, signers)
    write_results(store, result_path("d", "early"), [row()], ANNA)
    assert len(read_results(store, "d")) == 1
    signers[ANNA.public] = Signer("anna", revoked=True)
    write_results(store, result_path("d", "late"), [row(make_case(lags=2))], ANNA)
    assert len(read_results(store, "d")) == 1
    assert reasons(store) == ["it is signed with the key of anna, which was revoked"]


def test_a_home_with_unsigned_results_keeps_them_and_takes_more_until_the_first_signed_one(tmp_path: Path) -> None:
    store = home_store(tmp_path, SIGNERS)
    write_results(store, result_path("d", "old"), [row()])
    assert len(read_results(store, "d")) == 1
    write_results(store, result_path("d", "older-program"), [row(make_case(lags=2))])
    assert len(read_results(store, "d")) == 2
    write_results(store, result_path("d", "signed"), [row(make_case(lags=3))], HOME)
    assert len(read_results(store, "d")) == 3
    write_results(store, result_path("d", "too-late"), [row(make_case(lags=4))])
    assert len(read_results(store, "d")) == 3


def test_one_order_of_arrival_for_sweep_and_court_whatever_the_stamps(store: HomeStore) -> None:
    honest, forged = row(skill=0.1), row(skill=0.9, started_at=NOON - timedelta(days=2000))
    forged["finished_at"] = forged["started_at"]
    write_results(store, result_path("d", "z"), [honest], ANNA)
    assert len(read_results(store, "d")) == 2
    write_results(store, result_path("d", "a"), [forged], BEN)  # by name it would be read first
    key = make_case().key
    assert [one["skill"] for one in read_results(store, "d") if one["case_key"] == key] == [0.1]
    assert read_result_index(store, "d").find(key) == (0.1, False)
    assert [one["skill"] for one in read_field(store, "d").figures if one["case_key"] == key] == [0.1]
    assert {one["worker"] for one in read_field(store, "d", ["anna"]).figures} == {"box:1:2.00", "ben:1:2.00"}


def test_a_file_that_was_changed_after_its_arrival_is_set_aside(store: HomeStore) -> None:
    write_results(store, result_path("d", "a"), [row()], ANNA)
    assert len(read_results(store, "d")) == 2
    better = signed_parquet(read_parquet(store.read(result_path("d", "a"))), BEN)
    store.replace(result_path("d", "a"), better)
    assert len(read_results(store, "d")) == 1
    assert reasons(store) == ["it was changed after it had arrived"]


def _with(name: str, value: Any, kind: pa.DataType | None = None) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        field = table.schema.field(name)
        place = table.column_names.index(name)
        return table.set_column(place, name, pa.array([value], kind or field.type))

    return change


def _described(**changes: Any) -> Callable[[pa.Table], pa.Table]:
    return _with("case_json", json.dumps({**make_case().content(), **changes}))


FAULTS: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "another table": (lambda table: table.select(["case_key", "symbol"]), "it lacks the column dataset_id"),
    "a text as figure": (_with("skill", "best", pa.string()), "its column skill is string"),
    "a key that is none": (_with("case_key", "../../x"), "another key than its case"),
    "the key of another case": (_with("case_key", make_case(lags=7).key), "another key than its case"),
    "a case that is no JSON": (_with("case_json", "{"), "not valid JSON"),
    "a case that is a list": (_with("case_json", "[]"), "not valid JSON"),
    "a description without the series": (_described(series=None), "another key than its case"),
    "another series": (_with("symbol", "ETH/USDT"), "another series or model"),
    "another dataset": (_with("dataset_id", "e"), "another dataset than its folder"),
    "an unknown status": (_with("status", "champion"), "neither tested nor failed"),
    "no worker": (_with("worker", None), "has no worker"),
    "a worker without an end": (_with("worker", "x" * 300), "more than 200 characters"),
    "an unknown baseline": (_with("baseline", "zero"), "the unknown baseline zero"),
    "no baseline": (_with("baseline", None), "no name of a baseline"),
    "no skill": (_with("skill", None), "has no skill"),
    "losses of other lengths": (_with("loss_model", [1.0]), "different lengths"),
    "no losses": (_with("loss_day", None), "different lengths"),
    "no time": (_with("finished_at", None), "lacks the time"),
    "a time before all": (
        _with("started_at", datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)),
        "was started 1970",
    ),
    "an end before its start": (_with("finished_at", NOON - timedelta(days=9)), "and finished 2024-04-22"),
    "a time of the far future": (_with("finished_at", NOON + timedelta(days=99_999)), "and finished 2298"),
}


def test_one_readable_file_that_is_no_result_stops_nothing_and_is_named_with_the_reason(store: HomeStore) -> None:
    write_results(store, result_path("d", "good"), [row()], ANNA)
    good = read_parquet(store.read(result_path("d", "good")))
    for number, (change, words) in enumerate(FAULTS.values()):
        store.create(result_path("d", f"f{number:02}"), signed_parquet(change(good), ANNA))
        assert len(read_results(store, "d")) == 2, words
        assert (read_result_index(store, "d").n_failed, len(read_field(store, "d").figures)) == (0, 2), words
        aside = store.arrivals.refusals()[-1]
        assert aside.path == f"results/d/f{number:02}.parquet.corrupt"
        assert words in aside.reason
    store.create("results/strayed.parquet", b"")
    store.create("results/d/deep/er.parquet", b"")
    assert len(result_files(store)) == 2


def test_a_broken_list_of_arrivals_is_named_with_a_remedy_that_helps(store: HomeStore) -> None:
    store.arrivals.path.write_bytes(b"x" * 4096)
    with pytest.raises(StoreError, match="delete it: all result files of the store then count"):
        read_results(store, "d")
    store.arrivals.path.unlink()
    assert len(read_results(store, "d")) == 1
