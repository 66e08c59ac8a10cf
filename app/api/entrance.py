"""The entrance of every request: its key, its rate, the size of its body, HEAD, one line of log.

A layer around the routes and not a dependency of each: a route that forgets it would be open. Only the paths of
`OPEN` are answered without a key.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.keys import HEADER, name_of
from app.api.options import ApiOptions
from app.api.problems import ApiError
from app.api.rates import RateLimit

_logger = logging.getLogger(__name__)
OPEN = frozenset(("/", "/docs", "/v1/health", "/v1/ready", "/v1/openapi.json", "/v2/health/live", "/v2/health/ready"))
#: The scripts and styles of /docs.
_ASSETS = "/static-offline-docs/"
#: Name in the log, and of the bucket, of all requests to a server without keys.
WITHOUT_KEY = "loopback"


def is_open_path(path: str) -> bool:
    """Whether a path is answered without a key."""
    return path in OPEN or path.startswith(_ASSETS)


class _TooLarge(ApiError):
    def __init__(self, megabytes: int) -> None:
        super().__init__(413, "too-large", f"The body is larger than {megabytes} MB. Send fewer items in each call.")


class Entrance:
    """The application behind the entrance.

    Args:
        application: the routes.
        options: keys and limits.
        limit: the rate limit.
    """

    def __init__(self, application: ASGIApp, options: ApiOptions, limit: RateLimit) -> None:
        self._application, self._options, self._limit = application, options, limit
        self._most_bytes = options.body_megabytes * 1_000_000

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may enter."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        request = _Request(scope, send)
        try:
            request.headers, request.name = self._admitted(scope)
            passed = {**scope, "is_head": request.is_head, "method": "GET" if request.is_head else scope["method"]}
            await self._application(passed, self._bounded(receive), request.send)
        except ApiError as error:
            if request.has_started:
                raise
            await error.response(scope["path"])(scope, receive, request.send)
        finally:
            # Without the query, in which a user may have put a key.
            _logger.info("%s %s %s %s", request.name, scope["method"], scope["path"], request.status)

    def _admitted(self, scope: Scope) -> tuple[dict[str, str], str]:
        """Headers of the response, and the name of the key."""
        given = Headers(scope=scope)
        headers: dict[str, str] = {}
        name = "-"
        if not is_open_path(scope["path"]):
            name = WITHOUT_KEY if self._options.is_open else name_of(given.get(HEADER), self._options.key_digests)
            headers = self._limit.take(name)
        length = given.get("content-length", "0")
        if length.isdecimal() and int(length) > self._most_bytes:
            raise _TooLarge(self._options.body_megabytes)
        return headers, name

    def _bounded(self, receive: Receive) -> Receive:
        """Counts the bytes that arrive: a client need not say how many it sends."""
        arrived = 0

        async def bounded() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > self._most_bytes:
                raise _TooLarge(self._options.body_megabytes)
            return message

        return bounded


class _Request:
    """The response on its way out."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.is_head = scope["method"] == "HEAD"
        self.headers: dict[str, str] = {}
        self.name = "-"
        self.status = 0
        self._send = send

    @property
    def has_started(self) -> bool:
        return self.status != 0

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message).update(self.headers)
        elif self.is_head:
            message = {**message, "body": b""}
        await self._send(message)
