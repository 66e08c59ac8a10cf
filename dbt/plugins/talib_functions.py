"""Every TA-Lib function as a function over lists: `ta_<name>`, parameters and outputs in TA-Lib's order.

Names, inputs, parameters and outputs come from TA-Lib's own metadata; nothing here lists indicators, so a model can use
any of them without an edit in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import talib
from list_functions import ListFunction
from talib import abstract


def talib_functions() -> list[ListFunction]:
    """All functions of the installed TA-Lib."""
    return [_describe(name) for name in talib.get_functions()]


def candle_patterns() -> ListFunction:
    """All candle patterns in one call, `candle_patterns(open, high, low, close)`: reading them 61 times is slow.

    Outputs are named pattern_<name without cdl>; how far a candle must reach into another one is TA-Lib's default.
    """
    patterns = [function for function in talib_functions() if function.name.startswith("ta_cdl")]

    def kernel(*prices: Any) -> tuple[Any, ...]:
        return tuple(pattern.kernel(*prices) for pattern in patterns)

    names = tuple(pattern.name.replace("ta_cdl", "pattern_") for pattern in patterns)
    return ListFunction("candle_patterns", kernel, 4, (), names, np.int8)


def _describe(name: str) -> ListFunction:
    info = abstract.Function(name).info  # type: ignore[attr-defined]  # made when talib is imported
    is_pattern = name.startswith("CDL")
    return ListFunction(
        name=f"ta_{name.lower()}",
        kernel=_in_hundreds(getattr(talib, name)) if is_pattern else getattr(talib, name),
        inputs=sum(len(names) if isinstance(names, list) else 1 for names in info["input_names"].values()),
        parameters=tuple(isinstance(default, int) for default in info["parameters"].values()),
        outputs=tuple(info["output_names"]),
        dtype=np.int8 if is_pattern else np.float64,
    )


def _in_hundreds(pattern: Callable[..., Any]) -> Callable[..., Any]:
    """Candle patterns as -1, 0, 1 (2 when confirmed): TA-Lib's 100 and 200 (and 80, a weak 100) need four bytes."""

    def kernel(*arguments: Any) -> Any:
        return _HUNDREDS[pattern(*arguments) + 200]

    return kernel


_HUNDREDS = np.rint(np.arange(-200, 201) / 100).astype(np.int8)
