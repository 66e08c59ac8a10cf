"""Options of the server, as the command line passes them on in the environment: the settings belong to flows."""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict, Field

#: Environment variable with the options as JSON. It has digests of keys, never keys.
VARIABLE = "CANDLEWORKS_HTTP_OPTIONS"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ApiOptions(BaseModel):
    """What the server reads, where it listens, and its limits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store_url: str = ".candleworks/store"
    host: str = "127.0.0.1"
    port: int = 8502
    key_digests: dict[str, str] = Field({}, description="Name of a key -> `sha256:` and digest; none: loopback only.")
    calls_per_minute: int = 600
    stream_clients: int = 32
    body_megabytes: int = 64

    @property
    def is_open(self) -> bool:
        """Whether it answers without a key."""
        return not self.key_digests


def read_options() -> ApiOptions:
    """The options from the environment; without them the defaults."""
    return ApiOptions.model_validate_json(os.environ.get(VARIABLE, "{}"))
