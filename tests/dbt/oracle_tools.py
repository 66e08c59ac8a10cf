"""What the oracles share: windows of the last n values, plainly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: open, high, low, close, volume as floats (n,), open_time as datetime64 (n,).
Candles = dict[str, npt.NDArray[np.generic]]


def past(values: Floats, rows: int) -> Floats:
    """Windows of the last `rows` values (n, rows), the latest last; NaN before the start."""
    padded = np.concatenate([np.full(rows - 1, np.nan), values])
    return np.lib.stride_tricks.sliding_window_view(padded, rows)


def mean(values: Floats, rows: int) -> Floats:
    """Mean of the last `rows` values."""
    return past(values, rows).mean(axis=1)


def std(values: Floats, rows: int, ddof: int = 0) -> Floats:
    """Standard deviation of the last `rows` values."""
    return past(values, rows).std(axis=1, ddof=ddof)


def before(values: Floats, rows: int = 1) -> Floats:
    """The value `rows` candles ago."""
    return np.concatenate([np.full(min(rows, len(values)), np.nan), values[: max(0, len(values) - rows)]])


def recursive_mean(values: Floats, alpha: float) -> Floats:
    """y += alpha (x - y), begun with the first value that is known, step by step."""
    result = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        last = result[row - 1] if row else np.nan
        result[row] = value if np.isnan(last) else last + alpha * (value - last)
    return result


def seconds_of(c: Candles) -> Floats:
    """Open times in seconds since 1970."""
    return c["open_time"].astype("datetime64[s]").astype(np.float64)


def step_of(c: Candles) -> float:
    """Length of a candle in seconds."""
    opened = seconds_of(c)
    return float(np.diff(opened).min()) if len(opened) > 1 else 3600.0


def rows_of_span(c: Candles, days: int) -> int:
    """Candles of a span of days: at least one, at most 2,016."""
    return int(min(max(days * 86400 // step_of(c), 1), 2016))


def known_mean(values: Floats, c: Candles, rows: int, least: int) -> Floats:
    """Mean of the candles that opened within the last `rows` candle lengths; NaN for fewer than `least`."""
    opened, step = seconds_of(c), step_of(c)
    first = np.searchsorted(opened, opened - rows * step, side="right")
    return np.array(
        [values[start : row + 1].mean() if row + 1 - start >= least else np.nan for row, start in enumerate(first)]
    )
