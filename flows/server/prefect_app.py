"""Prefect's server application with access control, on an SQLite that closes failed statements in their thread.

See `flows.server.access`, `flows.server.gateway` and `flows.server.tidy_sqlite`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect.server.api.server import create_app as create_prefect_app
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import set_database_config
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy import event

from flows.server.access import restrict_access
from flows.server.gateway import with_gateway
from flows.server.tidy_sqlite import TidyConnection

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from starlette.types import ASGIApp


class TidySqlite(AioSqliteConfiguration):
    """Prefect's configuration of SQLite, with tidy connections."""

    async def engine(self) -> AsyncEngine:
        """As Prefect's, which keeps one engine per event loop."""
        engine = await super().engine()
        if not event.contains(engine.sync_engine, "do_connect", _connect_tidily):
            event.listen(engine.sync_engine, "do_connect", _connect_tidily)
        return engine


def _connect_tidily(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
    parameters["factory"] = TidyConnection


def create_app() -> ASGIApp:
    """For uvicorn's `--factory`. Prefect's own services call the inner application, without access control."""
    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    if url.startswith("sqlite"):
        set_database_config(TidySqlite(connection_url=url))
    return restrict_access(with_gateway(create_prefect_app()))
