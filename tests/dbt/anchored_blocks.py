"""For the oracles of state machines: blocks of 128 candles counted from 1970, each run in by the block before it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from oracle_tools import Candles, Floats

BLOCK = 128


def in_blocks(c: Candles, compute: Callable[[slice], tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """(level, direction) of all candles; `compute` gives both for a slice of them, begun afresh at its start."""
    opened = c["open_time"].astype("datetime64[s]").astype(np.int64)
    timeframe = int(np.diff(opened).min()) if len(opened) > 1 else 1
    block = opened // (BLOCK * timeframe)
    level, direction = np.full(len(opened), np.nan), np.full(len(opened), np.nan)
    for number in np.unique(block):
        begin, first, end = np.searchsorted(block, [number - 1, number, number + 1])
        levels, directions = compute(slice(int(begin), int(end)))
        level[first:end], direction[first:end] = levels[first - begin :], directions[first - begin :]
    return level, direction
