"""Defects that a series shows by itself, found by name.

Each function takes the columns of candles, as `measures.normalised` gives them: a frame, or a dict of arrays, which is
many times as fast for the hundred candles of an update. One row per candle, any order; columns `open_ms` in
milliseconds since 1970 UTC, open, high, low, close, volume, optionally quote_volume and trades; missing values are NaN.
It returns an array with one value per candle. They were shaped on recorded candles of real exchanges and of collectors;
the tests run them over those files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

Columns = Mapping[str, Any] | pd.DataFrame

LEAP = float(np.log(2.0))
"""A price that doubles or halves within one candle is doubted. The largest true jump of an open among the
recorded clean candles is a factor 1.94 (ETH/USDT on 2017-08-22, a thin first week); the false first opens are off by
2.17 and 3.76."""

HUGE = float(np.log(10.0))
"""A price that moves by more than a factor 10 needs confirmation from both sides."""

JUMP = float(np.log(1.2))

USUAL_LEAPS = 4.0
USUAL_RETURNS = 20
"""Where so many times the middle move (of those that are moves, `USUAL_RETURNS` at least) exceed a leap, a leap is that
much: a coin that trades at 1 and 3 in turn is thin, not broken."""

LONGEST_BLOCK = 6

HEAVY = 3.0
"""A true collapse is traded: the volume is this many times the usual one."""

LEAST_PRICE, MOST_PRICE = 1e-13, 1e13
LEAST_VOLUME, MOST_VOLUME = 1e-19, 1e19
"""A tenfold beyond what markets show: prices from 1e-12 to 1e12, volumes from 1e-18 (the smallest unit) to 1e18."""

MOST_WICK = float(np.log(1e6))
"""True wicks are long: LINK/USDT traded at 0.0001 within the hour of 2020-03-12 10:00 that began at 3.06, a factor
30,000. A million is none."""

TRADED_SHARE = 0.02
"""Of the range from low to open: where the mean price paid is nearer to the low, nobody traded at the open. The false
first opens of binance-cdd have 0.002 and 0.005."""

PRICE_NOISE = 0.01
"""Copies of one candle agree to this share; so does the mean price paid with the candle's range."""

SAME_PRICE = 1e-6
"""Prices that differ by less are the same number in another rounding (float32 has 6e-8)."""

VOLUME_NOISE = 1e-3
"""Sources round volumes; copies whose volumes differ by less are equally complete."""


_PRICES = ("open", "high", "low", "close")


def _numbers(candles: Columns, *columns: str) -> list[np.ndarray]:
    return [np.asarray(candles[column], dtype=float) for column in columns]


def coherent(candles: Columns) -> np.ndarray:
    """Candles that could be: all values there, finite and of a possible size, open and close between low and high."""
    opened, high, low, close, volume = _numbers(candles, *_PRICES, "volume")
    finite = np.isfinite([opened, high, low, close, volume]).all(axis=0)
    inside = (low <= np.minimum(opened, close)) & (high >= np.maximum(opened, close))
    possible: np.ndarray = finite & (low > 0) & (volume >= 0) & inside & ~absurd_value(candles)
    return possible


def absurd_value(candles: Columns) -> np.ndarray:
    """Values that no market has: a finite price or volume of an impossible size, or a wick of a factor of a million.

    Prices above zero count from 1e-13 to 1e13, volumes from 1e-19 to 1e19; values that are missing, infinite, zero or
    negative are left to the rules of that name. 5e-324 and 1e300 are what broken parsers and uninitialised memory give.
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
    """log(high / the higher one of open and close) and log(the lower one / low); of a missing one the other counts."""
    opened, high, low, close = _numbers(candles, *_PRICES)
    with np.errstate(invalid="ignore"):  # infinities
        top = _logarithms(high) - _logarithms(np.fmax(opened, close))
        bottom = _logarithms(np.fmin(opened, close)) - _logarithms(low)
    return top, bottom


def copy_kinds(candles: Columns) -> np.ndarray:
    """Name the copies of each open time that are not kept.

    Of several copies the kept one is, in this order: coherent (possible values, low <= open, close <= high), of the
    largest volume (to 0.1 %: a candle only grows, so a smaller copy was saved earlier), one that counts its trades, the
    last.

    Returns:
        `""` for single and kept rows; `identical`; `unfinished` (same open, inside the kept range, less volume);
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
    """Places of the last copy of each open time, in order of time; without a time none."""
    timed = np.flatnonzero(np.isfinite(opens))
    order = timed[np.argsort(opens[timed], kind="stable")]
    places: np.ndarray = order[np.append(np.diff(opens[order]) > 0, True)[: len(order)]]
    return places


