"""The published snapshot: one pointer, swapped as a whole."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.errors import StoreError
from ml.forecasting.published import (
    LAYOUT,
    POINTER,
    current_version,
    publish_version,
    read_all_tables,
    read_progress,
    read_table,
    write_progress,
)
from ml.store import Store

STAMP = {"published_at": "2024-05-01T00:00:00+00:00", "exchange_time": None}


def tables(number: int) -> dict[str, bytes]:
    """Two tables that belong together: both hold the same number."""
    contents = {}
    for name in ("leaderboard", "champions"):
        buffer = io.BytesIO()
        pq.write_table(pa.table({"number": [number]}), buffer)
        contents[name] = buffer.getvalue()
    return contents


def versions(store: Store) -> set[str]:
    return {path.split("/")[1] for path in store.list("published") if path.count("/") == 2}


def test_what_is_damaged_or_of_another_layout_is_published_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert publish_version(store, "v1", tables(1), STAMP)
    assert not publish_version(store, "v1", tables(1), STAMP)
    for path, content in (("published/v1/champions.parquet", b"broken"), (POINTER, b'{"version": "v1", "layout": 9}')):
        store.replace(path, content)
        assert publish_version(store, "v1", tables(1), STAMP)
        assert read_table(store, "champions") == [{"number": 1}]
    store.delete("published/v1/leaderboard.parquet")
    assert publish_version(store, "v1", tables(1), STAMP)
    assert not publish_version(store, "v1", tables(1), STAMP)


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("published/v1/champions.parquet", None, "table champions of the snapshot in .* cannot be read"),
        ("published/v1/champions.parquet", b"", "table champions of the snapshot in .* cannot be read"),
        ("published/v1/champions.parquet", tables(1)["champions"][:-40], "table champions .* cannot be read"),
        (POINTER, b'{"version": "v1", "layout": 9}', "has layout 9, this program reads 1"),
        (POINTER, b'{"version"', "current.json in .* is broken"),
        (POINTER, b"[1]", "current.json in .* is broken"),
        (POINTER, b'{"kept": []}', "current.json in .* is broken"),
        (POINTER, b'{"version": "../models"}', "current.json in .* is broken"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_remedy(
    tmp_path: Path, path: str, content: bytes | None, said: str
) -> None:
    store = Store(tmp_path)
    publish_version(store, "v1", tables(1), STAMP)
    if content is None:
        store.delete(path)
    else:
        store.replace(path, content)
    readers: list[Callable[[], object]] = [lambda: read_table(store, "champions")]
    if content is not None:  # of a table that is gone the others are readable
        readers.append(lambda: read_all_tables(store))
    for reader in readers:
        with pytest.raises(StoreError, match=f"{said}.* Publish it again: .* then `candleworks publish`"):
            reader()
    assert publish_version(store, "v1", tables(1), STAMP)
    assert read_table(store, "champions") == [{"number": 1}]


def test_before_anything_was_published_there_is_nothing_to_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert (current_version(store), read_table(store, "leaderboard"), read_progress(store)) == (None, [], None)


def test_a_version_is_read_through_its_pointer(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert publish_version(store, "v1", tables(1), STAMP)
    assert read_table(store, "leaderboard") == [{"number": 1}]
    pointer = current_version(store)
    assert pointer is not None
    files = {name: hashlib.sha256(content).hexdigest() for name, content in tables(1).items()}
    assert pointer == {**STAMP, "layout": LAYOUT, "version": "v1", "kept": ["v1"], "files": files}
    assert publish_version(store, "v2", tables(2), STAMP)
    assert read_table(store, "champions") == [{"number": 2}]


def test_the_same_version_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish_version(store, "v1", tables(1), STAMP)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert not publish_version(store, "v1", tables(1), STAMP | {"published_at": "later"})
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_three_versions_are_kept_for_late_readers_and_older_ones_are_removed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_progress(store, {"status": "running", "series": []})
    for number in range(1, 6):
        publish_version(store, f"v{number}", tables(number), STAMP)
        assert versions(store) == {f"v{kept}" for kept in range(max(1, number - 2), number + 1)}
    assert read_progress(store) == {"status": "running", "series": []}


def test_a_version_that_comes_back_takes_only_one_place(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for version in ("a", "b", "c", "b", "c"):
        publish_version(store, version, tables(1), STAMP)
    assert versions(store) == {"a", "b", "c"}
    assert (current_version(store) or {})["kept"] == ["c", "b", "a"]


def test_what_a_broken_off_publication_left_behind_is_removed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.replace("published/half/leaderboard.parquet", b"half")
    publish_version(store, "v1", tables(1), STAMP)
    assert versions(store) == {"v1"}


def test_a_reader_never_meets_a_half_published_state(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish_version(store, "v0", tables(0), STAMP)
    over = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not over.is_set():
            pointer = current_version(store)
            assert pointer is not None
            # Whoever has the pointer finds both tables of its version.
            both = [
                pq.read_table(store.local_path(f"published/{pointer['version']}/{name}.parquet")) for name in tables(0)
            ]
            seen.append(both[0]["number"][0].as_py())
            assert both[0] == both[1]

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 15):
        publish_version(store, f"v{number}", tables(number), STAMP)
        # A reader may be as slow as two publications; this one must not fall behind further.
        enough, deadline = len(seen) + 1, time.monotonic() + 10
        while len(seen) < enough and time.monotonic() < deadline:
            time.sleep(0.001)
    over.set()
    reader.join()
    assert seen == sorted(seen)
    assert set(seen) >= {12, 13}


def test_progress_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_progress(store, {"status": "running", "cases_done": 1, "series": []})
    write_progress(store, {"status": "running", "cases_done": 2, "series": []})
    assert read_progress(store) == {"status": "running", "cases_done": 2, "series": []}
