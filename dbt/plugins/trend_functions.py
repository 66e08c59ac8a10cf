"""Indicators that follow a trend step by step: Heikin-Ashi, SuperTrend, Optimized Trend Tracker, parabolic SAR.

The last three have infinite memory. So that a value depends on a known number of candles, time is cut into blocks of
128 candles, counted from 1970 regardless of where the list begins, and each block is computed from scratch with the
whole block before it as run-in: no value looks back further than 256 candles. All blocks advance in parallel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from vector_functions import ewm_mean
from window_functions import window_sum

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
#: Output of a state machine per candle: its price level, and 1 (up) or -1 (down).
Steps = Iterator[tuple[Floats, Floats]]
BLOCK = 128
#: A difference below this share of the price is rounding.
ROUNDING = 1e-9


class Trend(NamedTuple):
    """A line that the price is above (direction 1) or below (-1)."""

    level: Floats
    direction: Floats


class HeikinAshi(NamedTuple):
    """Candles of means, and how long they have had one colour."""

    ha_open: Floats
    ha_close: Floats
    streak: Floats


def heikin_ashi(open: Floats, high: Floats, low: Floats, close: Floats, longest: int) -> HeikinAshi:
    """Heikin-Ashi (Valcu 2004): ha_close = (o + h + l + c) / 4, ha_open = mean of ha_open and ha_close one candle ago.

    The first ha_open is (o + c) / 2. `streak` counts the candles of one colour so far, at most `longest`, negative for
    falling ones; it is 0 where ha_open and ha_close are equal.
    """
    ha_close = (open + high + low + close) / 4
    first = (open[0] + close[0]) / 2
    ha_open = np.concatenate([[first], lfilter([0.5], [1.0, -0.5], ha_close[:-1], zi=[0.5 * first])[0]])
    body = ha_close - ha_open
    colour = np.where(np.abs(body) > ROUNDING * close, np.sign(body), 0.0)
    rows = np.arange(len(colour))
    changed = np.concatenate([[True], colour[1:] != colour[:-1]])
    length = rows - np.maximum.accumulate(np.where(changed, rows, 0)) + 1
    return HeikinAshi(ha_open, ha_close, colour * np.minimum(length, longest))


def supertrend(candle_id: Floats, high: Floats, low: Floats, close: Floats, rows: int, multiple: float) -> Trend:
    """SuperTrend (Olivier Seban): trailing bands `multiple` ATRs (Wilder, `rows`) from (high + low) / 2.

    The level is the lower band until the close falls below it, then the upper one until the close rises above it. A
    block begins upwards unless its first close is below the middle of its candle.
    """
    last = np.concatenate([close[:1], close[:-1]])
    true_range = np.maximum(high, last) - np.minimum(low, last)
    width, middle = multiple * ewm_mean(true_range, 1 / rows), (high + low) / 2
    return _in_blocks(candle_id, _supertrend, middle - width, middle + width, close)


def _supertrend(lower: Floats, upper: Floats, close: Floats) -> Steps:
    bottom, top = lower[0], upper[0]
    is_up = close[0] >= (bottom + top) / 2 * (1 - ROUNDING)
    fell = rose = np.zeros(len(is_up), bool)
    for low, high, now in zip(lower, upper, close, strict=True):
        bottom = np.where((low > bottom) | fell, low, bottom)
        top = np.where((high < top) | rose, high, top)
        # a close that meets its band does not cross it: rounding must not decide
        fell, rose = now < bottom * (1 - ROUNDING), now > top * (1 + ROUNDING)
        is_up = np.where(is_up, ~fell, rose)
        yield np.where(is_up, bottom, top), np.where(is_up, 1.0, -1.0)


def optimised_trend(candle_id: Floats, close: Floats, rows: int, percent: float, momentum_rows: int) -> Trend:
    """Optimized Trend Tracker (Anil Ozeksi), not shifted: a trailing stop `percent` from a mean of `rows`.

    The mean is a VIDYA: it moves by 2 / (rows + 1) times the absolute Chande momentum of `momentum_rows` candles (0
    where no price moved) and begins, in each block, with the close; a block begins upwards.
    """
    change = np.diff(close, prepend=close[:1])
    moved = window_sum(np.abs(change), momentum_rows)
    known = moved > 0
    momentum = np.where(known, window_sum(change, momentum_rows) / np.where(known, moved, 1.0), 0.0)
    speed = 2 / (rows + 1) * np.minimum(np.abs(momentum), 1.0)

    def machine(speed: Floats, close: Floats) -> Steps:
        return _optimised_trend(speed, close, percent / 100)

    return _in_blocks(candle_id, machine, speed, close)


def _optimised_trend(speed: Floats, close: Floats, share: float) -> Steps:
    average = close[0]
    long_stop, short_stop = average * (1 - share), average * (1 + share)
    is_up = np.ones(len(average), bool)
    for alpha, price in zip(speed, close, strict=True):
        average = average + alpha * (price - average)
        is_up = np.where(is_up, average >= long_stop, average > short_stop)
        floor, ceiling = average * (1 - share), average * (1 + share)
        long_stop = np.where(average > long_stop, np.maximum(floor, long_stop), floor)
        short_stop = np.where(average < short_stop, np.minimum(ceiling, short_stop), ceiling)
        stop = np.where(is_up, long_stop, short_stop)
        yield stop * np.where(average > stop, 1 + share / 2, 1 - share / 2), np.where(is_up, 1.0, -1.0)


def parabolic_sar(candle_id: Floats, high: Floats, low: Floats, acceleration: float, most: float) -> Trend:
    """Parabolic stop and reverse (Wilder 1978), as TA-Lib's SAR over each block with the block before it.

    The first two candles of a block set its direction. The first candle of a list has no value: NaN, direction 0.
    """

    def machine(high: Floats, low: Floats) -> Steps:
        return _parabolic_sar(high, low, acceleration, most)

    return _in_blocks(candle_id, machine, high, low)


def _parabolic_sar(high: Floats, low: Floats, acceleration: float, most: float) -> Steps:
    """A falling market is a rising one with negated prices: `top`, `bottom`, `sar` and `best` are times direction."""
    nothing = np.zeros(high.shape[1])
    yield nothing + np.nan, nothing
    if len(high) < 2:
        return
    fall = low[0] - low[1]
    direction = np.where((fall > 0) & (fall > high[1] - high[0]), -1.0, 1.0)
    rising = direction > 0
    sar, best = np.where(rising, low[0], -high[0]), np.where(rising, high[1], -low[1])
    speed = nothing + acceleration
    for row in range(1, len(high)):
        rising, before = direction > 0, max(row - 1, 1)
        top, bottom = np.where(rising, high[row], -low[row]), np.where(rising, low[row], -high[row])
        highest = np.maximum(top, np.where(rising, high[before], -low[before]))
        lowest = np.minimum(bottom, np.where(rising, low[before], -high[before]))
        turned = bottom <= sar
        sar = np.where(turned, np.maximum(best, highest), sar)
        level = direction * sar
        speed = np.where(turned, acceleration, np.where(top > best, np.minimum(speed + acceleration, most), speed))
        best = np.where(turned, bottom, np.maximum(top, best))
        sar = sar + speed * (best - sar)
        sar = np.where(turned, np.maximum(sar, highest), np.minimum(sar, lowest))
        flip = np.where(turned, -1.0, 1.0)
        direction, sar, best = direction * flip, sar * flip, best * flip
        yield level, direction


def _in_blocks(candle_id: Floats, machine: Callable[..., Steps], *series: Floats) -> Trend:
    """Run a state machine over each block and the block before it, and keep its output for the block itself.

    The machine takes arrays (candle, block) and yields (level, direction) per candle. Shorter columns repeat their end.
    """
    rows, own = _blocks_with_run_in(candle_id)
    steps = machine(*(values[rows] for values in series))
    result = Trend(np.empty(len(candle_id)), np.empty(len(candle_id)))
    for row, mine, (level, direction) in zip(rows, own, steps, strict=True):
        result.level[row[mine]], result.direction[row[mine]] = level[mine], direction[mine]
    return result


def _blocks_with_run_in(candle_id: Floats) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Rows (candle, block) of each block after those of the block before it, and which of them are the block's own."""
    open_time = candle_id - 1e13 * np.floor(candle_id[0] / 1e13)
    steps = np.diff(open_time)
    step = np.min(steps, where=steps > 0, initial=np.inf)
    block = np.floor(open_time / (BLOCK * step))
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(block)) + 1, [len(block)]])
    first, end = bounds[:-1], bounds[1:]
    follows = np.diff(block[first], prepend=-1) == 1
    begin = np.where(follows, np.concatenate([[0], first[:-1]]), first)
    rows = begin + np.arange((end - begin).max())[:, np.newaxis]
    return np.minimum(rows, end - 1), (rows >= first) & (rows < end)
