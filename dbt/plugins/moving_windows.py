"""All windows of a series at once, for statistics that must read every value of every window."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: Windows processed together: few enough to stay in the cache of a core.
MANY = 4096


def over_windows(values: Floats, rows: int, compute: Callable[[Floats], Floats], outputs: int = 1) -> list[Floats]:
    """Series (n,) of `compute`, NaN before the first full window.

    `compute` takes windows (rows, m), one per column with the oldest value first, and returns (m,) or (outputs, m).
    """
    result = np.full((outputs, len(values)), np.nan)
    for first in range(0, len(values) - rows + 1, MANY):
        part = values[first : first + MANY + rows - 1]
        result[:, first + rows - 1 : first + len(part)] = compute(
            np.lib.stride_tricks.sliding_window_view(part, rows).T
        )
    return list(result)
