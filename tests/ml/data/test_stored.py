"""Checked reading: damage is one error that names file and remedy; derived files are made anew, datasets checked."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ml.data.dataset_pointers import current_datasets, pointer_path
from ml.data.datasets import read_dataset, read_manifest, write_dataset
from ml.data.feature_tables import read_feature_table, write_feature_table
from ml.data.parquet import parquet_bytes
from ml.data.stored import arrays, derived, json_object, object_bytes, read_derived, read_object, table
from ml.errors import DamagedError, DatasetError, StoreError
from ml.execution.costs import Costs, costs_of_dataset
from ml.execution.leases import FOLDER, acquire_lease, leases_of
from ml.forecasting.published import publish_version, read_progress, read_table, write_progress
from ml.store import Store
from tests.synthetic import SERIES, make_dataset

KEYS = {"name": str, "n": int, "ratio": (int, float)}
GOOD = {"name": "a", "n": 1, "ratio": 0.5}


def flipped(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


def test_a_json_object_is_what_it_was_written_as() -> None:
    whole = object_bytes(GOOD)
    assert json_object(whole, "f", KEYS, "") == GOOD
    assert (
        json_object(b'{"name": "a", "n": 1, "ratio": 2, "more": null}', "f", KEYS, "")["ratio"] == 2
    )  # an earlier one
    damaged = {
        "empty": b"",
        "not JSON": whole[:-9],
        "not a JSON object": b"[1]",
        "without a valid 'n'": b'{"name": "a", "n": true, "ratio": 1}',
        "without a valid 'name'": b'{"n": 1, "ratio": 1}',
        "changed since it was written": whole.replace(b"0.5", b"0.7"),
    }
    for how, content in damaged.items():
        with pytest.raises(DamagedError, match=rf"^f is damaged \({how}\)\. Do that\.$"):
            json_object(content, "f", KEYS, "Do that.")
    for place in range(len(whole)):  # a bit anywhere
        with suppress(DamagedError):
            found = json_object(flipped(whole, place), "f", KEYS, "")
            assert {name: found[name] for name in KEYS} == GOOD  # it was in the name of the digest


def test_a_table_and_arrays_are_what_they_were_written_as() -> None:
    content = parquet_bytes(pa.table({"a": pa.array([1.5, 2.5]), "b": pa.array(["x", "y"])}))
    assert table(content, "f", {"a": pa.float64()}, "", ["a"]).to_pydict() == {"a": [1.5, 2.5]}
    for schema, how in (({"c": pa.int64()}, "without a column 'c'"), ({"b": pa.int64()}, "with string for int64")):
        with pytest.raises(DamagedError, match=rf"f is damaged \({how}.*Do that"):
            table(content, "f", schema, "Do that.")
    for other in (b"", content[: len(content) // 2], bytes(len(content))):
        with pytest.raises(DamagedError, match=r"f is damaged \(not a readable Parquet file.*Do that"):
            table(other, "f", {}, "Do that.")
    file = io.BytesIO()
    np.savez(file, x=np.arange(9))
    whole = file.getvalue()
    assert arrays(whole, "f", ("x",), "")["x"].tolist() == list(range(9))
    objects = io.BytesIO()
    np.savez(objects, x=np.array([Path()], dtype=object))
    for other in (b"", whole[:60], bytes(len(whole)), flipped(whole, 150), objects.getvalue()):
        with pytest.raises(DamagedError, match=r"f is damaged .*Do that"):
            arrays(other, "f", ("x",), "Do that.")
    with pytest.raises(DamagedError, match="without an array"):
        arrays(whole, "f", ("y",), "")


def test_a_derived_file_that_is_damaged_is_set_aside_with_a_word_and_read_as_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    assert read_derived(store, "f.json", KEYS) is None
    store.replace("f.json", b"{}")
    with caplog.at_level(logging.WARNING):
        assert read_derived(store, "f.json", KEYS) is None
    assert "f.json is damaged (without a valid 'name'). It is set aside as f.json.corrupt and made anew." in caplog.text
    assert store.list("") == ["f.json.corrupt"]
    assert derived(store, "g", lambda: 7) == 7
    with pytest.raises(FileNotFoundError):
        read_object(store, "f.json", KEYS, "")


def test_a_bit_in_a_dataset_is_found_and_an_export_writes_it_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, market = Store(tmp_path), make_dataset(300)
    dataset_id = write_dataset(store, market, "code")
    random = np.random.default_rng(1)
    for path in [one for one in store.list("datasets") if one.endswith(".npy")]:
        whole = store.read(path)
        for place in random.integers(0, len(whole), 12):
            store.replace(path, flipped(whole, int(place)))
            with pytest.raises(DatasetError, match=rf"Dataset {dataset_id} is damaged .*`candleworks export`"):
                read_dataset(store, dataset_id)
        store.replace(path, whole)
    assert len(read_dataset(store, dataset_id)) == 300
    store.replace(f"datasets/{dataset_id}/labels.npy", b"")
    with caplog.at_level(logging.WARNING):
        assert write_dataset(store, market, "code") == dataset_id
    assert f"set aside as datasets/{dataset_id}.corrupt and written anew" in caplog.text
    assert len(read_dataset(store, dataset_id)) == 300
    with pytest.raises(DatasetError, match=r"manifest\.json is damaged"):
        store.replace(f"datasets/{dataset_id}/manifest.json", b"{")
        read_manifest(store, dataset_id)


def test_one_damaged_dataset_or_pointer_does_not_hide_the_others(tmp_path: Path) -> None:
    store, market = Store(tmp_path), make_dataset(300)
    dataset_id = write_dataset(store, market, "code")
    path, other = pointer_path(SERIES), pointer_path(SERIES).replace("BTC", "ETH")
    for one in (path, other):
        store.replace(one, object_bytes({"dataset_id": dataset_id}))
    assert current_datasets(store) == {SERIES: dataset_id}  # the pointer of another series names it too
    assert f"{other}.corrupt" in store.list("datasets/current")
    store.replace(other, object_bytes({"dataset_id": "lost"}))
    assert current_datasets(store) == {SERIES: dataset_id}
    store.replace(path, b"")
    assert current_datasets(store) == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"rates": "a"}'])
def test_derived_files_of_every_kind_are_made_anew(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    tables = {"a": parquet_bytes(pa.table({"x": [1]}))}
    fresh: dict[str, Callable[[], object]] = {
        "costs/d1.json": lambda: costs_of_dataset(store, "d1", lambda: Costs({"ridge": 0.5})).rates,
        "published/current.json": lambda: publish_version(store, "v1", tables, {}) and read_table(store, "a"),
        f"features/current/{SERIES.slug}.json": lambda: (
            write_feature_table(store, SERIES, "d1", [], lambda: parquet_bytes(pa.table({"open_time_ms": [5]})))
            and read_feature_table(store, SERIES).to_pylist()
        ),
    }
    for path, make in fresh.items():
        made = make()
        store.replace(path, content)
        assert make() == made, path
    write_progress(store, {"status": "done", "series": []})
    store.replace("published/progress.json", content)
    assert read_progress(store) is None  # the next sweep writes it


def test_a_damaged_lease_frees_its_chunk(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert acquire_lease(store, "c", "host:1:2", 0.0, 60.0) is not None
    assert acquire_lease(store, "c", "host:3:4", 1.0, 60.0) is None
    store.replace(f"{FOLDER}/c/0000.json", b"")
    taken = acquire_lease(store, "c", "host:3:4", 1.0, 60.0)
    assert taken is not None
    assert [lease.generation for lease in leases_of(store, "c")] == [0, 1]


def test_a_damaged_mark_of_the_schema_names_its_content(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.require_schema()
    whole = store.read("schema.json")
    store.replace("schema.json", b"")
    with pytest.raises(
        StoreError, match=r"schema.json in .* is damaged\. Restore it .* its content is (.*)\."
    ) as error:
        store.check_schema()
    store.replace("schema.json", str(error.value).rpartition("its content is ")[2].rstrip(".").encode())
    assert store.read("schema.json") == whole
    store.check_schema()
