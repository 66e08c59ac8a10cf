"""Keys: which client may read. The server knows SHA-256 digests, a key itself is in the header of requests alone."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from app.api.problems import ApiError

HEADER = "X-API-Key"
PREFIX = "sha256:"


def digest_of(key: str) -> str:
    """The digest of a key, as the settings have it."""
    return PREFIX + hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def name_of(key: str | None, digests: Mapping[str, str]) -> str:
    """The name of a key.

    All digests are compared in full, so that the time of an answer shows nothing of them.

    Raises:
        ApiError: there is no key, or it is not known.
    """
    given = digest_of(key or "")
    found = [name for name, known in digests.items() if hmac.compare_digest(given, known)]
    if key is None or not found:
        what = "This request has no key" if key is None else "This key is not known"
        detail = (
            f"{what}. Send one in the header {HEADER}; `candleworks api-key NAME` makes one and prints the line of the "
            "settings."
        )
        raise ApiError(401, "unauthorised", detail, {"WWW-Authenticate": f'ApiKey header="{HEADER}"'})
    return found[0]
