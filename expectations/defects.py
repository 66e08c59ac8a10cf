"""Named defects that a series of candles shows on its own, without a reference.

Each function takes candle columns as `measures.normalised` returns them: a frame, or a dict of arrays, which is many
times faster for the hundred candles of an update. One row per candle, any order; columns `open_ms` in milliseconds
since 1970 UTC, open, high, low, close, volume, optionally quote_volume and trades; missing values are NaN. Each returns
an array with one value per candle. The thresholds were developed on recorded candles of real exchanges and of data
collectors; the tests run them over those files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

Columns = Mapping[str, Any] | pd.DataFrame

LEAP = float(np.log(2.0))
"""A price that doubles or halves within one candle is suspicious. The largest genuine jump of an open among the
recorded clean candles is a factor 1.94 (ETH/USDT on 2017-08-22, a thin first week); the false first opens are off by
2.17 and 3.76."""

HUGE = float(np.log(10.0))
"""A price that moves by more than a factor 10 needs confirmation from both neighbours."""

JUMP = float(np.log(1.2))

USUAL_LEAPS = 4.0
USUAL_RETURNS = 20
"""A leap must also exceed this multiple of the median nonzero move (of at least `USUAL_RETURNS` moves): a coin that
alternates between 1 and 3 is thinly traded, not broken."""

LONGEST_BLOCK = 6

HEAVY = 3.0
"""A genuine collapse is traded: its volume is at least this multiple of the median volume."""

LEAST_PRICE, MOST_PRICE = 1e-13, 1e13
LEAST_VOLUME, MOST_VOLUME = 1e-19, 1e19
"""A factor of 10 beyond real markets: prices from 1e-12 to 1e12, volumes from 1e-18 (the smallest unit) to 1e18."""

MOST_WICK = float(np.log(1e6))
"""Genuine wicks can be long: LINK/USDT traded at 0.0001 within the hour of 2020-03-12 10:00 that opened at 3.06, a
factor of 30,000. A factor of a million is not genuine."""

TRADED_SHARE = 0.02
"""Share of the range from low to open: where the VWAP is nearer to the low than this, nothing traded at the open. The
false first opens of binance-cdd have 0.002 and 0.005."""

PRICE_NOISE = 0.01
"""Relative tolerance within which copies of a candle agree, and within which the VWAP is inside the candle's range."""

SAME_PRICE = 1e-6
"""Prices with a smaller relative difference are the same number, rounded differently (float32: 6e-8)."""

VOLUME_NOISE = 1e-3
"""Sources round volumes: copies with a smaller relative difference in volume are equally complete."""


_PRICES = ("open", "high", "low", "close")


def _numbers(candles: Columns, *columns: str) -> list[np.ndarray]:
    return [np.asarray(candles[column], dtype=float) for column in columns]


def coherent(candles: Columns) -> np.ndarray:
    """Possible candles: all values present, finite and of a possible size, open and close between low and high."""
    opened, high, low, close, volume = _numbers(candles, *_PRICES, "volume")
    finite = np.isfinite([opened, high, low, close, volume]).all(axis=0)
    inside = (low <= np.minimum(opened, close)) & (high >= np.maximum(opened, close))
    possible: np.ndarray = finite & (low > 0) & (volume >= 0) & inside & ~absurd_value(candles)
    return possible


def absurd_value(candles: Columns) -> np.ndarray:
    """Values that no market has: a finite price or volume of an impossible size, or a wick of a factor of a million.

    Positive prices may be 1e-13 to 1e13, volumes 1e-19 to 1e19; missing, infinite, zero and negative values are left to
    the rules of those names. Broken parsers and uninitialised memory give values such as 5e-324 and 1e300.
    """
    *prices, volume = _numbers(candles, *_PRICES, "volume")
    sizes = [(values, LEAST_PRICE, MOST_PRICE) for values in prices] + [(volume, LEAST_VOLUME, MOST_VOLUME)]
    marks = np.zeros(len(volume), dtype=bool)
    for values, least, most in sizes:
        marks |= np.isfinite(values) & (values > 0) & ((values < least) | (values > most))
    wick = np.maximum(*_wicks(candles))
    marks |= np.isfinite(wick) & (wick > MOST_WICK)
    return marks


