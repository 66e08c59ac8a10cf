"""Kernels of the groups volume, vwap, koncorde, schaff, coppock, relative_vigor and fibonacci.

None of them depends on more than its window or the memory of an exponential mean: cumulative indices (NVI, PVI) are
computed in pieces of the series, and sums over spans are built from sums of 1, 2, 4 ... values, not as differences of
running totals, which accumulate rounding errors.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import talib
from scipy.signal import lfilter
from vector_functions import ewm_mean, vec_difference, vec_lag
from window_functions import window_mean, window_std, window_sum

Floats = npt.NDArray[np.float64]

#: Prices nearer than this share of the price are the same: typical prices of the same trades differ by rounding.
_SAME = 1e-12
#: A deviation or range below this share of the price is rounding, not movement.
_FLAT = 1e-9
#: NVI and PVI: a range of their mean below this share of the index is none.
_FLAT_INDEX = 1e-6
#: NVI and PVI are computed in pieces of _PIECE candles, each after _RUN_IN others that initialise their mean.
_PIECE, _RUN_IN = 1024, 512


def _or(neutral: float | Floats, known: npt.NDArray[np.bool_], top: Floats, bottom: Floats) -> Floats:
    """top / bottom where `known`, else the neutral value; NaN stays NaN."""
    return np.where(known | np.isnan(bottom), top / np.where(known, bottom, 1.0 + 0.0 * bottom), neutral)


def linear_weighted_mean(values: Floats, rows: int) -> Floats:
    """Mean of the last `rows` values with the weights 1, 2 ... rows, the newest the heaviest (TA-Lib: WMA)."""
    return _filtered(values, np.arange(rows, 0, -1.0))


def symmetric_mean(values: Floats) -> Floats:
    """Mean of the last 4 values with the weights 1, 2, 2, 1 (Ehlers 2002)."""
    return _filtered(values, np.array([1.0, 2.0, 2.0, 1.0]))


def _filtered(values: Floats, weights: Floats) -> Floats:
    """Weighted mean of the last values, the first weight for the newest one."""
    result = np.convolve(values, weights / weights.sum())[: len(values)]
    result[: len(weights) - 1] = np.nan
    return result


def money_flow_share(high: Floats, low: Floats, close: Floats, volume: Floats, rows: int) -> Floats:
    """Money flow index / 100: the share of typical price x volume on candles with a risen typical price; 0.5 if none.

    As TA-Lib's MFI, but without its running sums, and prices that differ by rounding only count as equal.
    """
    price = (high + low + close) / 3
    change = vec_difference(price, 1)
    flow = np.where(np.abs(change) > _SAME * price, price * volume, 0.0 * change)
    total = window_sum(flow, rows)
    return _or(0.5, total > 0, window_sum(np.where(change < 0, 0.0, flow), rows), total)


def log_volume_change(volume: Floats) -> Floats:
    """ln(1 + volume) less that of the candle before: defined for a volume of 0."""
    return vec_difference(np.log1p(volume), 1)


def vwap(price: Floats, volume: Floats, rows: int) -> Floats:
    """Mean of the last `rows` prices weighted by volume; this candle's price where nothing was traded."""
    traded = window_sum(volume, rows)
    return _or(price, traded > 0, window_sum(price * volume, rows), traded)


def vwap_since(price: Floats, volume: Floats, age: Floats) -> Floats:
    """Mean price weighted by volume from the candle `age` candles ago to this one (anchored VWAP); this candle's price
    where nothing was traded since."""
    left = np.where(np.isnan(age), 0.0, age + 1.0).astype(np.int64)
    end, step = np.arange(len(price)), 1
    money, traded = price * volume, volume
    total, weight = np.where(left > 0, 0.0, np.nan), np.where(left > 0, 0.0, np.nan)
    while left.any():  # the binary digits of a span say which of the sums of 1, 2, 4 ... candles make it up
        rows = np.flatnonzero(left & 1)
        last = end[rows]
        total[rows] += money[last]
        weight[rows] += traded[last]
        end[rows] = last - step
        money, traded = money + vec_lag(money, step), traded + vec_lag(traded, step)
        left >>= 1
        step *= 2
    return _or(price, weight > 0, total, weight)


def vwap_deviations(close: Floats, price: Floats, volume: Floats, rows: int) -> Floats:
    """(close - VWAP) / standard deviation of the last `rows` prices from it, weighted by volume.

    0 where the prices do not differ or nothing was traded.
    """
    mean, squares = vwap(price, volume, rows), np.zeros(len(price))
    for back in range(min(rows, len(price))):
        distance = price[: len(price) - back] - mean[back:]
        distance *= distance
        distance *= volume[: len(price) - back]
        squares[back:] += distance
    traded = window_sum(volume, rows)
    deviation = np.sqrt(_or(0.0, traded > 0, squares, traded))
    return _or(0.0, deviation > _FLAT * mean, close - mean, deviation)