def _path(candles: Columns, previous: Columns | None, *columns: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of the candles and of the coherent ones stored before, each open time once, in order of time.

    Where both hold a candle the batch's counts. Beside them its place among `candles`, negative for a stored one.
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


@np.errstate(all="ignore")  # logarithms of nothing, infinities
def neighbours(candles: Columns, previous: Columns | None, timeframe_ms: int) -> dict[str, np.ndarray]:
    """What stands before and after each candle; NaN where there is nothing.

    Args:
        candles: Candles to compare: single and sound ones.
        previous: Candles stored before, or None; where both hold a candle the batch's counts.
        timeframe_ms: Length of a candle.

    Returns:
        Columns previous_close, next_open, next_close (directly beside); last_close, following_open, following_close
        and second_close (the one after that), which may stand beyond a gap; `newest` and `after_newest` (the following
        one is the newest) of all; usual_volume, the median of those that traded, and usual_move, the median size of a
        close's move that is not none (NaN for fewer than `USUAL_RETURNS`), each the same for all rows.
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
    # Of the logarithms, not of the ratio: that overflows from 1e308 to 1e-300.
    with np.errstate(invalid="ignore"):
        ratio: np.ndarray = _logarithms(a) - _logarithms(b)
    return ratio


@np.errstate(invalid="ignore")  # infinities
def false_open(candles: Columns, beside: Columns) -> np.ndarray:
    """Opens that are off by more than a factor 2 both from their own close and from a neighbour.

    The neighbour is the close before, beyond a gap too: an open that meets it is where the path begins, whatever the
    candle does then. A true jump that stays is near its own close; a true flash crash within the candle shows in the
    low, not in the open.

    A first candle has no close before. Its open is held against the next open, and only from above: a listing that
    rises fivefold in its first hour begins at its low. One that falls looks like the recorded false first opens
    (binance-cdd) but for its mean price paid (quote_volume / volume): where that shows trades off the end at which the
    candle closed, the open is believed.
    """
    own = log_ratio(candles["open"], candles["close"])
    first = np.isnan(np.asarray(beside["last_close"])) & (own > 0) & ~_traded_at_open(candles)
    compared = np.where(first, beside["next_open"], beside["last_close"])
    off = log_ratio(candles["open"], compared)
    marks: np.ndarray = (np.abs(own) > LEAP) & (np.abs(off) > LEAP) & (own * off > 0)
    return marks


@np.errstate(all="ignore")  # infinities, and numbers whose ratio is none
def _traded_at_open(candles: Columns) -> np.ndarray:
    """The mean price paid lies between low and open, more than `TRADED_SHARE` of the way off the low."""
    opened, low, volume = _numbers(candles, "open", "low", "volume")
    if "quote_volume" not in candles:
        return np.zeros(len(opened), dtype=bool)
    (paid,) = _numbers(candles, "quote_volume")
    mean = paid / np.where(volume > 0, volume, np.nan)
    share = (mean - low) / np.where(opened > low, opened - low, np.nan)
    marks: np.ndarray = (share > TRADED_SHARE) & (share < 1)
    return marks


@np.errstate(invalid="ignore")  # infinities
def outlier_candle(candles: Columns, beside: Columns) -> np.ndarray:
    """Closes far off both neighbours that no traded path leads to.

    What separates a bad tick from a crash: trading leaves a path. A price that got there by trades was opened from the
    close before, and the next candle opens where it closed; a number from elsewhere (a missing decimal, another market,
    a parser) stands alone, so the next open is back at the old price, and if the whole candle is wrong its own open is
    off too. Opens meet closes here if they are nearer to them than to the other side of the leap. A candle without
    volume has no path. A new level that stays needs none: the next close confirms it.

    * More than a factor 2 (more in a market whose moves are usually that large, see `USUAL_LEAPS`), from the candle
      directly before, and the next close is back: an outlier unless it traded and the next open meets its close. So
      crashes of half with half a rebound pass, many in a row too, and so does an auction's price after a halt.
    * More than a factor 10, from the candle before even beyond a gap, and the next one is back: both opens must meet.
    * The newest candle has no successor. It waits if its open does not meet the close before, or if it moved by more
      than a factor 10 with no more than usual volume; it is read again with the overlap of the next update.
    * A first candle has no predecessor. By more than a factor 10 off the next open and close, of which the close after
      that confirms one, it is an outlier; a listing that went up fivefold is not, nor is one whose next open meets it.

    Several such candles in a row confirm each other; see `outlier_block`.
    """
    opened, close = _logarithms(candles["open"]), _logarithms(candles["close"])
    last, following = _logarithms(beside["last_close"]), _logarithms(beside["following_close"])
    following_open, second = _logarithms(beside["following_open"]), _logarithms(beside["second_close"])
    usual = np.nan_to_num(USUAL_LEAPS * beside["usual_move"])
    leap, huge = np.maximum(usual, LEAP), np.maximum(usual, HUGE)
    is_first, newest = np.isnan(last), beside["newest"]
    size = np.abs(close - last)
    size_after = np.where(is_first, np.abs(close - following), size)
    (volume,) = _numbers(candles, "volume")
    traded = volume > 0
    enters = traded & (np.abs(opened - last) <= size / 2)
    leaves = traded & (np.abs(following_open - close) <= size_after / 2)
    back = np.abs(following - last)

    is_direct, has_next = ~np.isnan(beside["previous_close"]), ~np.isnan(beside["next_close"])
    near = is_direct & has_next & (size > leap) & (back < leap) & ~leaves
    far = (size > huge) & (back < size / 2) & ~(enters & leaves)
    heavy = volume >= HEAVY * beside["usual_volume"]
    waits = newest & ((is_direct & (size > leap) & ~enters) | ((size > huge) & ~(enters & heavy)))
    settled = (np.abs(second - following) < size_after / 2) & ~beside["after_newest"]
    first = is_first & (size_after > huge) & (np.abs(close - following_open) > huge) & settled
    marks: np.ndarray = near | far | waits | first
    return marks


def outlier_block(candles: Columns, previous: Columns | None) -> np.ndarray:
    """Candles of a short block that no trade leads into or out of: a file of another market was read for a while.

    Two to `LONGEST_BLOCK` candles; the first opens and closes more than a factor 10 off the close before, the next one
    after the block opens more than a factor 10 off its last close, and within a factor 2 of the price before the block.
    A block at the end waits for its end, one that lasts is a new level.
    """
    known, own = _path(candles, previous, "open", "close")
    opened, close = _logarithms(known["open"]), _logarithms(known["close"])
    marks = np.zeros(len(own), dtype=bool)
    broken = np.abs(opened[1:] - close[:-1]) > HUGE
    for start in np.flatnonzero(broken & (np.abs(close[1:] - close[:-1]) > HUGE)) + 1:
        ends = start + 1 + np.flatnonzero(broken[start : start + LONGEST_BLOCK])
        returned = ends[np.abs(opened[ends] - close[start - 1]) < LEAP]
        if len(returned) and returned[0] > start + 1:  # a single one is an outlier candle
            marks[start : returned[0]] = True
    found = np.zeros(len(np.asarray(candles["close"])), dtype=bool)
    found[own[marks & (own >= 0)]] = True
    return found


def open_jump(candles: Columns, beside: Columns) -> np.ndarray:
    """Opens more than 20 % away from the close directly before. True ones exist; the row is kept."""
    marks: np.ndarray = np.abs(log_ratio(candles["open"], beside["previous_close"])) > JUMP
    return marks


def long_wick(candles: Columns) -> np.ndarray:
    """Highs above twice, or lows below half of both open and close. True ones exist; the row is kept."""
    top, bottom = _wicks(candles)
    marks: np.ndarray = (top > LEAP) | (bottom > LEAP)
    return marks


def millisecond_opens(candles: Columns) -> np.ndarray:
    """`open_ms`, or for raw candles made from `open_time` (naive is UTC); float64, NaN where missing."""
    if "open_ms" in candles:
        return _numbers(candles, "open_ms")[0]
    times = pd.to_datetime(candles["open_time"], utc=True).astype("datetime64[ms, UTC]")
    opens: np.ndarray = times.astype("int64").astype("float64").where(times.notna()).to_numpy()
    return opens


def commonest_step(opens: np.ndarray) -> int | None:
    """The commonest distance of neighbouring open times, in ms; None with fewer than two times."""
    steps = np.diff(np.unique(opens[np.isfinite(opens)].astype(np.int64)))
    return int(pd.Series(steps).mode().iloc[0]) if len(steps) else None


def quiet_candles(candles: Columns) -> np.ndarray:
    """Flat candles of volume 0: nobody traded, or nobody could."""
    opened, high, low, close, volume = _numbers(candles, *_PRICES, "volume")
    marks: np.ndarray = (high == low) & (opened == close) & (opened == low) & (volume == 0)
    return marks


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Prices that are not the same, beyond rounding; False where one is missing."""
    marks: np.ndarray = np.abs(a - b) > SAME_PRICE * np.abs(b)
    return marks


def direct_before(opens: np.ndarray, timeframe_ms: int) -> np.ndarray:
    """Whether another one stands directly before each of ascending open times."""
    return np.append(False, np.diff(opens) == timeframe_ms)[: len(opens)]


def quiet_runs_at_gaps(
    opens: np.ndarray, quiet: np.ndarray, timeframe_ms: int, missing: np.ndarray | None = None
) -> np.ndarray:
    """Candles of quiet runs that touch a gap; begin and end of the series are none.

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
    """Tell the quiet candles that are no observation from those that are.

    Args:
        candles: Candles as everywhere here, or raw ones with `open_time`.
        timeframe_ms: Length of a candle; None: the commonest step of the open times.
        previous: Candles stored before, of the same form, or None; where both hold a candle the batch's counts.

    Returns:
        Columns false_filler (a quiet candle at another price than the close directly before) and filler_candle (the
        run of other quiet candles that it stands in touches a gap).
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


def filler_candle(candles: Columns, timeframe_ms: int | None = None, previous: Columns | None = None) -> np.ndarray:
    """Flat candles without volume that were filled in while nobody could trade: their run touches a gap.

    That nobody traded is an observation, an outage is none, and where the exchange lost the candles beside it the
    quiet run is part of the outage (three of the four in the recorded BTC/USDT 1h; its public dumps hold one more,
    2020-12-21 14:00). A perpetual future's 79 quiet minutes in four complete months are candles. Outages without a gap
    show only in all markets of the exchange together: expectations/outages.py. Arguments as for `quiet_faults`.
    """
    return quiet_faults(candles, timeframe_ms, previous)["filler_candle"]


def moved_without_volume(candles: Columns) -> np.ndarray:
    """Candles whose price moved though their volume is 0: saved before the volume was known (last row of coinbase)."""
    high, low, volume = _numbers(candles, "high", "low", "volume")
    marks: np.ndarray = (high > low) & (volume == 0)
    return marks


def both_volumes(candles: Columns) -> np.ndarray:
    """Candles that have both volumes above zero, to hold against each other."""
    volume, quote_volume = _numbers(candles, "volume", "quote_volume")
    marks: np.ndarray = (volume > 0) & (quote_volume > 0)
    return marks


@np.errstate(all="ignore")  # of numbers whose ratio is none
def volume_faults(candles: Columns) -> dict[str, np.ndarray]:
    """Compare quote_volume / volume, the mean price paid, with the candle's own range (to 1 %).

    Returns:
        Columns swapped_volumes (the reverse ratio fits: the two stand in each other's place) and quote_volume_mismatch
        (neither fits). Both False near a price of 1, where both fit, and without volume.
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