def _wicks(candles: Columns) -> tuple[np.ndarray, np.ndarray]:
    """log(high / max(open, close)) and log(min(open, close) / low); a missing open or close is ignored."""
    opened, high, low, close = _numbers(candles, *_PRICES)
    with np.errstate(invalid="ignore"):  # infinities
        top = _logarithms(high) - _logarithms(np.fmax(opened, close))
        bottom = _logarithms(np.fmin(opened, close)) - _logarithms(low)
    return top, bottom


def copy_kinds(candles: Columns) -> np.ndarray:
    """Classify the copies of each open time that are dropped.

    The kept copy is, in order of precedence: coherent (possible values, low <= open, close <= high), of the largest
    volume (within 0.1 %: a candle only grows, so a smaller copy was saved earlier), with a trade count, the last one.

    Returns:
        `""` for unique and kept rows; `identical`; `unfinished` (same open, inside the kept range, less volume);
        `similar` (prices within 1 %); `conflicting`.
    """
    (opens,) = _numbers(candles, "open_ms")
    kinds = np.full(len(opens), "", dtype=object)
    moments, counts = np.unique(opens, return_counts=True, equal_nan=False)
    repeated = np.flatnonzero(np.isin(opens, moments[counts > 1]))
    if not len(repeated):
        return kinds
    columns = ("open_ms", *_PRICES, "volume", *(("trades",) if "trades" in candles else ()))
    copies = pd.DataFrame({column: np.asarray(candles[column], dtype=float)[repeated] for column in columns})
    largest = copies.groupby("open_ms")["volume"].transform("max")
    order = pd.DataFrame(
        {
            "open_ms": copies["open_ms"],
            "coherent": coherent(copies),
            "full": copies["volume"] >= largest * (1 - VOLUME_NOISE),
            "counted": copies["trades"].notna() if "trades" in copies else False,
            "place": np.arange(len(copies)),
        }
    ).sort_values(["open_ms", "coherent", "full", "counted", "place"])
    is_kept = ~order["open_ms"].duplicated(keep="last")
    kept = copies.loc[order.index[is_kept]].set_index("open_ms")
    rest = copies.loc[order.index[~is_kept]]
    kinds[repeated[rest.index]] = _compare_copies(rest, kept.loc[rest["open_ms"]].set_axis(rest.index))
    return kinds


def _compare_copies(rest: pd.DataFrame, kept: pd.DataFrame) -> np.ndarray:
    prices = list(_PRICES)
    values = [*prices, "volume"]
    identical = ((rest[values] == kept[values]) | (rest[values].isna() & kept[values].isna())).all(axis=1)
    inside = (rest["high"] <= kept["high"]) & (rest["low"] >= kept["low"])
    moved_on = (rest[["high", "low", "close"]] != kept[["high", "low", "close"]]).any(axis=1)
    same_open = (rest["open"] / kept["open"] - 1).abs() < 1e-4
    less = rest["volume"] < kept["volume"] * (1 - VOLUME_NOISE)
    unfinished = same_open & inside & moved_on & less
    similar = ((rest[prices] / kept[prices] - 1).abs() <= PRICE_NOISE).all(axis=1)
    return np.select([identical, unfinished, similar], ["identical", "unfinished", "similar"], "conflicting")


def _last_copies(opens: np.ndarray) -> np.ndarray:
    """Positions of the last copy of each open time, ascending by time; rows without a time are left out."""
    timed = np.flatnonzero(np.isfinite(opens))
    order = timed[np.argsort(opens[timed], kind="stable")]
    places: np.ndarray = order[np.append(np.diff(opens[order]) > 0, True)[: len(order)]]
    return places


