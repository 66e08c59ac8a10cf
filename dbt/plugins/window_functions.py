"""Functions of the last n values: sums, moments, correlations. They start with n - 1 NaN, as TA-Lib's do.

A value depends on the values in its window only, to the last digits: running sums, as TA-Lib and pandas use them, keep
the rounding of everything that ever passed through, which is larger than the result after a jump. Here a series is cut
into blocks of n values; a window is the end of one block and the start of the next, and both parts are read off running
totals within their block (van Herk 1992, Gil and Werman 1993), merged by the formulas for moments of two samples (Chan,
Golub, LeVeque 1979; Pebay 2008). Cost does not depend on n.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def _blocks(values: Floats, rows: int) -> Floats:
    """Values (n,) as blocks (rows, ceil(n / rows)), a column each; the last one is filled up with NaN."""
    missing = -len(values) % rows
    padded = np.concatenate([values, np.full(missing, np.nan)]) if missing else values
    return np.ascontiguousarray(padded.reshape(-1, rows).T)


def _series(blocks: Floats, length: int) -> Floats:
    return np.ascontiguousarray(blocks.T).reshape(-1)[:length]


def _merged(
    heads: list[Floats], tails: list[Floats], rows: int, merge: Callable[..., list[Floats]], length: int
) -> list[Floats]:
    """One value a window: `merge(tail_count, tail_parts, head_count, head_parts)` of its two parts.

    `heads[p][j]` holds part p of the first j + 1 values of each block, `tails[p][j]` of the values from j on.
    """
    results = [np.full((rows, heads[0].shape[1]), np.nan) for _ in heads]
    for row in range(rows):
        head = [part[row] for part in heads]
        if row == rows - 1:
            whole = head
        else:  # the window began in the block before, behind position `row`
            tail = [np.concatenate([[np.nan], part[row + 1, :-1]]) for part in tails]
            whole = merge(rows - 1 - row, tail, row + 1, head)
        for result, part in zip(results, whole, strict=True):
            result[row] = part
    return [_series(result, length) for result in results]


def window_sum(values: Floats, rows: int) -> Floats:
    """Sum of the last `rows` values (n,), each sum its own: small ones after large ones stay exact."""
    blocks = _blocks(values, rows)
    heads, tails = np.cumsum(blocks, axis=0), np.cumsum(blocks[::-1], axis=0)[::-1]
    (total,) = _merged([heads], [tails], rows, lambda _m, tail, _k, head: [tail[0] + head[0]], len(values))
    return total


def window_mean(values: Floats, rows: int) -> Floats:
    """Mean of the last `rows` values (n,)."""
    return window_sum(values, rows) / rows


def _running(blocks: Floats, order: int) -> list[Floats]:
    """Mean and the sums of powers 2..order of the deviations from it, of the first j + 1 values of each block."""
    parts = [np.empty_like(blocks) for _ in range(order)]
    now = [np.zeros(blocks.shape[1]) for _ in range(order)]
    for row, values in enumerate(blocks):
        now = _merge_moments(row, now, 1, [values, *(np.zeros_like(values) for _ in range(order - 1))])
        for part, value in zip(parts, now, strict=True):
            part[row] = value
    return parts


def _merge_moments(m: int, a: list[Floats], k: int, b: list[Floats]) -> list[Floats]:
    """Moments of two samples of m and k values together (Pebay 2008, eq. 2.1), up to the order given."""
    n = m + k
    delta = b[0] - a[0]
    merged = [a[0] + delta * (k / n)] if m else [b[0]]
    if len(a) > 1:
        merged.append(a[1] + b[1] + delta**2 * (m * k / n))
    if len(a) > 2:
        cross = 3 * delta * ((m / n) * b[1] - (k / n) * a[1])
        merged.append(a[2] + b[2] + delta**3 * (m * k * (m - k) / n**2) + cross)
    if len(a) > 3:
        squares = 6 * delta**2 * ((m / n) ** 2 * b[1] + (k / n) ** 2 * a[1])
        cubes = 4 * delta * ((m / n) * b[2] - (k / n) * a[2])
        merged.append(a[3] + b[3] + delta**4 * (m * k * (m * m - m * k + k * k) / n**3) + squares + cubes)
    return merged


def _moments(values: Floats, rows: int, order: int) -> list[Floats]:
    blocks = _blocks(values, rows)
    tails = [part[::-1] for part in _running(blocks[::-1], order)]
    return _merged(_running(blocks, order), tails, rows, _merge_moments, len(values))


def window_std(values: Floats, rows: int) -> Floats:
    """Population standard deviation of the last `rows` values (n,); sample: times sqrt(rows / (rows - 1))."""
    return np.sqrt(_moments(values, rows, 2)[1] / rows)


def window_skew(values: Floats, rows: int) -> Floats:
    """Skewness m3 / m2^1.5 of the last `rows` values (n,), as scipy.stats.skew; 0 when all are equal."""
    _, m2, m3 = _moments(values, rows, 3)
    return _ratio(np.sqrt(rows) * m3, m2**1.5)


def window_kurtosis(values: Floats, rows: int) -> Floats:
    """Excess kurtosis m4 / m2^2 - 3 of the last `rows` values (n,), as scipy.stats.kurtosis; 0 when all are equal."""
    _, m2, _, m4 = _moments(values, rows, 4)
    return np.where(m2 == 0, 0.0, _ratio(rows * m4, m2**2) - 3)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """top / bottom, 0 where the bottom is 0, NaN where it is NaN."""
    zero = bottom == 0
    return np.where(zero, 0.0, top / np.where(zero, 1.0, bottom))


def _merge_pairs(m: int, a: list[Floats], k: int, b: list[Floats]) -> list[Floats]:
    """Means, sums of squares and of products of the deviations of two paired samples."""
    n = m + k
    dx, dy, w = b[0] - a[0], b[1] - a[1], m * k / n
    return [
        a[0] + dx * (k / n),
        a[1] + dy * (k / n),
        a[2] + b[2] + dx * dx * w,
        a[3] + b[3] + dy * dy * w,
        a[4] + b[4] + dx * dy * w,
    ]


def _running_pairs(x: Floats, y: Floats) -> list[Floats]:
    parts = [np.empty_like(x) for _ in range(5)]
    zero = np.zeros(x.shape[1])
    now = [x[0], y[0], zero, zero, zero]
    for row in range(len(x)):
        if row:
            now = _merge_pairs(row, now, 1, [x[row], y[row], zero, zero, zero])
        for part, value in zip(parts, now, strict=True):
            part[row] = value
    return parts


def _pairs(x: Floats, y: Floats, rows: int) -> list[Floats]:
    xs, ys = _blocks(x, rows), _blocks(y, rows)
    tails = [part[::-1] for part in _running_pairs(xs[::-1], ys[::-1])]
    return _merged(_running_pairs(xs, ys), tails, rows, _merge_pairs, len(x))


def window_correlation(x: Floats, y: Floats, rows: int) -> Floats:
    """Pearson's correlation of the last `rows` pairs (n,); 0 where one side does not move."""
    _, _, xx, yy, xy = _pairs(x, y, rows)
    return np.clip(_ratio(xy, np.sqrt(xx) * np.sqrt(yy)), -1.0, 1.0)


def window_beta(x: Floats, y: Floats, rows: int) -> Floats:
    """Slope of y over x in the last `rows` pairs (n,), least squares; 0 where x does not move."""
    _, _, xx, _, xy = _pairs(x, y, rows)
    return _ratio(xy, xx)


def window_rank(values: Floats, rows: int) -> Floats:
    """Share of the other values in the last `rows` that lie below the last one (n,); a tie counts half."""
    below = np.zeros(len(values))
    for back in range(1, rows):
        older = np.concatenate([np.full(back, np.nan), values[:-back]]) if back < len(values) else np.nan * values
        below += np.where(np.isnan(older), np.nan, (older < values) + 0.5 * (older == values))
    return below / (rows - 1)
