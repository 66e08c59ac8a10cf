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

JUMP = float(np.log(1.2))
PRICE_NOISE = 0.01
"""Copies of one candle agree to this share; so does the mean price paid with the candle's range."""

VOLUME_NOISE = 1e-3
"""Sources round volumes; copies whose volumes differ by less are equally complete."""


def _coherent(candles: pd.DataFrame) -> pd.Series:
    lowest = candles[["open", "close"]].min(axis=1)
    highest = candles[["open", "close"]].max(axis=1)
    return (candles["low"] > 0) & (candles["low"] <= lowest) & (candles["high"] >= highest)


def copy_kinds(candles: pd.DataFrame) -> pd.Series:
    """Name the copies of each open time that are not kept.

    Of several copies the kept one is, in this order: coherent (low <= open, close <= high), of the largest volume (to
    0.1 %: a candle only grows, so a smaller copy was saved earlier), one that counts its trades, the last.

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
            "coherent": _coherent(copies),
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
    """Closes and opens of the candles directly before and after each candle; NaN where there is none.

    Args:
        candles: Normalised batch without its rejected copies.
        previous: Normalised candles stored before, or None; where both hold a candle the batch's counts.
        timeframe_ms: Length of a candle; a neighbour further away is no neighbour.

    Returns:
        Columns previous_close, next_open, next_close, and `newest` (the last open time of all).
    """
    known = candles if previous is None else pd.concat([previous, candles])
    known = known[(known["close"] > 0) & (known["open"] > 0) & known["open_ms"].notna()]
    known = known.drop_duplicates("open_ms", keep="last").set_index("open_ms")[["open", "close"]]
    before = known.reindex(candles["open_ms"] - timeframe_ms)
    after = known.reindex(candles["open_ms"] + timeframe_ms)
    return pd.DataFrame(
        {
            "previous_close": before["close"].to_numpy(),
            "next_open": after["open"].to_numpy(),
            "next_close": after["close"].to_numpy(),
            "newest": (candles["open_ms"] == known.index.max()).to_numpy(),
        },
        index=candles.index,
    )


def log_ratio(a: pd.Series, b: pd.Series) -> pd.Series:
    """log(a / b); NaN where one is missing or not above zero."""
    return pd.Series(np.log((a.where(a > 0) / b.where(b > 0)).to_numpy(dtype=float)), index=a.index)


def false_open(candles: pd.DataFrame, beside: pd.DataFrame) -> pd.Series:
    """Opens that are off by more than a factor 2 both from their own close and from a neighbour.

    The neighbour is the close before; where that is missing (a first candle, as in the recorded binance-cdd) the open
    after. A true jump that stays is near its own close; a true flash crash within the candle shows in the low, not in
    the open.
    """
    own = log_ratio(candles["open"], candles["close"])
    other = beside["previous_close"].fillna(beside["next_open"])
    off = log_ratio(candles["open"], other)
    return (own.abs() > LEAP) & (off.abs() > LEAP) & (own * off > 0)


def outlier_candle(candles: pd.DataFrame, beside: pd.DataFrame) -> pd.Series:
    """Closes that move by more than a factor 2 and are not confirmed by the next candle.

    Not confirmed: the close after is back, or there is none yet. The newest candle is read again with the overlap of
    the next update, and passes then if its successor stands where it stood.
    """
    leap = log_ratio(candles["close"], beside["previous_close"]).abs() > LEAP
    back = log_ratio(beside["next_close"], beside["previous_close"]).abs() < LEAP
    return leap & (back | beside["newest"])


def open_jump(candles: pd.DataFrame, beside: pd.DataFrame) -> pd.Series:
    """Opens more than 20 % away from the close directly before. True ones exist; the row is kept."""
    return log_ratio(candles["open"], beside["previous_close"]).abs() > JUMP


def long_wick(candles: pd.DataFrame) -> pd.Series:
    """Highs above twice, or lows below half of both open and close. True ones exist; the row is kept."""
    top = log_ratio(candles["high"], candles[["open", "close"]].max(axis=1))
    bottom = log_ratio(candles[["open", "close"]].min(axis=1), candles["low"])
    return (top > LEAP) | (bottom > LEAP)


def _flat(candles: pd.DataFrame) -> pd.Series:
    return (candles["high"] == candles["low"]) & (candles["open"] == candles["close"])


def filler_candle(candles: pd.DataFrame) -> pd.Series:
    """Flat candles without volume: filled in by the exchange or a collector while nobody could trade.

    The clean recorded Binance series hold a few (four in BTC/USDT 1h), each at the edge of an outage; its public dumps
    hold one more (2020-12-21 14:00) where the exchange's own API has a gap.
    """
    return _flat(candles) & (candles["open"] == candles["low"]) & (candles["volume"] == 0)


def moved_without_volume(candles: pd.DataFrame) -> pd.Series:
    """Candles whose price moved though their volume is 0: saved before the volume was known (last row of coinbase)."""
    return (candles["high"] > candles["low"]) & (candles["volume"] == 0)


def volume_faults(candles: pd.DataFrame) -> pd.DataFrame:
    """Compare quote_volume / volume, the mean price paid, with the candle's own range (to 1 %).

    Returns:
        Columns swapped_volumes (the reverse ratio fits: the two stand in each other's place) and quote_volume_mismatch
        (neither fits). Both False near a price of 1, where both fit, and without volume.
    """
    traded = (candles["volume"] > 0) & (candles["quote_volume"] > 0)
    ratio = candles["quote_volume"].where(traded) / candles["volume"].where(traded)
    low, high = candles["low"] * (1 - PRICE_NOISE), candles["high"] * (1 + PRICE_NOISE)
    fits = (ratio >= low) & (ratio <= high)
    reverse = (1 / ratio >= low) & (1 / ratio <= high)
    return pd.DataFrame(
        {"swapped_volumes": traded & reverse & ~fits, "quote_volume_mismatch": traded & ~reverse & ~fits}
    )