def _path(candles: Columns, previous: Columns | None, *columns: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of the candles and of the coherent stored ones, each open time once, ascending by time.

    Where both hold a candle, the batch's copy is used. The second array has each row's position in `candles`, negative
    for a stored candle.
    """
    values = _numbers(candles, "open_ms", *columns)
    places = np.arange(len(values[0]))
    if previous is not None:
        stored = coherent(previous)
        before = [column[stored] for column in _numbers(previous, "open_ms", *columns)]
        values = [np.concatenate(both) for both in zip(before, values, strict=True)]
        places = np.arange(len(values[0])) - len(before[0])
    kept = _last_copies(values[0])
    return dict(zip(("open_ms", *columns), (column[kept] for column in values), strict=True)), places[kept]


@np.errstate(all="ignore")  # logarithms of zero, infinities
def neighbours(candles: Columns, previous: Columns | None, timeframe_ms: int) -> dict[str, np.ndarray]:
    """Values of the candles before and after each candle; NaN where there is none.

    Args:
        candles: Candles to compare: sound, one per open time.
        previous: Stored candles, or None; where both hold a candle, the batch's copy is used.
        timeframe_ms: Length of a candle.

    Returns:
        Columns previous_close, next_open, next_close (of adjacent candles only); last_close, following_open,
        following_close and second_close (the one after that), which may be across a gap; `newest` and `after_newest`
        (the following one is the newest); usual_volume, the median nonzero volume, and usual_move, the median absolute
        nonzero log return of the closes (NaN for fewer than `USUAL_RETURNS`), each the same for all rows.
    """
    known, _ = _path(candles, previous, "open", "close", "volume")
    times, (opens,) = known["open_ms"], _numbers(candles, "open_ms")
    place = np.searchsorted(times, opens)

    def at(column: str, step: int) -> np.ndarray:
        values: np.ndarray = np.concatenate([[np.nan] * 2, known[column], [np.nan] * 2])
        return values[place + step + 2]

    is_direct = {step: np.abs(at("open_ms", step) - opens) == timeframe_ms for step in (-1, 1)}
    last_close, following_open, following_close = at("close", -1), at("open", 1), at("close", 1)
    traded = known["volume"][known["volume"] > 0]
    moves = np.abs(np.diff(np.log(known["close"])))
    moves = moves[moves > 0]
    return {
        "last_close": last_close,
        "following_open": following_open,
        "following_close": following_close,
        "second_close": at("close", 2),
        "previous_close": np.where(is_direct[-1], last_close, np.nan),
        "next_open": np.where(is_direct[1], following_open, np.nan),
        "next_close": np.where(is_direct[1], following_close, np.nan),
        "newest": place == len(times) - 1,
        "after_newest": place == len(times) - 2,
        "usual_volume": np.full(len(opens), np.median(traded) if len(traded) >= USUAL_RETURNS else np.nan),
        "usual_move": np.full(len(opens), np.median(moves) if len(moves) >= USUAL_RETURNS else np.nan),
    }


def _logarithms(values: Any) -> np.ndarray:
    """log(values); NaN where one is missing or not above zero."""
    numbers = np.asarray(values, dtype=float)
    logs: np.ndarray = np.log(np.where(numbers > 0, numbers, np.nan))
    return logs


def log_ratio(a: Any, b: Any) -> np.ndarray:
    """log(a / b); NaN where one is missing or not above zero."""
    # The ratio itself overflows, for instance 1e308 / 1e-300.
    with np.errstate(invalid="ignore"):
        ratio: np.ndarray = _logarithms(a) - _logarithms(b)
    return ratio


@np.errstate(invalid="ignore")  # infinities
def false_open(candles: Columns, around: Columns) -> np.ndarray:
    """Opens more than a factor 2 away from both their own close and a neighbour, in the same direction.

    The neighbour is the previous close, across a gap too: an open that meets it starts a traded path, wherever the
    candle goes from there. A genuine jump that holds is near its own close; a genuine flash crash within the candle
    shows in the low, not in the open.

    A first candle has no earlier close. Its open is compared with the next open, and only from above: a listing that
    rises fivefold in its first hour opens at its low. A falling one looks like the recorded false first opens
    (binance-cdd) except for its VWAP (quote_volume / volume): where that shows trades away from the low, the open is
    accepted.
    """
    own = log_ratio(candles["open"], candles["close"])
    first = np.isnan(np.asarray(around["last_close"])) & (own > 0) & ~_traded_at_open(candles)
    compared = np.where(first, around["next_open"], around["last_close"])
    off = log_ratio(candles["open"], compared)
    marks: np.ndarray = (np.abs(own) > LEAP) & (np.abs(off) > LEAP) & (own * off > 0)
    return marks


@np.errstate(all="ignore")  # infinities, and ratios that overflow
def _traded_at_open(candles: Columns) -> np.ndarray:
    """The VWAP is between low and open, more than `TRADED_SHARE` of that range above the low."""
    opened, low, volume = _numbers(candles, "open", "low", "volume")
    if "quote_volume" not in candles:
        return np.zeros(len(opened), dtype=bool)
    (paid,) = _numbers(candles, "quote_volume")
    mean = paid / np.where(volume > 0, volume, np.nan)
    share = (mean - low) / np.where(opened > low, opened - low, np.nan)
    marks: np.ndarray = (share > TRADED_SHARE) & (share < 1)
    return marks


@np.errstate(invalid="ignore")  # infinities
def outlier_candle(candles: Columns, around: Columns) -> np.ndarray:
    """Closes far from both neighbours that no traded path leads to.

    A crash leaves a traded path, a bad tick does not. A traded price started from the previous close, and the next
    candle opens where it closed. A number from elsewhere (a missing decimal point, another market, a parser error) is
    isolated: the next open is back at the old price, and if the whole candle is wrong its own open is off too. An open
    meets a close if it is nearer to it than to the other side of the leap. A candle without volume has no path. A new
    level that holds needs none: the next close confirms it.

    * More than a factor 2 from the adjacent previous candle (more in a market whose usual moves are that large, see
      `USUAL_LEAPS`), and the next close reverts: an outlier, unless it traded and the next open meets its close. So
      crashes by half with half a rebound pass, many in a row too, and so does an auction price after a halt.
    * More than a factor 10 from the previous candle, even across a gap, and the next one reverts: both opens must meet.
    * The newest candle has no successor. It is held back if its open does not meet the previous close, or if it moved
      by more than a factor 10 on less than `HEAVY` times the usual volume; the next update's overlap reads it again.
    * A first candle has no predecessor. It is an outlier if it is more than a factor 10 from the next open and from the
      next close, and the close after confirms the latter; a listing that rose fivefold is not.

    Several such candles in a row confirm each other; see `outlier_block`.
    """
    opened, close = _logarithms(candles["open"]), _logarithms(candles["close"])
    last, following = _logarithms(around["last_close"]), _logarithms(around["following_close"])
    following_open, second = _logarithms(around["following_open"]), _logarithms(around["second_close"])
    usual = np.nan_to_num(USUAL_LEAPS * around["usual_move"])
    leap, huge = np.maximum(usual, LEAP), np.maximum(usual, HUGE)
    is_first, newest = np.isnan(last), around["newest"]
    size = np.abs(close - last)
    size_after = np.where(is_first, np.abs(close - following), size)
    (volume,) = _numbers(candles, "volume")
    traded = volume > 0
    enters = traded & (np.abs(opened - last) <= size / 2)
    leaves = traded & (np.abs(following_open - close) <= size_after / 2)
    back = np.abs(following - last)

    is_direct, has_next = ~np.isnan(around["previous_close"]), ~np.isnan(around["next_close"])
    near = is_direct & has_next & (size > leap) & (back < leap) & ~leaves
    far = (size > huge) & (back < size / 2) & ~(enters & leaves)
    heavy = volume >= HEAVY * around["usual_volume"]
    waits = newest & ((is_direct & (size > leap) & ~enters) | ((size > huge) & ~(enters & heavy)))
    settled = (np.abs(second - following) < size_after / 2) & ~around["after_newest"]
    first = is_first & (size_after > huge) & (np.abs(close - following_open) > huge) & settled
    marks: np.ndarray = near | far | waits | first
    return marks


def outlier_block(candles: Columns, previous: Columns | None) -> np.ndarray:
    """Candles of a short block that no trade leads into or out of, such as rows of another market's file.

    Two to `LONGEST_BLOCK` candles; the first opens and closes more than a factor 10 from the previous close, the first
    candle after the block opens more than a factor 10 from its last close and within a factor 2 of the price before the
    block. A block at the end of the series is not marked before it ends; one that lasts is a new level.
    """
    known, own = _path(candles, previous, "open", "close")
    opened, close = _logarithms(known["open"]), _logarithms(known["close"])
    marks = np.zeros(len(own), dtype=bool)
    broken = np.abs(opened[1:] - close[:-1]) > HUGE
    for start in np.flatnonzero(broken & (np.abs(close[1:] - close[:-1]) > HUGE)) + 1:
        ends = start + 1 + np.flatnonzero(broken[start : start + LONGEST_BLOCK])
        returned = ends[np.abs(opened[ends] - close[start - 1]) < LEAP]
        if len(returned) and returned[0] > start + 1:  # one candle alone is left to `outlier_candle`
            marks[start : returned[0]] = True
    found = np.zeros(len(np.asarray(candles["close"])), dtype=bool)
    found[own[marks & (own >= 0)]] = True
    return found


def open_jump(candles: Columns, around: Columns) -> np.ndarray:
    """Opens more than 20 % away from the adjacent previous close. Genuine ones exist, so the row is kept."""
    marks: np.ndarray = np.abs(log_ratio(candles["open"], around["previous_close"])) > JUMP
    return marks


def long_wick(candles: Columns) -> np.ndarray:
    """Highs above twice, or lows below half of both open and close. Genuine ones exist, so the row is kept."""
    top, bottom = _wicks(candles)
    marks: np.ndarray = (top > LEAP) | (bottom > LEAP)
    return marks


def millisecond_opens(candles: Columns) -> np.ndarray:
    """`open_ms`, derived from `open_time` for raw candles (naive is UTC); float64, NaN where missing."""
    if "open_ms" in candles:
        return _numbers(candles, "open_ms")[0]
    times = pd.to_datetime(candles["open_time"], utc=True).astype("datetime64[ms, UTC]")
    opens: np.ndarray = times.astype("int64").astype("float64").where(times.notna()).to_numpy()
    return opens


def commonest_step(opens: np.ndarray) -> int | None:
    """The most frequent step between consecutive open times, in ms; None with fewer than two times."""
    steps = np.diff(np.unique(opens[np.isfinite(opens)].astype(np.int64)))
    return int(pd.Series(steps).mode().iloc[0]) if len(steps) else None


def quiet_candles(candles: Columns) -> np.ndarray:
    """Flat candles of volume 0: no trade happened, or none was possible."""
    opened, high, low, close, volume = _numbers(candles, *_PRICES, "volume")
    marks: np.ndarray = (high == low) & (opened == close) & (opened == low) & (volume == 0)
    return marks


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Prices that differ by more than rounding; False where one is missing."""
    marks: np.ndarray = np.abs(a - b) > SAME_PRICE * np.abs(b)
    return marks


def direct_before(opens: np.ndarray, timeframe_ms: int) -> np.ndarray:
    """For each of ascending open times, whether the one before is adjacent."""
    return np.append(False, np.diff(opens) == timeframe_ms)[: len(opens)]


def quiet_runs_at_gaps(
    opens: np.ndarray, quiet: np.ndarray, timeframe_ms: int, missing: np.ndarray | None = None
) -> np.ndarray:
    """Candles of quiet runs that touch a gap; the start and the end of the series are not gaps.

    Args:
        opens: Ascending unique open times, ms.
        quiet: Which of them are quiet.
        timeframe_ms: Length of a candle.
        missing: Candles that count as missing, or None.
    """
    if not len(opens):
        return quiet
    gone = np.zeros(len(opens), dtype=bool) if missing is None else missing
    member = quiet & ~gone
    edge = (np.diff(opens) > timeframe_ms) | gone[:-1] | gone[1:]
    gap_before, gap_after = np.append(False, edge), np.append(edge, False)
    run = np.cumsum(np.append(True, member[1:] != member[:-1]) | gap_before)
    at_gap = np.bincount(run[member & (gap_before | gap_after)], minlength=int(run[-1]) + 1) > 0
    marks: np.ndarray = member & at_gap[run]
    return marks


@np.errstate(invalid="ignore", over="ignore")  # infinities
def quiet_faults(
    candles: Columns, timeframe_ms: int | None = None, previous: Columns | None = None
) -> dict[str, np.ndarray]:
    """Mark the quiet candles that are not observations.

    Args:
        candles: Normalised candles, or raw ones with `open_time`.
        timeframe_ms: Length of a candle; None: the most frequent step of the open times.
        previous: Stored candles in the same form, or None; where both hold a candle, the batch's copy is used.

    Returns:
        Columns false_filler (a quiet candle whose price differs from the adjacent previous close) and filler_candle
        (part of a run of other quiet candles that touches a gap).
    """
    known = [each for each in (previous, candles) if each is not None]
    opens, quiet, closes = (
        np.concatenate(columns)
        for columns in zip(
            *((millisecond_opens(each), quiet_candles(each), *_numbers(each, "close")) for each in known), strict=True
        )
    )
    step = timeframe_ms if timeframe_ms is not None else commonest_step(opens)
    false, filler = np.zeros((2, len(opens)), dtype=bool)
    kept = _last_copies(opens)
    if step is not None and len(kept):
        times, quiet, closes = opens[kept], quiet[kept], closes[kept]
        false[kept] = quiet & direct_before(times, step) & apart(closes, np.append(np.nan, closes[:-1]))
        filler[kept] = quiet_runs_at_gaps(times, quiet & ~false[kept], step)
    own = slice(len(opens) - len(np.asarray(candles["close"])), None)
    return {"false_filler": false[own], "filler_candle": filler[own]}


def moved_without_volume(candles: Columns) -> np.ndarray:
    """Candles whose price moved at volume 0: saved before the volume was known (last row of coinbase)."""
    high, low, volume = _numbers(candles, "high", "low", "volume")
    marks: np.ndarray = (high > low) & (volume == 0)
    return marks


def both_volumes(candles: Columns) -> np.ndarray:
    """Candles with both volumes above zero, so that they can be compared."""
    volume, quote_volume = _numbers(candles, "volume", "quote_volume")
    marks: np.ndarray = (volume > 0) & (quote_volume > 0)
    return marks


@np.errstate(all="ignore")  # ratios that overflow, division by zero
def volume_faults(candles: Columns) -> dict[str, np.ndarray]:
    """Compare the VWAP, quote_volume / volume, with the candle's range (within 1 %).

    Returns:
        Columns swapped_volumes (the reciprocal fits: the two columns are swapped) and quote_volume_mismatch (neither
        fits). Both False near a price of 1, where both fit, and without volume.
    """
    traded = both_volumes(candles)
    volume, quote_volume, low, high = _numbers(candles, "volume", "quote_volume", "low", "high")
    ratio = quote_volume / volume
    low, high = low * (1 - PRICE_NOISE), high * (1 + PRICE_NOISE)
    fits = (ratio >= low) & (ratio <= high)
    reverse = (1 / ratio >= low) & (1 / ratio <= high)
    return {
        "swapped_volumes": traded & reverse & ~fits,
        "quote_volume_mismatch": traded & ~reverse & ~fits,
    }
