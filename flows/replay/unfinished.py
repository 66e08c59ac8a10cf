"""The current candle: how an exchange shows a candle that has not closed yet.

A recording holds only the final candle. Showing that early would leak the future; so one path that could have led there
(a Brownian bridge from open to close, within low and high) is drawn for the candle and shown up to the clock's time:
open, the extremes, the last price and the volume so far. The path is fixed per candle: a later request shows it
extended, never changed. Its last sixtieth is never shown.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

PATH_STEPS = 60
# Mean range of a Brownian path in units of its standard deviation at the end: the square root of 8 / pi.
RANGE_IN_DEVIATIONS = 1.596


def unfinished_candle(
    symbol: str, open_time_ms: int, elapsed: float, values: NDArray[np.float64], extras: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A candle as of a time before its close.

    Args:
        symbol: with `open_time_ms` it seeds the path.
        open_time_ms: open time of the candle, milliseconds since 1970 UTC.
        elapsed: share of the candle's time that has passed, from 0 to below 1.
        values: (5,) final open, high, low, close, volume.
        extras: (3,) final quote volume, number of trades, taker buy volume.

    Returns:
        The values and extras so far, of the same shapes; high, low and volumes never beyond the final ones.
    """
    stream = np.random.default_rng([zlib.crc32(symbol.encode()), open_time_ms])
    step = int(np.clip(elapsed, 0.0, 1.0) * PATH_STEPS)
    step = min(step, PATH_STEPS - 1)
    opening, high, low, close, volume = values
    times = np.arange(PATH_STEPS + 1) / PATH_STEPS
    walk = np.concatenate(([0.0], np.cumsum(stream.standard_normal(PATH_STEPS)))) / np.sqrt(PATH_STEPS)
    bridge = (walk - times * walk[-1]) * (high - low) / RANGE_IN_DEVIATIONS
    path = np.clip(opening + times * (close - opening) + bridge, low, high)[: step + 1]
    pace = np.concatenate(([0.0], np.cumsum(stream.exponential(size=PATH_STEPS))))
    share = float(pace[step] / pace[-1])
    path[0] = opening
    so_far = np.array([opening, path.max(), path.min(), path[-1], volume * share])
    return so_far, np.array([extras[0] * share, np.floor(extras[1] * share), extras[2] * share])
