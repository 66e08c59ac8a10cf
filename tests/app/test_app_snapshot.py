"""The door to the data: pointer, versions, damaged files, and a version that is swapped while it is being read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from dashboard_harness import Published
from synthetic_snapshot import add_version, point_to

from app import snapshot
from app.schema import TABLES
from ml.errors import StoreError
from ml.store import Store


def test_without_a_pointer_the_snapshot_has_no_version_and_empty_tables(empty_store: Path) -> None:
    nothing = snapshot.current_snapshot()
    assert nothing.version == ""
    assert all(nothing.value(f"select count(*) from {name}") == 0 for name in TABLES)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"version": ""}', '{"version": "../models"}'])
def test_a_pointer_that_names_no_version_is_an_error(empty_store: Path, content: str) -> None:
    (empty_store / "published").mkdir()
    (empty_store / "published" / "current.json").write_text(content)
    with pytest.raises(StoreError, match="candleworks publish"):
        snapshot.current_snapshot()


def test_all_rows_of_all_files_are_loaded_with_their_times(published: Published) -> None:
    shown = snapshot.current_snapshot()
    assert shown.missing == ()
    for name in TABLES:
        assert shown.value(f"select count(*) from {name}") == published.cell(f"select count(*) from {name}")
    assert shown.value("select max(close_time) from candles") == pd.Timestamp("2024-04-21 12:00")


def test_a_missing_column_is_null_an_unknown_one_is_left_out_and_zoned_times_become_utc(published: Published) -> None:
    path = published.folder / "forecasts.parquet"
    frame = pd.read_parquet(path).drop(columns="late").assign(unheard_of=1)
    frame["issued_at"] = frame.issued_at.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    expected = frame.issued_at.max().tz_convert("UTC").tz_localize(None)
    frame.to_parquet(path)
    shown = snapshot.current_snapshot()
    assert shown.value("select count(late) from forecasts") == 0
    assert shown.value("select max(issued_at) from forecasts") == expected


def test_an_unreadable_file_counts_as_missing(published: Published) -> None:
    (published.folder / "scores.parquet").write_bytes(b"no parquet")
    shown = snapshot.current_snapshot()
    assert shown.missing == ("scores",)
    assert shown.value("select count(*) from scores") == 0


def test_a_version_that_is_loaded_outlives_its_files(published: Published) -> None:
    shown = snapshot.current_snapshot()
    shutil.rmtree(published.folder)
    assert shown.value("select count(*) from markets") == 9


def test_a_version_swapped_while_it_is_read_is_replaced_by_the_new_one(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Store.list

    def swap_after_listing(store: Store, prefix: str) -> list[str]:
        files = listed(store, prefix)
        if published.folder.exists():
            # The publisher is faster: between our listing and our reading the new version comes, the old one goes.
            add_version(published.store, "newer")
            shutil.rmtree(published.folder)
        return files

    monkeypatch.setattr(Store, "list", swap_after_listing)
    shown = snapshot.current_snapshot()
    assert (shown.version, shown.missing) == ("newer", ())
    assert shown.value("select count(*) from markets") == 9


def test_a_new_version_is_taken_and_the_old_one_is_kept_in_memory(published: Published) -> None:
    old = snapshot.current_snapshot()
    add_version(published.store, "newer")
    new = snapshot.current_snapshot()
    assert (old.version, new.version) == (published.folder.name, "newer")
    sql = "select max(skill) from leaderboard"
    assert old.value(sql) != new.value(sql)
    point_to(published.store, old.version)
    assert snapshot.current_snapshot().database is old.database


def test_progress_is_read_afresh_and_none_where_it_is_absent_or_broken(published: Published) -> None:
    path = published.store / "published" / "progress.json"
    assert (snapshot.read_progress() or {})["cases_done"] == 1587
    path.write_text(json.dumps({"status": "running", "cases_done": 1588, "series": []}))
    assert (snapshot.read_progress() or {})["cases_done"] == 1588
    for broken in ("{", "[]"):
        path.write_text(broken)
        assert snapshot.read_progress() is None
    path.unlink()
    assert snapshot.read_progress() is None
