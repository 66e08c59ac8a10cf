"""Defects that a series shows by itself, found by name with plain pandas.

Each function takes a candle frame as `measures.normalised` gives it (one row a candle, any order; columns `open_ms` in
milliseconds since 1970 UTC, open, high, low, close, volume, optionally quote_volume and trades; missing values are NaN)
and returns a Series over the same index. They were shaped on recorded candles of real exchanges and of collectors; the
tests run them over those files.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

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


_PRICES = ["open", "high", "low", "close"]


def coherent(candles: pd.DataFrame) -> pd.Series:
    """Candles that could be: all values there, finite and of a possible size, open and close between low and high."""
    opened, high, low, close, volume = (candles[column].to_numpy(dtype=float) for column in (*_PRICES, "volume"))
    finite = np.isfinite([opened, high, low, close, volume]).all(axis=0)
    inside = (low <= np.minimum(opened, close)) & (high >= np.maximum(opened, close))
    possible = finite & (low > 0) & (volume >= 0) & inside & ~absurd_value(candles).to_numpy()
    return pd.Series(possible, index=candles.index)


def absurd_value(candles: pd.DataFrame) -> pd.Series:
    """Values that no market has: a finite price or volume of an impossible size, or a wick of a factor of a million.

    Prices above zero count from 1e-13 to 1e13, volumes from 1e-19 to 1e19; values that are missing, infinite, zero or
    negative are left to the rules of that name. 5e-324 and 1e300 are what broken parsers and uninitialised memory give.
    """
    marks = np.zeros(len(candles), dtype=bool)
    for column in (*_PRICES, "volume"):
        least, most = (LEAST_VOLUME, MOST_VOLUME) if column == "volume" else (LEAST_PRICE, MOST_PRICE)
        values = candles[column].to_numpy(dtype=float)
        marks |= np.isfinite(values) & (values > 0) & ((values < least) | (values > most))
    wick = np.maximum(*_wicks(candles))
    return pd.Series(marks | (np.isfinite(wick) & (wick > MOST_WICK)), index=candles.index)


def _wicks(candles: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """log(high / the higher one of open and close) and log(the lower one / low); of a missing one the other counts."""
    opened, high, low, close = (candles[column].to_numpy(dtype=float) for column in _PRICES)
    with np.errstate(invalid="ignore"):  # infinities
        top = _logarithms(high) - _logarithms(np.fmax(opened, close))
        bottom = _logarithms(np.fmin(opened, close)) - _logarithms(low)
    return top, bottom


def copy_kinds(candles: pd.DataFrame) -> pd.Series:
    """Name the copies of each open time that are not kept.

    Of several copies the kept one is, in this order: coherent (possible values, low <= open, close <= high), of the
    largest volume (to 0.1 %: a candle only grows, so a smaller copy was saved earlier), one that counts its trades, the
    last.

    Returns:
        `""` for single and kept rows; `identical`; `unfinished` (same open, inside the kept range, less volume);
        `similar` (prices within 1 %); `conflicting`.
    """
    kinds = pd.Series("", index=candles.index, dtype=object)
    repeated = candles["open_ms"].duplicated(keep=False) & candles["open_ms"].notna()
    if not repeated.any():
        return kinds
    copies = candles[repeated]
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
    kinds.loc[rest.index] = _compare_copies(rest, kept.loc[rest["open_ms"]].set_axis(rest.index))
    return kinds


def _compare_copies(rest: pd.DataFrame, kept: pd.DataFrame) -> pd.Series:
    prices = ["open", "high", "low", "close"]
    values = [*prices, "volume"]
    identical = ((rest[values] == kept[values]) | (rest[values].isna() & kept[values].isna())).all(axis=1)
    inside = (rest["high"] <= kept["high"]) & (rest["low"] >= kept["low"])
    moved_on = (rest[["high", "low", "close"]] != kept[["high", "low", "close"]]).any(axis=1)
    same_open = (rest["open"] / kept["open"] - 1).abs() < 1e-4
    less = rest["volume"] < kept["volume"] * (1 - VOLUME_NOISE)
    unfinished = same_open & inside & moved_on & less
    similar = ((rest[prices] / kept[prices] - 1).abs() <= PRICE_NOISE).all(axis=1)
    kinds = np.select([identical, unfinished, similar], ["identical", "unfinished", "similar"], "conflicting")
    return pd.Series(kinds, index=rest.index, dtype=object)


def neighbours(candles: pd.DataFrame, previous: pd.DataFrame | None, timeframe_ms: int) -> pd.DataFrame:
    """What stands before and after each candle; NaN where there is nothing.

    Args:
        candles: Normalised candles to compare: single and sound ones.
        previous: Normalised candles stored before, or None; where both hold a candle the batch's counts.
        timeframe_ms: Length of a candle.

    Returns:
        Columns previous_close, next_open, next_close (directly beside); last_close, following_open, following_close
        and second_close (the one after that), which may stand beyond a gap; `newest` and `after_newest` (the following
        one is the newest) of all; usual_volume, the median of those that traded, and usual_move, the median size of a
        close's move that is not none (NaN for fewer than `USUAL_RETURNS`), each the same for all rows.
    """
    known = candles if previous is None else pd.concat([previous[coherent(previous)], candles])
    known = known[known["open_ms"].notna()].drop_duplicates("open_ms", keep="last").sort_values("open_ms")
    times = known["open_ms"].to_numpy(dtype=float)
    place = np.searchsorted(times, candles["open_ms"].to_numpy(dtype=float))
    beside: dict[str, np.ndarray] = {}

    def at(column: str, step: int) -> np.ndarray:
        values = np.concatenate([[np.nan] * 2, known[column].to_numpy(dtype=float), [np.nan] * 2])
        return values[place + step + 2]

    opens = candles["open_ms"].to_numpy(dtype=float)
    is_direct = {step: np.abs(at("open_ms", step) - opens) == timeframe_ms for step in (-1, 1)}
    beside["last_close"] = at("close", -1)
    beside["following_open"], beside["following_close"] = at("open", 1), at("close", 1)
    beside["second_close"] = at("close", 2)
    beside["previous_close"] = np.where(is_direct[-1], beside["last_close"], np.nan)
    beside["next_open"] = np.where(is_direct[1], beside["following_open"], np.nan)
    beside["next_close"] = np.where(is_direct[1], beside["following_close"], np.nan)
    beside["newest"] = place == len(times) - 1
    beside["after_newest"] = place == len(times) - 2
    volumes = known["volume"].to_numpy(dtype=float)
    traded = volumes[volumes > 0]
    moves = np.abs(np.diff(np.log(known["close"].to_numpy(dtype=float))))
    moves = moves[moves > 0]
    beside["usual_volume"] = np.full(len(candles), np.median(traded) if len(traded) >= USUAL_RETURNS else np.nan)
    beside["usual_move"] = np.full(len(candles), np.median(moves) if len(moves) >= USUAL_RETURNS else np.nan)
    return pd.DataFrame(beside, index=candles.index)


def _logarithms(values: pd.Series | np.ndarray) -> np.ndarray:
    """log(values); NaN where one is missing or not above zero."""
    numbers = np.asarray(values, dtype=float)
    logs: np.ndarray = np.log(np.where(numbers > 0, numbers, np.nan))
    return logs


def log_ratio(a: pd.Series, b: pd.Series) -> pd.Series:
    """log(a / b); NaN where one is missing or not above zero."""
    # Of the logarithms, not of the ratio: that overflows from 1e308 to 1e-300.
    with np.errstate(invalid="ignore"):
        return pd.Series(_logarithms(a) - _logarithms(b), index=a.index)


def false_open(candles: pd.DataFrame, beside: pd.DataFrame) -> pd.Series:
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
    off = log_ratio(candles["open"], beside["last_close"])
    first = beside["last_close"].isna() & (own > 0) & ~_traded_at_open(candles)
    off = off.where(~first, log_ratio(candles["open"], beside["next_open"]))
    return (own.abs() > LEAP) & (off.abs() > LEAP) & (own * off > 0)


def _traded_at_open(candles: pd.DataFrame) -> pd.Series:
    """The mean price paid lies between low and open, more than `TRADED_SHARE` of the way off the low."""
    if "quote_volume" not in candles:
        return pd.Series(False, index=candles.index)
    mean = candles["quote_volume"] / candles["volume"].where(candles["volume"] > 0)
    share = (mean - candles["low"]) / (candles["open"] - candles["low"]).where(candles["open"] > candles["low"])
    return (share > TRADED_SHARE) & (share < 1)


def outlier_candle(candles: pd.DataFrame, beside: pd.DataFrame) -> pd.Series:
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
    usual = np.nan_to_num(USUAL_LEAPS * beside["usual_move"].to_numpy())
    leap, huge = np.maximum(usual, LEAP), np.maximum(usual, HUGE)
    is_first, newest = np.isnan(last), beside["newest"].to_numpy(dtype=bool)
    size = np.abs(close - last)
    size_after = np.where(is_first, np.abs(close - following), size)
    volume = candles["volume"].to_numpy(dtype=float)
    traded = volume > 0
    enters = traded & (np.abs(opened - last) <= size / 2)
    leaves = traded & (np.abs(following_open - close) <= size_after / 2)
    back = np.abs(following - last)

    is_direct, has_next = beside["previous_close"].notna().to_numpy(), beside["next_close"].notna().to_numpy()
    near = is_direct & has_next & (size > leap) & (back < leap) & ~leaves
    far = (size > huge) & (back < size / 2) & ~(enters & leaves)
    heavy = volume >= HEAVY * beside["usual_volume"].to_numpy()
    waits = newest & ((is_direct & (size > leap) & ~enters) | ((size > huge) & ~(enters & heavy)))
    settled = (np.abs(second - following) < size_after / 2) & ~beside["after_newest"].to_numpy(dtype=bool)
    first = is_first & (size_after > huge) & (np.abs(close - following_open) > huge) & settled
    return pd.Series(near | far | waits | first, index=candles.index)


def outlier_block(candles: pd.DataFrame, previous: pd.DataFrame | None) -> pd.Series:
    """Candles of a short block that no trade leads into or out of: a file of another market was read for a while.

    Two to `LONGEST_BLOCK` candles; the first opens and closes more than a factor 10 off the close before, the next one
    after the block opens more than a factor 10 off its last close, and within a factor 2 of the price before the block.
    A block at the end waits for its end, one that lasts is a new level.
    """
    known = candles if previous is None else pd.concat([previous[coherent(previous)], candles])
    known = known.assign(own=np.arange(len(known)) - (len(known) - len(candles)))
    known = known[known["open_ms"].notna()].drop_duplicates("open_ms", keep="last").sort_values("open_ms")
    opened, close = _logarithms(known["open"]), _logarithms(known["close"])
    marks = np.zeros(len(known), dtype=bool)
    broken = np.abs(opened[1:] - close[:-1]) > HUGE
    for start in np.flatnonzero(broken & (np.abs(close[1:] - close[:-1]) > HUGE)) + 1:
        ends = start + 1 + np.flatnonzero(broken[start : start + LONGEST_BLOCK])
        returned = ends[np.abs(opened[ends] - close[start - 1]) < LEAP]
        if len(returned) and returned[0] > start + 1:  # a single one is an outlier candle
            marks[start : returned[0]] = True
    found = np.zeros(len(candles), dtype=bool)
    own = known["own"].to_numpy()
    found[own[marks & (own >= 0)]] = True
    return pd.Series(found, index=candles.index)


def open_jump(candles: pd.DataFrame, beside: pd.DataFrame) -> pd.Series:
    """Opens more than 20 % away from the close directly before. True ones exist; the row is kept."""
    return log_ratio(candles["open"], beside["previous_close"]).abs() > JUMP


def long_wick(candles: pd.DataFrame) -> pd.Series:
    """Highs above twice, or lows below half of both open and close. True ones exist; the row is kept."""
    top, bottom = _wicks(candles)
    return pd.Series((top > LEAP) | (bottom > LEAP), index=candles.index)


def millisecond_opens(candles: pd.DataFrame) -> pd.Series:
    """`open_ms` of a normalised frame, or made from `open_time` of a raw one (naive is UTC); NaN where missing."""
    if "open_ms" in candles:
        return candles["open_ms"].astype("float64")
    times = pd.to_datetime(candles["open_time"], utc=True).astype("datetime64[ms, UTC]")
    return times.astype("int64").astype("float64").where(times.notna())


def commonest_step(opens: np.ndarray) -> int | None:
    """The commonest distance of neighbouring open times, in ms; None with fewer than two times."""
    steps = np.diff(np.unique(opens[np.isfinite(opens)].astype(np.int64)))
    return int(pd.Series(steps).mode().iloc[0]) if len(steps) else None


def quiet_candles(candles: pd.DataFrame) -> pd.Series:
    """Flat candles of volume 0: nobody traded, or nobody could."""
    flat = (candles["high"] == candles["low"]) & (candles["open"] == candles["close"])
    return flat & (candles["open"] == candles["low"]) & (candles["volume"] == 0)


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


def quiet_faults(
    candles: pd.DataFrame, timeframe_ms: int | None = None, previous: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Tell the quiet candles that are no observation from those that are.

    Args:
        candles: Normalised candles, or raw ones with `open_time`.
        timeframe_ms: Length of a candle; None: the commonest step of the open times.
        previous: Candles stored before, of the same form, or None; where both hold a candle the batch's counts.

    Returns:
        Columns false_filler (a quiet candle at another price than the close directly before) and filler_candle (the
        run of other quiet candles that it stands in touches a gap).
    """
    known = candles if previous is None else pd.concat([previous, candles])
    opens = pd.concat([millisecond_opens(frame) for frame in (previous, candles) if frame is not None]).to_numpy(float)
    step = timeframe_ms if timeframe_ms is not None else commonest_step(opens)
    marks = np.zeros((len(known), 2), dtype=bool)
    timed = np.flatnonzero(np.isfinite(opens))
    order = timed[np.argsort(opens[timed], kind="stable")]
    # Of copies the last stands for all.
    kept = order[np.append(np.diff(opens[order]) > 0, True)[: len(order)]]
    if step is not None and len(kept):
        quiet, closes = quiet_candles(known).to_numpy(bool)[kept], known["close"].to_numpy(float)[kept]
        times = opens[kept]
        false = quiet & direct_before(times, step) & apart(closes, np.append(np.nan, closes[:-1]))
        marks[kept, 0] = false
        marks[kept, 1] = quiet_runs_at_gaps(times, quiet & ~false, step)
    return pd.DataFrame(
        marks[len(known) - len(candles) :], index=candles.index, columns=["false_filler", "filler_candle"]
    )


