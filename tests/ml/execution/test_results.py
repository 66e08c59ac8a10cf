"""Result files: what comes back is what was written, and the first result of a case is the one that counts."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ml.evaluation.evaluate import evaluate
from ml.execution.result_schema import METRICS, SCHEMA
from ml.execution.results import (
    RunInfo,
    corrupt_results,
    read_result_file,
    read_results,
    result_files,
    result_path,
    result_row,
    write_results,
)
from ml.store import Store
from tests.synthetic import finished_cases, home_store, make_case, make_dataset

NOON = datetime(2024, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC).replace(tzinfo=None)

EARLY = datetime(2016, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def run_info(finished_after_seconds: float = 1.0) -> RunInfo:
    return RunInfo("host:1:2.00", NOON, NOON + timedelta(seconds=finished_after_seconds), 0.75, 123.5, "code-7")


def good_row(**changes: Any) -> dict[str, Any]:
    case = make_case(feature_set="range")
    return result_row(case, "d1", run_info(), evaluate(case, make_dataset(1000))) | changes


def test_a_result_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    store, row = Store(tmp_path), good_row()
    assert write_results(store, result_path("d1", "chunk"), [row])
    (back,) = read_result_file(store, "results/d1/chunk.parquet")
    assert list(back) == SCHEMA.names
    # Days are numbers before and dates after; times of rows are milliseconds before.
    assert [(day - date(1970, 1, 1)).days for day in back["loss_day"]] == row["loss_day"]
    for name in ("train_start", "train_end", "validation_start", "validation_end"):
        assert back[name].replace(tzinfo=UTC).timestamp() * 1000 == row[name]
    converted = {"loss_day", "train_start", "train_end", "validation_start", "validation_end"}
    assert {name: back[name] for name in back if name not in converted} == {
        name: row[name] for name in row if name not in converted
    }
    of_probabilities = METRICS[METRICS.index("log_loss") :]
    assert {name for name in METRICS if not isinstance(back[name], float)} == set(of_probabilities)
    assert (back["label_metrics"], back["window_metrics"]) == (None, None)
    assert json.loads(back["seed_metrics"])[0]["skill"] == back["skill"]
    assert (
        make_case(**{k: v for k, v in json.loads(back["case_json"]).items() if k != "series"}).key == back["case_key"]
    )


def test_a_failed_case_and_a_figure_without_meaning_come_back_too(tmp_path: Path) -> None:
    store = Store(tmp_path)
    failed = result_row(make_case(), "d1", run_info(), "TypeError: no")
    write_results(store, result_path("d1", "c"), [failed, good_row(direction_accuracy=math.nan)])
    first, second = read_result_file(store, result_path("d1", "c"))
    assert (first["status"], first["error"], first["skill"], first["loss_day"]) == (
        "failed",
        "TypeError: no",
        None,
        None,
    )
    assert math.isnan(second["direction_accuracy"])


def test_a_second_result_of_a_chunk_changes_nothing(tmp_path: Path) -> None:
    store, path = Store(tmp_path), result_path("d1", "chunk")
    assert write_results(store, path, [good_row()])
    before = store.read(path)
    assert not write_results(store, path, [good_row(rmse_pct=0.0)])
    assert store.read(path) == before


@pytest.mark.parametrize("files", [("a", "b"), ("b", "a")])
def test_of_two_results_of_a_case_in_two_chunks_the_one_that_arrived_first_counts(
    tmp_path: Path, files: tuple[str, str]
) -> None:
    store = home_store(tmp_path)
    first, late = good_row(), good_row(rmse_pct=0.0, started_at=EARLY, finished_at=EARLY)
    write_results(store, result_path("synthetic", files[0]), [first | {"dataset_id": "synthetic"}])
    assert len(read_results(store, "synthetic")) == 1
    write_results(store, result_path("synthetic", files[1]), [late | {"dataset_id": "synthetic"}])
    assert [row["rmse_pct"] for row in read_results(store, "synthetic")] == [first["rmse_pct"]]


def test_finished_cases_are_those_of_the_dataset_with_the_status_of_their_first_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    tested = good_row()
    other = make_case(lags=2)
    write_results(store, result_path("d1", "a"), [tested, result_row(other, "d1", run_info(), "no luck")])
    write_results(store, result_path("d1", "b"), [good_row(case_key=other.key)])
    write_results(store, result_path("d2", "a"), [good_row(case_key="elsewhere")])
    assert finished_cases(store, "d1") == {tested["case_key"]: "tested", other.key: "failed"}
    assert finished_cases(store, "unknown") == {}


def within_the_losses(content: bytes) -> int:
    """A position that the checksum of a page covers, as it does not cover headers and statistics."""
    group = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0)
    (column,) = [one for one in map(group.column, range(group.num_columns)) if "loss_model" in one.path_in_schema]
    return int((column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size // 2)


@pytest.mark.parametrize("damage", ["cut off", "a flipped bit", "something else", "empty"])
def test_a_broken_result_file_is_set_aside_and_its_cases_count_as_missing(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    rows = [good_row(), good_row(case_key="another")]
    write_results(store, result_path("d", "broken"), rows[:1])
    write_results(store, result_path("d", "whole"), rows[1:])
    content = store.read("results/d/broken.parquet")
    flipped = bytearray(content)
    flipped[within_the_losses(content)] ^= 16
    broken = {"cut off": content[:-100], "a flipped bit": bytes(flipped), "something else": b"PAR1", "empty": b""}[
        damage
    ]
    store.replace("results/d/broken.parquet", broken)

    assert read_result_file(store, "results/d/whole.parquet")[0]["case_key"] == "another"
    assert [row["case_key"] for row in read_results(store, "d")] == ["another"]
    assert finished_cases(store, "d") == {"another": "tested"}
    # Nothing was deleted, it is told, and the name is free for the second result.
    assert corrupt_results(store) == ["results/d/broken.parquet.corrupt"]
    assert store.read("results/d/broken.parquet.corrupt") == broken
    assert result_files(store) == result_files(store, "d") == ["results/d/whole.parquet"]
    assert write_results(store, result_path("d", "broken"), rows[:1])
    assert len(finished_cases(store, "d")) == 2


def test_a_store_that_cannot_be_read_now_condemns_no_result_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    write_results(store, result_path("d", "whole"), [good_row()])
    with monkeypatch.context() as patch:
        patch.setattr(Store, "read", lambda self, path: (_ for _ in ()).throw(OSError("the network is away")))
        with pytest.raises(OSError, match="the network is away"):
            finished_cases(store, "d")
    assert corrupt_results(store) == []
    assert len(finished_cases(store, "d")) == 1
