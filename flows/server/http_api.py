"""The process of the HTTP API, which is a program of its own: flows and app do not import each other."""

from __future__ import annotations

import json
import sys

from flows.processes.ports import HOST
from flows.settings import ApiSettings
from ml.errors import ConfigurationError

#: As `app.api.options` reads them; `tests/flows/server/test_http_api.py` compares both.
VARIABLE = "CANDLEWORKS_HTTP_OPTIONS"


#: Of `candleworks api` where the settings keep `up` from running it.
DEFAULT_PORT = 8502
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_host(settings: ApiSettings) -> None:
    """Refuse to answer other machines without a key, before anything is started.

    Raises:
        ConfigurationError: there is none.
    """
    if not settings.key_digests and settings.host not in _LOOPBACK:
        raise ConfigurationError(
            f"Without a key the HTTP API answers this machine alone, not on {settings.host}. Run `candleworks api-key "
            "NAME`, put the lines that it prints into the settings, or leave out the host."
        )


def api_command() -> list[str]:
    """The command line of the server."""
    return [sys.executable, "-m", "app.api"]


def api_environment(store_url: str, settings: ApiSettings) -> dict[str, str]:
    """Environment with the options of the server; of keys it has digests.

    Args:
        store_url: the store that it reads.
        settings: where it listens, keys and limits.
    """
    return {VARIABLE: json.dumps({"store_url": store_url, **settings.model_dump()})}


def address_of(settings: ApiSettings) -> str:
    """Its address, on this machine where it listens on all."""
    host = HOST if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://{host}:{settings.port}"
