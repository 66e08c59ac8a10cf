"""The version of the code that made a result: the package's version and a hash of the sources of `ml`."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def code_version() -> str:
    """For example ``0.1.0+3f2a9c01``: the part after the plus changes with any edit or renaming of a file of `ml`."""
    sources = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        sources.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes())
    try:
        package = version("candleworks")
    except PackageNotFoundError:
        package = "0"
    return f"{package}+{sources.hexdigest()[:8]}"
