"""Days of an equity curve: the figures that are compared, resampled and tested are logarithmic gains per UTC day."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.timeframes import DAY_MS

#: Equity below this share of the start is that of a ruined account: its logarithm is taken there.
RUIN = 1e-9


def last_of_days(open_time_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(days,) rows of the last candle that opens on each UTC day, from times (n,), ascending."""
    return np.flatnonzero(np.diff(open_time_ms // DAY_MS, append=np.iinfo(np.int64).max)).astype(np.int64)


def log_gains(equity: Floats, cash: float) -> Floats:
    """Logarithmic gains (..., days) of the equity at the end of each day, the first one against the start."""
    logarithms = np.log(np.maximum(equity / cash, RUIN))
    gains: Floats = np.diff(logarithms, prepend=0.0)
    return gains


def daily_log_gains(equity: Floats, cash: float, open_time_ms: npt.NDArray[np.int64]) -> Floats:
    """Logarithmic gains (days,) of an equity curve (n,) at the closes of candles that open at (n,) milliseconds."""
    return log_gains(equity[last_of_days(open_time_ms)], cash)
