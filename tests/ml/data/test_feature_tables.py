"""Tables of all features: one per series, found through a pointer, replaced with the dataset."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.data.feature_tables import TIME, read_feature_table, write_feature_table
from ml.errors import CaseError, DatasetError
from ml.store import Store
from tests.synthetic import SERIES

COLUMNS = ["a", "b"]


def table(value: float) -> pa.Table:
    return pa.table(
        {TIME: pa.array([0, 1], pa.int64()), **{name: pa.array([value, None], pa.float32()) for name in COLUMNS}}
    )


def made(value: float) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table(value), buffer)
    return buffer.getvalue()


def write(store: Store, dataset_id: str, value: float, columns: list[str] = COLUMNS) -> bool:
    return write_feature_table(store, SERIES, dataset_id, columns, lambda: made(value))


@pytest.mark.parametrize("url", ["folder", "memory://candleworks-features"])
def test_the_newest_table_takes_the_place_of_the_one_before(tmp_path: Path, url: str) -> None:
    store = Store(tmp_path if url == "folder" else url)
    assert write(store, "d1", 1.0)
    assert not write(store, "d1", 9.0), "what belongs to the dataset is there"
    assert read_feature_table(store, SERIES).equals(table(1.0))
    assert write(store, "d2", 2.0)
    assert read_feature_table(store, SERIES).equals(table(2.0))
    assert read_feature_table(store, SERIES, ["b"]).column_names == [TIME, "b"]
    assert len(store.list(f"features/{SERIES.slug}")) == 1
    # A new group of features is there without a new dataset.
    assert write(store, "d2", 3.0, [*COLUMNS, "c"])
    assert len(store.list(f"features/{SERIES.slug}")) == 1


def test_a_reader_whose_table_is_replaced_meanwhile_gets_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    write(store, "d1", 1.0)
    read = Store.read

    def replaced_between(self: Store, path: str) -> bytes:
        content = read(self, path)
        monkeypatch.undo()
        write(store, "d2", 2.0)
        return content

    monkeypatch.setattr(Store, "read", replaced_between)
    assert read_feature_table(store, SERIES).equals(table(2.0))


def test_what_is_missing_or_broken_is_said_with_a_remedy_that_works(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(DatasetError, match=r"has no table of all features in .* yet\. Run `candleworks export`"):
        read_feature_table(store, SERIES)
    write(store, "d1", 1.0)
    with pytest.raises(CaseError, match=r"BTC/USDT 1h has no feature c\. `candleworks features` lists"):
        read_feature_table(store, SERIES, ["a", "c"])
    (path,) = store.list(f"features/{SERIES.slug}")
    for damage in (b"broken", None):
        store.replace(path, damage) if damage else store.delete(path)
        with pytest.raises(
            DatasetError, match=rf"Delete features/current/{SERIES.slug}.json and run `candleworks export`"
        ):
            read_feature_table(store, SERIES)
        store.delete(f"features/current/{SERIES.slug}.json")
        assert write(store, "d1", 1.0)
        assert read_feature_table(store, SERIES).equals(table(1.0))
