"""Loops as machine code, made by numba and kept in the user's cache for the next process."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@cache
def machine_code(function: Callable[P, R]) -> Callable[P, R]:
    """A function of arrays and numbers as machine code; it is compiled when it is first called."""
    from numba import config, njit  # noqa: PLC0415 - takes half a second

    # By itself numba would write next to the function's file, into the installed package.
    config.CACHE_DIR = str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "candleworks")
    try:
        compiled: Callable[P, R] = njit(cache=True)(function)
    except RuntimeError:  # there is no folder to keep it in
        compiled = njit(function)
    return compiled
