"""The door of the Prefect server: who may ask at all.

Prefect takes requests of any web page under any name. Three things are asked for here, before a request reaches it:

- a Host that is ours: a page whose own name was made to point at 127.0.0.1 (DNS rebinding) has another;
- an Origin, where there is one, that is the server's own: browsers name the page from which a request comes;
- and, by Prefect itself, the secret of the home and a CSRF token with each change.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse

from flows.processes.ports import HOST

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_NAMES = (HOST, "localhost", "[::1]")
#: Tells the server's process under which other names it may be asked, separated by commas.
NAMES_VARIABLE = "CANDLEWORKS_SERVER_NAMES"
_PORT = re.compile(r":\d+$")


def door_environment(port: int, secret: str, names: Sequence[str]) -> dict[str, str]:
    """What shuts the door of a server, as the environment of its process.

    Args:
        port: where it listens.
        secret: what it asks for.
        names: under which names, besides those of the loopback address, it may be asked.
    """
    return {
        "PREFECT_SERVER_API_AUTH_STRING": secret,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": ",".join(f"http://{name}:{port}" for name in LOOPBACK_NAMES),
        NAMES_VARIABLE: ",".join(names),
    }


def behind_door(application: ASGIApp) -> ASGIApp:
    """The application for requests under our names and from our pages; all others are refused."""
    names = [*LOOPBACK_NAMES, *filter(None, os.environ.get(NAMES_VARIABLE, "").split(","))]
    return TrustedHostMiddleware(OwnOrigins(application, names), allowed_hosts=names, www_redirect=False)


class OwnOrigins:
    """Refuses requests and web sockets of pages of another server.

    CORS alone does not: it keeps a page from reading the answer, after the request was carried out.

    Args:
        application: what is behind.
        names: the names of this server; its pages are under any of them, at the port that the request went to.
    """

    def __init__(self, application: ASGIApp, names: Sequence[str]) -> None:
        self.application = application
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what comes from our pages or from no page."""
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            own = self._origins(headers.get("host", ""))
            if not own.issuperset(headers.getlist("origin")):
                refusal = PlainTextResponse("Requests of other web pages are refused.", status_code=403)
                await refusal(scope, receive, send)
                return
        await self.application(scope, receive, send)

    def _origins(self, host: str) -> set[str]:
        """Our own, at the port of a Host."""
        found = _PORT.search(host)
        port = found.group() if found else ""
        return {f"{scheme}://{name}{port}" for scheme in ("http", "https") for name in self.names}
