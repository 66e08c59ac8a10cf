"""Test cases as a short text, for the parameters of a flow run: a server keeps at most 512 KiB of those."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

from ml.canonical import canonical_json


def pack(cases: list[dict[str, Any]]) -> str:
    """Compress descriptions of test cases; neighbouring cases are nearly equal, so they compress well."""
    return base64.b85encode(zlib.compress(canonical_json(cases).encode(), level=9)).decode()


def unpack(text: str) -> list[dict[str, Any]]:
    """The cases of a packed text."""
    cases: list[dict[str, Any]] = json.loads(zlib.decompress(base64.b85decode(text)))
    return cases
