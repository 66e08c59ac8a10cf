"""Access control of the Prefect server.

By itself Prefect accepts requests from any web page, under any host name. Here a request must have:

- a Host that is ours: a page whose name was made to resolve to 127.0.0.1 (DNS rebinding) has another;
- an Origin, if any, that is the server's own: browsers send that of the page from which a request comes;
- the secret of the home, and with each change a CSRF token: Prefect checks both itself.
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
#: Further host names of the server, for its process, separated by commas.
NAMES_VARIABLE = "CANDLEWORKS_SERVER_NAMES"
_PORT = re.compile(r":\d+$")


def access_environment(port: int, secret: str, names: Sequence[str]) -> dict[str, str]:
    """Environment of a server's process that restricts access to it.

    Args:
        port: where it listens.
        secret: the secret that it requires.
        names: its host names in addition to those of the loopback address.
    """
    return {
        "PREFECT_SERVER_API_AUTH_STRING": secret,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": ",".join(f"http://{name}:{port}" for name in LOOPBACK_NAMES),
        NAMES_VARIABLE: ",".join(names),
    }


def restrict_access(application: ASGIApp) -> ASGIApp:
    """The application, restricted to requests to our host names and from our pages; all others are refused."""
    names = [*LOOPBACK_NAMES, *filter(None, os.environ.get(NAMES_VARIABLE, "").split(","))]
    return TrustedHostMiddleware(OwnOrigins(application, names), allowed_hosts=names, www_redirect=False)


class OwnOrigins:
    """Refuses requests and web sockets from pages of other servers.

    CORS alone does not: it only keeps a page from reading the answer, after the request was carried out.

    Args:
        application: the application to protect.
        names: the names of this server; its pages are under any of them, at the port of the request.
    """

    def __init__(self, application: ASGIApp, names: Sequence[str]) -> None:
        self.application = application
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests that come from our pages or from no page."""
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            own = self._origins(headers.get("host", ""))
            if not own.issuperset(headers.getlist("origin")):
                refusal = PlainTextResponse("Requests of other web pages are refused.", status_code=403)
                await refusal(scope, receive, send)
                return
        await self.application(scope, receive, send)

    def _origins(self, host: str) -> set[str]:
        """Our own origins, at the port of a Host header."""
        found = _PORT.search(host)
        port = found.group() if found else ""
        return {f"{scheme}://{name}{port}" for scheme in ("http", "https") for name in self.names}
