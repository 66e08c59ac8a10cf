"""Cursors: where the next page of a list begins. Opaque to clients; the key of the last row, so rows may be added."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime

import orjson

from app.api.problems import ApiError

Part = str | int | None


def cursor_of(route: str, key: Sequence[Part | datetime]) -> str:
    """The cursor after the row with this key."""
    content = orjson.dumps([route, *key], option=orjson.OPT_NAIVE_UTC)
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def key_of(route: str, cursor: str, columns: int) -> list[Part]:
    """The key in a cursor of a route.

    Raises:
        ApiError: it is none of this route.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key: list[Part]
        name, *key = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if name != route or len(key) != columns or not all(isinstance(part, str | int | None) for part in key):
            raise ValueError(cursor)
    except (ValueError, TypeError, binascii.Error):
        detail = f"This is no cursor of {route}. Take next_cursor of the page before, or leave it out to begin."
        raise ApiError(404, "unknown-cursor", detail) from None
    return key
