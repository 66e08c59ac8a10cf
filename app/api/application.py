"""The application: its routes, its layers, and its description (OpenAPI)."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from app.api import charts, forecasts, health, inference, marts, stream, tables
from app.api.entrance import Entrance, is_open_path
from app.api.events import Topics
from app.api.keys import HEADER
from app.api.options import LOOPBACK, ApiOptions
from app.api.problems import MEDIA_TYPE, Problem, add_handlers
from app.api.rates import RateLimit
from app.api.served import ServedModels
from app.api.snapshots import Snapshots
from ml.store import Store

#: Bytes from which an answer is compressed.
COMPRESSED = 1000
#: Of the levels 1 to 9: higher ones take more time than the bytes are worth that they save.
COMPRESSION = 4
#: How often streams look for a new version.
POLL_SECONDS = 1.0
_DESCRIPTION = """
The published snapshot and the saved models of a home: forecasts with the proof that each was sealed before its candle,
the leaderboard, trading on paper, and predictions on charts. Times are ISO 8601 in UTC, prices in quote units.
"""
_PROBLEMS = (401, 404, 413, 422, 429, 503)


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def _preloading(application: FastAPI) -> AsyncIterator[None]:
    """Load the chart model while the server answers other requests already."""
    threading.Thread(target=application.state.served.preload_charts, daemon=True).start()
    yield


def create_application(
    options: ApiOptions, now: Callable[[], datetime] = _now, clock: Callable[[], float] = time.monotonic
) -> FastAPI:
    """The application over a store.

    Args:
        options: the store, keys and limits.
        now: the time, for the age of the snapshot.
        clock: seconds, for the rate limit.

    Raises:
        StoreError: the store cannot be read, or was written by a program with another schema.
    """
    store = Store(options.store_url)
    store.check_schema()
    application: FastAPI = FastAPIOffline(
        title="Candleworks",
        version=version("candleworks"),
        description=_DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url="/docs",
        redoc_url=None,
        lifespan=_preloading,
    )
    state = application.state
    state.options, state.now, state.snapshots = options, now, Snapshots(store)
    state.topics, state.served = Topics(store), ServedModels(store, state.snapshots)
    state.streams, state.poll_seconds = 0, POLL_SECONDS
    for module in (health, forecasts, marts, tables, stream, charts, inference):
        application.include_router(module.router)
    application.add_api_route("/", lambda: RedirectResponse("/docs"), include_in_schema=False)
    add_handlers(application)
    application.add_middleware(GZipMiddleware, minimum_size=COMPRESSED, compresslevel=COMPRESSION)
    application.add_middleware(Entrance, options=options, limit=RateLimit(options.calls_per_minute, clock))
    if options.is_open:
        # A page whose name was made to resolve to the loopback address must not read what needs no key.
        application.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "[::1]"], www_redirect=False)
    application.openapi = lambda: _described(application)  # type: ignore[method-assign]
    return application


def _described(application: FastAPI) -> dict[str, Any]:
    """The description with what the layers add to every route: problems and keys."""
    if application.openapi_schema:
        return application.openapi_schema
    described = FastAPI.openapi(application)
    schemas = described["components"]["schemas"]
    for model in (Problem, inference.InferenceRequest):  # no parameter or answer of a route that FastAPI sees
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update({**schema.pop("$defs"), model.__name__: schema})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    needs_key = not application.state.options.is_open
    if needs_key:
        described["components"]["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": HEADER}}
    for path, operations in described["paths"].items():
        for operation in operations.values():
            _describe(operation, path, needs_key and not is_open_path(path))
    application.openapi_schema = described
    return described


def _describe(operation: dict[str, Any], path: str, needs_key: bool) -> None:
    responses = operation["responses"]
    if needs_key:
        operation["security"] = [{"key": []}]
    if path.startswith("/v2"):
        form, names = "InferenceProblem", "application/json"
        statuses = (400, 401, 404, 413, 429, 503)
        responses.pop("422", None)
    else:
        form, names, statuses = "Problem", MEDIA_TYPE, _PROBLEMS
    for status in () if is_open_path(path) else statuses:
        if status == 401 and not needs_key:
            continue
        content = {names: {"schema": {"$ref": f"#/components/schemas/{form}"}}}
        if str(status) not in responses or status == 422:
            responses[str(status)] = {"description": form, "content": content}
    if is_open_path(path):
        responses.pop("422", None)
    if "304" not in responses and "ETag" in operation.get("description", ""):
        responses["304"] = {"description": "Not modified"}
