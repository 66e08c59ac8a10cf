"""A home that is lost comes back from its backup: the same tables, forecasts and chains; a bad backup does not."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import flows.cli  # noqa: F401 - registers the commands
from flows.cli.application import application
from flows.server.process_records import record_of, write_records
from flows.settings import Settings, StorageSettings
from flows.warehouse.load import load_store
from flows.warehouse.verification import verify_home
from flows.workspace import backup as backups
from flows.workspace.backup import make_backup, read_backup, restore_backup
from flows.workspace.workspace import Workspace
from ml.errors import StoreError
from ml.forecasting.chain import Chain
from ml.forecasting.published import publish_version
from tests.sealing import seal_hour

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "home", Settings())
    for hour in range(3):
        seal_hour(workspace, hour)
    load_store(workspace)
    publish_version(workspace.store, "v1", {"forecasts": b"parquet"}, {"published_at": NOW.isoformat()})
    secret = workspace.home / "prefect-secret"
    secret.touch(0o600)
    secret.write_text("candleworks:secret\n")
    (workspace.home / "prefect").mkdir()
    with closing(sqlite3.connect(workspace.home / "prefect" / "prefect.db")) as database:
        database.execute("pragma journal_mode = wal")
        database.execute("create table flow (name)")
        database.execute("insert into flow values ('hourly')")
        database.commit()
    with closing(sqlite3.connect(workspace.home / "other.sqlite")) as database:
        database.execute("create table other (name)")
        database.commit()
    (workspace.home / "logs").mkdir()
    (workspace.home / "logs" / "workers.log").write_text("much")
    return workspace


def tables(workspace: Workspace) -> dict[str, list[tuple[Any, ...]]]:
    with workspace.warehouse.connect() as connection:
        names = connection.execute("select table_name from duckdb_tables() where schema_name = 'raw'").fetchall()
        return {name: connection.execute(f"select * from raw.{name} order by all").fetchall() for (name,) in names}


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(application, [str(argument) for argument in arguments])
    return done.exit_code, done.output + str(done.exception or "")


def test_a_lost_home_comes_back_as_it_was(workspace: Workspace, tmp_path: Path) -> None:
    home, target = workspace.home, tmp_path / "backup"
    before, records = tables(workspace), list(Chain(workspace.store, "forecasts").records())
    code, said = run("backup", target, "--home", home)
    assert code == 0 and "It holds the home's secrets" in said
    assert target.stat().st_mode & 0o777 == 0o700
    assert sorted(one.name for one in tmp_path.iterdir()) == ["backup", "home"]

    shutil.rmtree(home)
    code, said = run("restore", target, "--home", home)
    assert code == 0 and "chains whole" in said
    again = Workspace(home, Settings())
    assert tables(again) == before
    assert list(Chain(again.store, "forecasts").records()) == records
    assert run("verify", "--home", home)[0] == 0
    for name in ("signing-key", "prefect-secret"):
        assert (home / name).stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(home / "prefect" / "prefect.db")) as database:
        assert database.execute("select name from flow").fetchall() == [("hourly",)]
    with closing(sqlite3.connect(home / "other.sqlite")) as database:
        assert database.execute("select name from sqlite_master").fetchall() == [("other",)]
    assert not (home / "logs").exists()
    assert load_store(again)["forecasts"] == 0
    seal_hour(again, 3)
    assert load_store(again)["forecasts"] == 1
    assert run("verify", "--home", home)[0] == 0


def test_records_that_are_sealed_meanwhile_are_all_in_the_backup_or_none(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = backups._copy_files

    def seal_and_copy(*arguments: Any) -> None:
        seal_hour(workspace, 3)
        load_store(workspace)
        publish_version(workspace.store, "v2", {"forecasts": b"newer"}, {"published_at": NOW.isoformat()})
        copy(*arguments)

    monkeypatch.setattr(backups, "_copy_files", seal_and_copy)
    make_backup(workspace, tmp_path / "backup", NOW)
    restored = Workspace(tmp_path / "other", Settings())
    restore_backup(tmp_path / "backup", restored, NOW)
    assert [(one.records, one.problem) for one in verify_home(restored) if one.records] == [(3, ""), (3, "")]
    assert len(tables(restored)["forecasts"]) == 3
    assert load_store(restored) == dict.fromkeys(load_store(restored), 0), "the warehouse has no ghost"


def test_an_interrupted_backup_leaves_nothing(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, error in (("_copy_files", OSError(28, "No space left")), ("read_backup", KeyboardInterrupt())):
        with monkeypatch.context() as patch:
            patch.setattr(backups, place, lambda *_, error=error: (_ for _ in ()).throw(error))
            with pytest.raises((StoreError, KeyboardInterrupt)) as caught:
                make_backup(workspace, tmp_path / "backup", NOW)
        assert isinstance(error, KeyboardInterrupt) or "No space left" in str(caught.value)
        assert [one.name for one in tmp_path.iterdir()] == ["home"]


def test_a_damaged_backup_is_refused_by_the_name_of_the_file(workspace: Workspace, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    make_backup(workspace, whole, NOW)
    record = Path("store") / "forecasts" / "0000000002.json"

    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    for number, (change, said) in enumerate((
        (lambda root: flip(root / record), f"{record} was changed"),
        (lambda root: flip(root / "home" / "warehouse.duckdb"), "home/warehouse.duckdb was changed"),
        (lambda root: (root / "home" / "signing-key").unlink(), "home/signing-key is missing"),
        (lambda root: (root / "store" / "extra").write_text("x"), "store/extra is not in the manifest"),
        (lambda root: (root / "manifest.json").write_text("{"), "is not a backup"),
        (lambda root: (root / "manifest.json").unlink(), "is not a backup"),
    )):  # fmt: skip
        bad = tmp_path / f"bad{number}"
        shutil.copytree(whole, bad)
        change(bad)
        code, text = run("restore", bad, "--home", tmp_path / "restored")
        assert code != 0 and said in text
        assert not (tmp_path / "restored").exists()
    read_backup(whole)


def test_a_home_with_content_is_replaced_on_request_only_and_kept(workspace: Workspace, tmp_path: Path) -> None:
    home, target = workspace.home, tmp_path / "backup"
    make_backup(workspace, target, NOW)
    seal_hour(workspace, 3)
    code, said = run("restore", target, "--home", home)
    assert code != 0 and "has content" in said and "--replace" in said
    write_records(home, [record_of("up", os.getpid())])
    assert "`candleworks up` is running" in run("restore", target, "--home", home, "--replace")[1]
    (home / "run" / "up.json").unlink()
    assert Chain(workspace.store, "forecasts").head()[0] == 4
    assert run("restore", target, "--home", home, "--replace")[0] == 0
    assert Chain(Workspace(home, Settings()).store, "forecasts").head()[0] == 3
    (kept,) = [one for one in tmp_path.iterdir() if ".replaced-" in one.name]
    assert (kept / "store" / "forecasts" / "0000000004.json").exists()


def test_what_is_no_new_folder_or_no_home_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    assert "exists. Give the name of a new folder" in run("backup", tmp_path / "taken", "--home", workspace.home)[1]
    assert "is not a folder of this machine" in run("backup", "s3://bucket/backup", "--home", workspace.home)[1]
    assert "There is no warehouse" in run("backup", tmp_path / "new", "--home", tmp_path / "typo")[1]
    assert not (tmp_path / "typo").exists() and not (tmp_path / "new").exists()


def test_a_store_in_another_folder_of_the_home_comes_back_there(tmp_path: Path) -> None:
    home = tmp_path / "home"
    workspace = Workspace(home, Settings(storage=StorageSettings(url=str(home / "objects"))))
    seal_hour(workspace, 0)
    load_store(workspace)
    made = make_backup(workspace, tmp_path / "backup", NOW)
    assert not [path for path in made.files if path.startswith("home/objects")]
    shutil.rmtree(home)
    restore_backup(tmp_path / "backup", workspace, NOW)
    assert (home / "objects" / "forecasts").is_dir() and not (home / "store").exists()
    assert not any(report.problem for report in verify_home(workspace))


def test_a_store_outside_the_home_is_in_the_backup_and_filled_again_only_where_nothing_differs(tmp_path: Path) -> None:
    def at(url: Path | str, home: str) -> Workspace:
        return Workspace(tmp_path / home, Settings(storage=StorageSettings(url=str(url))))

    workspace = at("memory://candleworks-backup", "home")
    seal_hour(workspace, 0)
    load_store(workspace)
    make_backup(workspace, tmp_path / "backup", NOW)
    restored = at(tmp_path / "objects", "restored")
    restore_backup(tmp_path / "backup", restored, NOW)
    assert [(one.records, one.problem) for one in verify_home(restored) if one.records] == [(1, ""), (1, "")]
    restore_backup(tmp_path / "backup", at(tmp_path / "objects", "again"), NOW)  # the same files are no conflict

    seal_hour(restored, 1)
    with pytest.raises(StoreError, match=r"has (forecasts|scores)/0000000002\.json. Set `\[storage\] url`"):
        restore_backup(tmp_path / "backup", at(tmp_path / "objects", "third"), NOW)
    assert not (tmp_path / "third").exists()