def filler_candle(
    candles: pd.DataFrame, timeframe_ms: int | None = None, previous: pd.DataFrame | None = None
) -> pd.Series:
    """Flat candles without volume that were filled in while nobody could trade: their run touches a gap.

    That nobody traded is an observation, an outage is none, and where the exchange lost the candles beside it the
    quiet run is part of the outage (three of the four in the recorded BTC/USDT 1h; its public dumps hold one more,
    2020-12-21 14:00). A perpetual future's 79 quiet minutes in four complete months are candles. Outages without a gap
    show only in all markets of the exchange together: expectations/outages.py. Arguments as for `quiet_faults`.
    """
    return quiet_faults(candles, timeframe_ms, previous)["filler_candle"]


def moved_without_volume(candles: pd.DataFrame) -> pd.Series:
    """Candles whose price moved though their volume is 0: saved before the volume was known (last row of coinbase)."""
    return (candles["high"] > candles["low"]) & (candles["volume"] == 0)


def both_volumes(candles: pd.DataFrame) -> pd.Series:
    """Candles that have both volumes above zero, to hold against each other."""
    return (candles["volume"] > 0) & (candles["quote_volume"] > 0)


def volume_faults(candles: pd.DataFrame) -> pd.DataFrame:
    """Compare quote_volume / volume, the mean price paid, with the candle's own range (to 1 %).

    Returns:
        Columns swapped_volumes (the reverse ratio fits: the two stand in each other's place) and quote_volume_mismatch
        (neither fits). Both False near a price of 1, where both fit, and without volume.
    """
    traded = both_volumes(candles)
    with np.errstate(over="ignore"):
        ratio = candles["quote_volume"].where(traded) / candles["volume"].where(traded)
    low, high = candles["low"] * (1 - PRICE_NOISE), candles["high"] * (1 + PRICE_NOISE)
    fits = (ratio >= low) & (ratio <= high)
    reverse = (1 / ratio >= low) & (1 / ratio <= high)
    return pd.DataFrame(
        {
            "swapped_volumes": traded & reverse & ~fits,
            "quote_volume_mismatch": traded & ~reverse & ~fits,
        }
    )
