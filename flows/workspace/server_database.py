"""The database of a home's Prefect server, looked at before the server opens it.

Prefect answers a damaged one with a traceback in its log, and takes an empty file or the database of another program
for a new one, so that the history of flow runs would be lost without a word.
"""

from __future__ import annotations

import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

from ml.errors import ServiceError
from ml.texts import one_line


def database_path(home: Path) -> Path:
    """Its file; the server makes it at its first start."""
    return home / "prefect" / "prefect.db"


def require_sound_database(home: Path) -> None:
    """Check the database of a server that is not running; one that does not exist yet is sound.

    Raises:
        ServiceError: it is damaged, empty, or that of another program.
    """
    path = database_path(home)
    if path.exists() and (problem := _problem(path)):
        aside = shlex.join(["mv", str(path), f"{path}.damaged"])
        raise ServiceError(
            f"{path} cannot be used: {problem}. It holds the history of flow runs and changes made on Prefect's pages. "
            f"Restore it from a backup of this home, or move it away with `{aside}`: a new one is made."
        )


def _problem(path: Path) -> str:
    """Why the server cannot work with it; empty where it can."""
    try:
        # Not read only: what a killed server left in the write-ahead log has to be recovered.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            (verdict,) = connection.execute("pragma quick_check(1)").fetchone()
            tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    except sqlite3.Error as error:
        return str(error)
    if verdict != "ok":
        return one_line(verdict)
    if not tables:
        return "it is empty"
    return "" if {"alembic_version", "flow_run"} <= tables else "it is a database of another program"
