"""Datasets: content-addressed, immutable, read by mmap."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.data.datasets import Dataset, KnownRows, read_dataset, read_manifest, windows, write_dataset
from ml.data.targets import NEXT_CANDLE, TARGETS, targets_of
from ml.errors import CaseError, StoreError
from ml.store import Store
from tests.synthetic import make_dataset

Array = npt.NDArray[Any]


def test_a_dataset_comes_back_as_it_was_by_mmap(tmp_path: Path) -> None:
    store, dataset = Store(tmp_path), make_dataset(200)
    back = read_dataset(store, write_dataset(store, dataset, "code-1"))
    for name in ("features", "labels", "candles", "open_time_ms", "run_length"):
        assert isinstance(getattr(back, name), np.memmap)
        np.testing.assert_array_equal(getattr(back, name), getattr(dataset, name))
    assert (back.series, back.columns, back.groups) == (dataset.series, dataset.columns, dataset.groups)


def test_equal_content_has_one_id_and_one_changed_value_another(tmp_path: Path) -> None:
    dataset = make_dataset(200)
    assert make_dataset(200).identity() == dataset.identity()
    changed = dataset.features.copy()
    changed[100, 0] += 1e-4
    assert dataclasses.replace(dataset, features=changed).identity() != dataset.identity()


def test_a_second_export_writes_nothing(tmp_path: Path) -> None:
    store, dataset = Store(tmp_path), make_dataset(200)
    write_dataset(store, dataset, "code-1")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    write_dataset(store, dataset, "code-2")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_windows_are_views_that_end_at_their_row() -> None:
    matrix = np.arange(12, dtype=np.float32).reshape(6, 2)
    view = windows(matrix, 3)
    assert view.shape == (4, 3, 2)
    assert np.shares_memory(view, matrix)
    np.testing.assert_array_equal(view[1], matrix[1:4])


def test_a_dataset_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No dataset abc"):
        read_dataset(Store(tmp_path), "abc")


def _with_all_targets(rows: int = 200, timeframe: str = "5m") -> Dataset:
    """A dataset with every target of the timeframe; the events are false, true and, at the end, not known."""
    dataset, targets = make_dataset(rows), targets_of(timeframe)
    labels = np.random.default_rng(2).normal(size=(rows, sum(map(len, targets.values()))))
    labels[:, list(itertools.chain(*targets.values())).index("label_top")] = [*np.arange(rows - 1) % 2, np.nan]
    return dataclasses.replace(dataset, labels=labels, targets=targets)


def test_targets_of_any_width_come_back_each_with_its_own_labels(tmp_path: Path) -> None:
    store, dataset = Store(tmp_path), _with_all_targets()
    dataset_id = write_dataset(store, dataset, "test")
    back = read_dataset(store, dataset_id)
    assert [back.labels_of(name).shape[1] for name in TARGETS] == [3, 100, 3, 2, 2, 1]
    np.testing.assert_array_equal(np.hstack([back.labels_of(name) for name in TARGETS]), dataset.labels)
    np.testing.assert_array_equal(back.labels_of("topbot2")[[0, 1, -1], 0], [0, 1, np.nan])
    assert back.labels_of("closes_100").flags.c_contiguous
    named = read_manifest(store, dataset_id)["targets"]
    assert named["topbot2"] == ["label_top", "label_bottom"]
    assert (named["closes_100"][0], named["closes_100"][99]) == ("label_closes[1]", "label_closes[100]")
    assert back.identity() == dataset_id


def test_the_targets_are_part_of_what_a_dataset_is() -> None:
    dataset = make_dataset(200)
    (labels,) = dataset.targets.values()
    assert dataclasses.replace(dataset, targets={"next_candle": labels[::-1]}).identity() != dataset.identity()
    assert dataclasses.replace(dataset, targets={"another": labels}).identity() != dataset.identity()


def test_only_5m_datasets_hold_the_next_100_closes() -> None:
    assert "closes_100" in targets_of("5m")
    assert list(targets_of("1h")) == [name for name in TARGETS if name != "closes_100"]
    with pytest.raises(CaseError, match="no labels of 'closes_100'"):
        _with_all_targets(timeframe="1h").labels_of("closes_100")


def test_labels_that_look_further_ahead_than_the_target_says_now_are_not_handed_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dataset = dataclasses.replace(make_dataset(200), horizons={NEXT_CANDLE: 1})
    assert dataset.identity() == make_dataset(200).identity()  # those of earlier versions keep their names
    back = read_dataset(store, write_dataset(store, dataset, "code-1"))
    assert back.horizons == {NEXT_CANDLE: 1}
    np.testing.assert_array_equal(back.labels_of(NEXT_CANDLE), dataset.labels_of(NEXT_CANDLE))
    longer = dataclasses.replace(dataset, horizons={NEXT_CANDLE: 2})
    with pytest.raises(
        CaseError, match=r"look 2 candles ahead, its horizon .* is 1\. Run `candleworks transform`, then"
    ):
        longer.labels_of(NEXT_CANDLE)


def test_a_dataset_of_version_1_is_still_read(tmp_path: Path) -> None:
    store, dataset = Store(tmp_path), make_dataset(200)
    dataset_id = write_dataset(store, dataset, "test")
    path = f"datasets/{dataset_id}/manifest.json"
    # Version 1: targets are names, three labels each; all arrays row by row.
    manifest = read_manifest(store, dataset_id) | {"schema_version": 1, "targets": ["next_candle", "second_candle"]}
    store.replace(path, json.dumps(manifest).encode())
    both = np.hstack([dataset.labels, dataset.labels * 2])
    np.save(tmp_path / f"datasets/{dataset_id}/labels.npy", both)
    back = read_dataset(store, dataset_id)
    np.testing.assert_array_equal(back.labels_of("next_candle"), dataset.labels)
    np.testing.assert_array_equal(back.labels_of("second_candle"), dataset.labels * 2)
    store.replace(path, json.dumps(manifest | {"schema_version": 3}).encode())
    with pytest.raises(StoreError, match="has schema 3, this program reads up to 2"):
        read_dataset(store, dataset_id)


@given(arrays(np.float32, (21, 6), elements=st.sampled_from([1.0, np.nan, np.inf])), st.data())
def test_known_rows_are_those_with_finite_values_in_all_of_the_columns(values: Array, data: st.DataObject) -> None:
    known = KnownRows(values)
    for _ in range(3):
        columns = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True))
        np.testing.assert_array_equal(known.of(columns), np.isfinite(values[:, columns]).all(axis=1))
