"""Loops as machine code, made by numba and kept in the user's cache for the next process."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@cache
def machine_code(function: Callable[P, R], *helpers: Callable[..., Any]) -> Callable[P, R]:
    """A function of arrays and numbers as machine code; it is compiled when it is first called.

    Args:
        function: calls only functions of numpy and math, and its helpers.
        helpers: functions of its module, none of which calls another one.
    """
    from numba import config, njit  # noqa: PLC0415 - takes half a second

    # By itself numba would write next to the function's file, into the installed package.
    config.CACHE_DIR = str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "candleworks")
    if helpers:
        # They are its globals, since a function with helpers as arguments would not be kept.
        names = {**function.__globals__, **{one.__name__: machine_code(one) for one in helpers}}
        function = FunctionType(function.__code__, names, function.__name__)
    try:
        compiled: Callable[P, R] = njit(cache=True)(function)
    except RuntimeError:  # there is no folder to keep it in
        compiled = njit(function)
    return compiled
