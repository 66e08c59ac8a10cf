"""A client of Prefect's API for processes that do not load Prefect, which takes seconds."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.workspace.secret import home_secret
from ml.errors import ServiceError

TIMEOUT_SECONDS = 10.0


class PrefectApi:
    """The API of one server.

    Args:
        url: its address, ending in /api.
        secret: the secret that it requires; empty: none is sent.
    """

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self._headers = {"Content-Type": "application/json"}
        if secret:
            self._headers["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"
        # 127.0.0.1 must be reached directly, even if the environment names a proxy.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str) -> Any:
        """GET a path; returns the decoded answer.

        Raises:
            OSError: it does not answer, or refuses (urllib.error.HTTPError).
        """
        return self._send(path, None, {})

    def post(self, path: str, body: object) -> Any:
        """POST a JSON body, with the fresh CSRF token that each change needs. Raises as `get` does."""
        client = str(uuid.uuid4())
        token = self.get(f"/csrf-token?client={client}")["token"]
        return self._send(path, body, {"Prefect-Csrf-Client": client, "Prefect-Csrf-Token": token})

    def _send(self, path: str, body: object | None, headers: Mapping[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={**self._headers, **headers})
        with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            return json.load(response)

    def status(self) -> int:
        """HTTP status of a read-only request; 0 if no server answers."""
        try:
            self.get("/admin/version")
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except (OSError, http.client.HTTPException, ValueError):
            return 0
        return http.HTTPStatus.OK


def require_home_secret(url: str, home: Path) -> None:
    """Check that a running server requires the secret of its home.

    Raises:
        ServiceError: it requires no secret, because an earlier version started it, or another one than that of the
            home, because that was deleted since.
    """
    remedy = "Run `candleworks down`, then `candleworks up`"
    if PrefectApi(url, home_secret(home)).status() == http.HTTPStatus.UNAUTHORIZED:
        raise ServiceError(f"The Prefect server at {url} has another secret than its home {home}. {remedy}.")
    if PrefectApi(url, "").status() == http.HTTPStatus.OK:
        raise ServiceError(f"The Prefect server at {url} requires no secret. {remedy}.")
