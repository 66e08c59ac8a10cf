"""A damaged database of the Prefect server is named before the server starts, and the remedy works."""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from flows.server.up import UpOptions, check
from flows.workspace.server_database import database_path, require_sound_database
from ml.errors import ServiceError


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with Prefect's tables, larger than a page."""
    path = database_path(tmp_path)
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("create table flow_run (id text primary key, name text)")
        rows = ((str(number), "x" * 200) for number in range(500))
        connection.executemany("insert into flow_run values (?, ?)", rows)
    return path


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def damaged_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3 * 4096 : 4 * 4096] = b"\xff" * 4096
    path.write_bytes(content)


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table arrivals (number integer primary key)")


def text(path: Path) -> None:
    path.write_text("no database")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [half, zeroed, damaged_page, foreign, text, empty])
def test_a_damaged_database_is_named_and_the_remedy_works(database: Path, damage: Callable[[Path], None]) -> None:
    require_sound_database(database.parents[1])
    damage(database)
    for start in (require_sound_database, lambda home: check(UpOptions(home, home / "none.toml", app_port=0))):
        with pytest.raises(ServiceError, match=r"cannot be used: .* a new one is made\.") as raised:
            start(database.parents[1])
        assert len(str(raised.value).splitlines()) == 1
    found = re.search(r"`(mv .*)`", str(raised.value))
    assert found is not None
    _, before, after = shlex.split(found[1])
    shutil.move(before, after)
    require_sound_database(database.parents[1])


def test_what_a_killed_server_left_in_the_log_is_kept(database: Path, tmp_path: Path) -> None:
    writer = sqlite3.connect(database)
    writer.execute("insert into flow_run values ('new', 'run')")
    writer.commit()
    home = tmp_path / "killed"
    shutil.copytree(database.parent, home / "prefect")  # with the log, as a kill leaves it
    writer.close()
    require_sound_database(home)
    with closing(sqlite3.connect(database_path(home))) as connection:
        assert connection.execute("select name from flow_run where id = 'new'").fetchone() == ("run",)
