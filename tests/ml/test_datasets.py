"""Datasets: content-addressed, immutable, read by mmap."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ml.datasets import read_dataset, windows, write_dataset
from ml.errors import StoreError
from ml.store import Store
from tests.synthetic import make_dataset


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
