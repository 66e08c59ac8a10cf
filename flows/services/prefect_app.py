"""Prefect's server application, with writers of its SQLite that wait for one another for seconds, not for a minute.

Now and then (measured: in one night of eight, when a sweep submits chunks) the server's event loop stood still in the
middle of a transaction until another writer, who waited for that transaction, gave up: for Prefect's busy timeout of
60 s, in which no flow could go on. A write of the server takes milliseconds, so who has waited for seconds waits for
nothing: with a shorter time-out the writer fails, is answered 503, and Prefect's clients ask again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.server.api.server import create_app as create_prefect_app
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import set_database_config
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

if TYPE_CHECKING:
    from fastapi import FastAPI
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

BUSY_MILLISECONDS = 5000


class ShortWaits(AioSqliteConfiguration):
    """Prefect's configuration of SQLite with another busy timeout, for which it has no setting."""

    def setup_sqlite(self, conn: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        """Called for each new connection."""
        super().setup_sqlite(conn, record)
        cursor = conn.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        cursor.close()


def create_app() -> FastAPI:
    """For uvicorn's `--factory`."""
    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    if url.startswith("sqlite"):  # another database is the operator's, with its own settings
        set_database_config(ShortWaits(connection_url=url))
    return create_prefect_app()