def rows_since_maximum(values: Floats, rows: int) -> Floats:
    """How many candles ago the largest of the last `rows` values was; of equal ones the latest."""
    best, age, span = values, np.zeros(len(values)), 1
    while span < rows:  # the largest of 2 n values is the larger one of two windows of n
        step = min(span, rows - span)
        older = vec_lag(best, step)
        is_older = older > best
        best, age = np.where(is_older, older, best), np.where(is_older, vec_lag(age, step) + step, age)
        span += step
    age[: rows - 1] = np.nan
    return age


def volume_index_oscillator(close: Floats, volume: Floats, direction: int, smooth: int, rows: int) -> Floats:
    """(index - its EMA) / (highest - lowest EMA in `rows` candles) of the positive or negative volume index.

    The index is multiplied by close / close before on candles whose volume rose (direction 1: PVI) or fell (-1: NVI).
    Only its ratios count, so each piece of the series starts it anew, far enough before the first value that is kept;
    over millions of candles it would leave the range of floats. 0 where the index did not move.
    """
    counts = np.sign(vec_difference(volume, 1)) == direction
    factors = np.where(counts, close / np.where(counts, vec_lag(close, 1), close), 1.0)
    padded = np.concatenate([np.ones(_RUN_IN), factors, np.ones(-len(factors) % _PIECE)])
    pieces = np.lib.stride_tricks.sliding_window_view(padded, _RUN_IN + _PIECE)[::_PIECE]
    index = np.cumprod(pieces, axis=1)
    alpha = 2 / (smooth + 1)
    mean, _ = lfilter([alpha], [1.0, alpha - 1.0], index, zi=(1.0 - alpha) * index[:, :1])
    spread = (talib.MAX(mean.ravel(), rows) - talib.MIN(mean.ravel(), rows)).reshape(mean.shape)
    kept = (slice(None), slice(_RUN_IN, None))
    index, mean, spread = index[kept], mean[kept], spread[kept]
    result = _or(0.0, spread > _FLAT_INDEX * index, index - mean, spread).ravel()[: len(close)]
    result[: rows - 1] = np.nan
    return result


def _stochastic(
    values: Floats, highs: Floats, lows: Floats, rows: int, least: float | Floats = 0.0, neutral: float | Floats = 0.5
) -> Floats:
    """Place of a value in the range of the last `rows`; the neutral value where the range is not above `least`."""
    lowest = talib.MIN(lows, rows)
    spread = talib.MAX(highs, rows) - lowest
    return _or(neutral, spread > least, values - lowest, spread)


def koncorde_trend(open_: Floats, high: Floats, low: Floats, close: Floats, volume: Floats) -> Floats:
    """The brown line of Blai5's Koncorde (2008) / 100, of the price p = mean of open, high, low and close.

    (RSI(p, 14) + MFI(14) + Bollinger oscillator(p, 25) + stochastic(p, 21, 3) / 3) / 2, neutral where undefined: MFI
    and stochastic 0.5, Bollinger 0, RSI 0 as in TA-Lib.
    """
    price = ((high + low) + (open_ + close)) / 4  # in pairs: the same after open and close are swapped
    mean, deviation = window_mean(price, 25), window_std(price, 25)
    bollinger = _or(0.0, deviation > _FLAT * mean, price - mean, 4 * deviation)
    stochastic = window_mean(_stochastic(price, high, low, 21), 3)
    strength: Floats = talib.RSI(price, 14) / 100
    return (strength + money_flow_share(high, low, close, volume, 14) + bollinger + stochastic / 3) / 2


def schaff_trend_cycle(close: Floats, fast: int, slow: int, rows: int, factor: float) -> Floats:
    """Schaff trend cycle (1999) / 100: the stochastic of the stochastic of the MACD, each smoothed by `factor`.

    Where the MACD did not move, its stochastic is 0.5; where that stochastic did not move (it stays at 0 or 1 in a long
    trend), it is used as its own stochastic. The original keeps the previous value, which may be as old as the series.
    """
    by_fast, by_slow = 2 / (fast + 1), 2 / (slow + 1)
    kept = (1 - by_fast, 1 - by_slow)
    # EMA(close, fast) - EMA(close, slow) as a filter of the changes: rounded as the result is, not as the price
    change = np.nan_to_num(vec_difference(close, 1))
    macd = lfilter([by_fast - by_slow], [1.0, -(kept[0] + kept[1]), kept[0] * kept[1]], change)
    macd[: slow - 1] = np.nan
    first = ewm_mean(_stochastic(macd, macd, macd, rows, _FLAT * close), factor)
    return ewm_mean(_stochastic(first, first, first, rows, _FLAT, first), factor)
