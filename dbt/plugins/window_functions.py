"""Functions of the last n values: sums, moments, correlations. They start with n - 1 NaN, as TA-Lib's do.

A value depends on the values in its window only, to the last digits: running sums, as TA-Lib and pandas use them,
accumulate rounding errors, which after a jump are larger than the result. Here a series is cut into blocks of n values;
a window is the end of one block and the start of the next, and both parts are read off running totals within their
block (van Herk 1992, Gil and Werman 1993; Welford 1962), merged by the formulas for the moments of two samples (Chan,
Golub, LeVeque 1979). Cost does not depend on n.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def _blocks(values: Floats, rows: int) -> Floats:
    """Values (n,) as blocks (rows, ceil(n / rows)), one per column; the last one is filled up with NaN."""
    missing = -len(values) % rows
    padded = np.concatenate([values, np.full(missing, np.nan)]) if missing else values
    return np.ascontiguousarray(padded.reshape(-1, rows).T)


def _series(blocks: Floats, length: int) -> Floats:
    return np.ascontiguousarray(blocks.T).reshape(-1)[:length]


def _merged(
    heads: list[Floats], tails: list[Floats], rows: int, merge: Callable[..., list[Floats]], length: int
) -> list[Floats]:
    """One value per window: `merge(tail_count, tail_parts, head_count, head_parts)` of its two parts.

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


def _running(blocks: Floats) -> list[Floats]:
    """Mean and sum of squared deviations from it, of the first j + 1 values of each block."""
    means, squares = np.empty_like(blocks), np.empty_like(blocks)
    mean, square = np.zeros(blocks.shape[1]), np.zeros(blocks.shape[1])
    for row, values in enumerate(blocks):
        delta = values - mean
        mean = mean + delta / (row + 1)
        square = square + delta * (values - mean)
        means[row], squares[row] = mean, square
    return [means, squares]


def _merge_moments(m: int, a: list[Floats], k: int, b: list[Floats]) -> list[Floats]:
    """Mean and sum of squared deviations of two samples of m and k values together (Chan, Golub, LeVeque)."""
    delta = b[0] - a[0]
    return [a[0] + delta * (k / (m + k)), a[1] + b[1] + delta * delta * (m * k / (m + k))]


def window_std(values: Floats, rows: int) -> Floats:
    """Population standard deviation of the last `rows` values (n,); sample: times sqrt(rows / (rows - 1))."""
    blocks = _blocks(values, rows)
    tails = [part[::-1] for part in _running(blocks[::-1])]
    squares = _merged(_running(blocks), tails, rows, _merge_moments, len(values))[1]
    return np.sqrt(squares / rows)


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
