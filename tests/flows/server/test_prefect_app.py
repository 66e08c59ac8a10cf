"""The server's SQLite: a cursor whose statement failed can be freed while its connection waits for the database."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flows.server.tidy_sqlite import TidyConnection

ENGINE = """
import asyncio
from flows.server.prefect_app import create_app

create_app()

async def connection():
    from prefect.server.database import provide_database_interface
    engine = await provide_database_interface().engine()
    async with engine.connect() as opened:
        raw = await opened.get_raw_connection()
        print(type(raw.driver_connection._conn).__name__)

asyncio.run(connection())
"""


@pytest.mark.parametrize("statement", ["execute", "executemany"])
def test_freeing_a_failed_cursor_does_not_wait_for_its_connection(tmp_path: Path, statement: str) -> None:
    def connect(factory: type[sqlite3.Connection]) -> contextlib.closing[sqlite3.Connection]:
        return contextlib.closing(
            sqlite3.connect(
                tmp_path / "a.db", timeout=10, isolation_level=None, factory=factory, check_same_thread=False
            )
        )

    with connect(sqlite3.Connection) as holder, connect(TidyConnection) as waiting:
        holder.execute("create table a (b integer primary key)")
        holder.execute("insert into a values (1)")
        cursor = waiting.cursor()
        with pytest.raises(sqlite3.IntegrityError):
            getattr(cursor, statement)("insert into a values (?)", (1,) if statement == "execute" else [(1,)])
        holder.execute("begin immediate")
        begun = threading.Event()

        def wait() -> None:
            begun.set()
            waiting.execute("begin immediate")

        thread = threading.Thread(target=wait)
        thread.start()
        begun.wait()
        thread.join(0.3)  # by then it waits
        del cursor  # would wait for the connection, and that for the holder, who is this thread
        still_waiting = thread.is_alive()
        holder.execute("rollback")
        thread.join()
    assert still_waiting


@pytest.mark.e2e
def test_prefects_engine_has_such_connections(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ENGINE], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["TidyConnection"]
