"""Prefect's server application, on an SQLite whose failed statements are closed where they ran.

SQLAlchemy leaves the cursor of a failed statement (a database that is locked, a row that exists) to the garbage
collector. That may find it in the thread of the server's event loop while the cursor's connection waits for the
database: freeing the cursor (sqlite3_reset) then waits for the connection's mutex, the connection waits for a
transaction of the event loop, and nothing goes on until Prefect's busy timeout of 60 s is over. A cursor that closed
itself has nothing to wait for.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from prefect.server.api.server import create_app as create_prefect_app
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import set_database_config
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy import event

if TYPE_CHECKING:
    from fastapi import FastAPI
    from sqlalchemy.ext.asyncio import AsyncEngine


class TidyCursor(sqlite3.Cursor):
    """Closes itself, in the thread of its connection, when a statement fails."""

    def execute(self, *arguments: Any) -> TidyCursor:
        """As `sqlite3.Cursor.execute`; a cursor whose statement failed is of no use afterwards."""
        try:
            return super().execute(*arguments)
        except BaseException:
            self.close()
            raise

    def executemany(self, *arguments: Any) -> TidyCursor:
        """As `sqlite3.Cursor.executemany`, likewise."""
        try:
            return super().executemany(*arguments)
        except BaseException:
            self.close()
            raise


class TidyConnection(sqlite3.Connection):
    """A connection with tidy cursors."""

    def cursor(self, *factory: Any) -> Any:
        """With a factory as `sqlite3.Connection.cursor`."""
        return super().cursor(*(factory or (TidyCursor,)))


class TidySqlite(AioSqliteConfiguration):
    """Prefect's configuration of SQLite, with tidy connections."""

    async def engine(self) -> AsyncEngine:
        """As Prefect's, which keeps one engine an event loop."""
        engine = await super().engine()
        if not event.contains(engine.sync_engine, "do_connect", _connect_tidily):
            event.listen(engine.sync_engine, "do_connect", _connect_tidily)
        return engine


def _connect_tidily(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
    parameters["factory"] = TidyConnection


def create_app() -> FastAPI:
    """For uvicorn's `--factory`."""
    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    if url.startswith("sqlite"):
        set_database_config(TidySqlite(connection_url=url))
    return create_prefect_app()
