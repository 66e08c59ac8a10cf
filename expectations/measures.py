"""The measure frame: what Great Expectations looks at.

It has one row a row of the batch, in the batch's order, with the candle's values as numbers, and beside them what the
rules need: distances in milliseconds, and one Boolean column for each defect that is found by comparing rows or series.
A defect of the whole series (late stamps, unit of volume) marks all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from expectations import defects, references
from expectations.report import GateLimits, MarketContext
from expectations.rules import PRICES, VALUES
from ml.errors import CandleDataError

OPTIONAL = ("quote_volume", "trades")


@dataclass(frozen=True)
class Measures:
    """The measure frame, and what each rule had to look at.

    Attributes:
        frame: One row a row of the batch.
        unchecked: For each rule that could not be applied the reason.
        seen: For rules that look at some rows only how many those are; the others look at every row.
    """

    frame: pd.DataFrame
    unchecked: dict[str, str] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def rows_checked(self, rule: str) -> int:
        """How many rows a rule looked at; 0 where it could not be applied."""
        return 0 if rule in self.unchecked else self.seen.get(rule, len(self.frame))


def normalised(candles: pd.DataFrame, whose: str) -> pd.DataFrame:
    """Candles as plain numbers, index 0..n-1, `open_ms` (float64, NaN where missing) beside `open_time` (UTC).

    Args:
        candles: Columns open_time (datetimes; naive ones are UTC), open, high, low, close, volume.
        whose: Name of the frame in the error's message.

    Raises:
        CandleDataError: a column is missing, or open_time holds no times.
    """
    missing = [column for column in ("open_time", *VALUES) if column not in candles]
    if missing:
        raise CandleDataError(
            f"The {whose} has no column {', '.join(missing)}. Give it open_time and {' '.join(VALUES)}."
        )
    times = candles["open_time"].reset_index(drop=True)
    if pd.api.types.is_numeric_dtype(times) and len(times):
        raise CandleDataError(f"open_time of the {whose} holds numbers. Give it datetimes (UTC).")
    times = pd.to_datetime(times, utc=True, errors="coerce").astype("datetime64[ms, UTC]")
    frame = pd.DataFrame({"open_time": times})
    frame["open_ms"] = times.astype("int64").astype("float64").where(times.notna())
    for column in (*VALUES, *OPTIONAL):
        if column in candles:
            numbers = pd.to_numeric(candles[column], errors="coerce").reset_index(drop=True)
            frame[column] = numbers.astype("float64")
    return frame


def measure(
    batch: pd.DataFrame,
    market: MarketContext,
    now_ms: int,
    previous: pd.DataFrame | None,
    reference: pd.DataFrame | None,
    limits: GateLimits,
) -> Measures:
    """Build the measure frame of a batch. The frames are raw ones; see `gate.check_batch` for the arguments."""
    frame = normalised(batch, "batch")
    before = None if previous is None or previous.empty else normalised(previous, "previous candles")
    trusted = None if reference is None or reference.empty else normalised(reference, "reference")
    measures = Measures(frame)
    _measure_times(frame, market, now_ms, limits)
    frame["missing"] = _missing_names(frame)
    frame["absurd_value"] = defects.absurd_value(frame)
    frame["copy_kind"] = defects.copy_kinds(frame)
    frame["repeated_open_time"] = frame["copy_kind"] != ""
    frame["conflicting_copies"] = frame["copy_kind"] == "conflicting"
    _measure_volumes(measures)
    _measure_unfinished(frame, market, now_ms)
    against = _measure_against(measures, before, trusted, market)
    _measure_prices(measures, before, market, against)
    _count_rows(measures)
    return measures


@dataclass(frozen=True)
class _Against:
    """What a reference says of single rows (masks over the measure frame), and the reference itself.

    Attributes:
        trusted: The reference, or None.
        confirmed: It has the same four prices.
        false_open: It has another open though its close agrees.
        contradicted: It is a copy of the same series with another close.
    """

    trusted: pd.DataFrame | None
    confirmed: pd.Series
    false_open: pd.Series
    contradicted: pd.Series


def _measure_times(frame: pd.DataFrame, market: MarketContext, now_ms: int, limits: GateLimits) -> None:
    opens = frame["open_ms"]
    frame["raster_offset_ms"] = opens % market.timeframe_ms
    frame["opens_in_ms"] = opens - now_ms
    frame["future_candle"] = opens > now_ms
    # Against the latest so far, not the row before: a missing time between two rows hides nothing.
    frame["step_ms"] = (opens - opens.cummax().shift().ffill()).fillna(0.0)
    late = (now_ms - opens.max() - market.timeframe_ms) / market.timeframe_ms
    frame["stale_timeframes"] = round(late, 2)
    frame["stale"] = late > limits.stale_timeframes


def _missing_names(frame: pd.DataFrame) -> pd.Series:
    names = np.full(len(frame), "", dtype=object)
    for column in ("open_time", *VALUES):
        names[frame[column].isna().to_numpy()] += column + " "
    return pd.Series([name.strip() for name in names], index=frame.index, dtype=object)


_PRICE_FAULTS = ("false_open", "outlier_candle", "false_filler", "filler_candle")
_NEIGHBOURS = ["previous_close", "last_close", "following_close"]


def _sound(frame: pd.DataFrame) -> pd.Series:
    """Rows without a fault of their own: these are compared with each other."""
    at_fault = frame["repeated_open_time"] | frame["unfinished_candle"] | frame["future_candle"]
    return defects.coherent(frame) & (frame["raster_offset_ms"] == 0) & ~at_fault & ~frame["swapped_volumes"]


def _measure_prices(measures: Measures, before: pd.DataFrame | None, market: MarketContext, against: _Against) -> None:
    """Find what only neighbours show. What is found out of place is no neighbour, so the rest is compared again.

    In the end the rows that are left have no such fault among themselves: the gate finds none in what it kept.
    """
    frame = measures.frame
    for rule in _PRICE_FAULTS:
        frame[rule] = False
    frame["open_evidence"] = "candle before or after disagrees too"
    frame.loc[against.false_open, "open_evidence"] = "the reference has another"
    kept = _sound(frame).to_numpy(copy=True)
    measures.seen.update(dict.fromkeys(_PRICE_FAULTS, int(kept.sum())))
    own_time = frame["open_ms"].notna() & ~frame["repeated_open_time"]
    candles = frame[[column for column in ("open_ms", *VALUES, *OPTIONAL) if column in frame]]
    noted = np.full((len(frame), len(_NEIGHBOURS)), np.nan)  # what a row was compared with, for its detail
    while True:  # each turn leaves fewer rows
        places = np.flatnonzero(kept)
        rows = candles.iloc[places]
        beside = defects.neighbours(rows, before, market.timeframe_ms)
        found = _leaps(rows, beside, before, market, against)
        if not found.any(axis=None):
            # Quiet candles are judged last: beside a price out of place they would seem to be off the price before.
            found = defects.quiet_faults(rows, market.timeframe_ms, before)
        out = found.to_numpy().any(axis=1)
        if not out.any():
            break
        for name in found:
            frame.loc[rows.index, str(name)] = found[name]
        noted[places[out]] = beside[_NEIGHBOURS].to_numpy()[out]
        kept[places[out]] = False
    noted[places] = beside[_NEIGHBOURS].to_numpy()
    frame[_NEIGHBOURS] = noted
    measures.seen["open_jump"] = int(frame.loc[kept, "previous_close"].notna().sum())
    measures.seen["long_wick"] = int(own_time.sum())
    frame["open_jump"] = kept & defects.open_jump(frame, frame)
    frame["long_wick"] = own_time & defects.long_wick(frame)


def _leaps(
    rows: pd.DataFrame, beside: pd.DataFrame, before: pd.DataFrame | None, market: MarketContext, against: _Against
) -> pd.DataFrame:
    outlier = defects.outlier_candle(rows, beside) | defects.outlier_block(rows, before)
    found = pd.DataFrame(
        {
            "false_open": defects.false_open(rows, beside) & ~against.confirmed.loc[rows.index],
            "outlier_candle": outlier & ~against.confirmed.loc[rows.index],
        }
    )
    if against.trusted is not None:
        for rule, column in (("false_open", "open"), ("outlier_candle", "close")):
            doubted = rows[found[rule]]
            last = beside.loc[doubted.index, "last_close"]
            was = references.price_was_there(doubted, column, last, against.trusted, market.timeframe_ms)
            found.loc[doubted.index, rule] = ~was
    found["false_open"] |= against.false_open.loc[rows.index]
    found["outlier_candle"] |= against.contradicted.loc[rows.index]
    return found


def _count_rows(measures: Measures) -> None:
    """Count the rows that have what a rule looks at, for rules that some rows give nothing to look at."""
    frame = measures.frame
    there = {column: frame[column].notna().to_numpy() for column in VALUES}
    timed = frame["open_ms"].notna().to_numpy()
    priced = np.logical_or.reduce([there[column] for column in PRICES])
    masks = {
        "not_finite": priced | there["volume"],
        "absurd_value": priced | there["volume"],
        "price_not_positive": priced,
        "negative_volume": there["volume"],
        "high_below_low": there["high"] & there["low"],
        "open_outside_range": there["open"] & (there["high"] | there["low"]),
        "close_outside_range": there["close"] & (there["high"] | there["low"]),
    }
    timely = ("off_raster", "future_candle", "unfinished_candle", "repeated_open_time", "conflicting_copies")
    masks.update(dict.fromkeys((*timely, "not_ascending", "stale"), timed))
    measures.seen.update({rule: int(mask.sum()) for rule, mask in masks.items()})


def _measure_volumes(measures: Measures) -> None:
    frame = measures.frame
    if "quote_volume" in frame:
        faults = defects.volume_faults(frame)
        both = int(defects.both_volumes(frame).sum())
        for rule in faults:
            frame[str(rule)] = faults[rule]
            measures.seen[str(rule)] = both
        return
    for rule in ("swapped_volumes", "quote_volume_mismatch"):
        frame[rule] = False
        measures.unchecked[rule] = "no quote_volume"


def _measure_unfinished(frame: pd.DataFrame, market: MarketContext, now_ms: int) -> None:
    opens = frame["open_ms"]
    by_clock = (opens <= now_ms) & (opens + market.timeframe_ms > now_ms)
    evidence = pd.Series("", index=frame.index, dtype=object)
    evidence[defects.moved_without_volume(frame)] = "the price moved but the volume is 0"
    evidence[frame["copy_kind"] == "unfinished"] = "another copy has more volume and a wider range"
    evidence[by_clock] = "closes after now"
    frame["unfinished_evidence"] = evidence
    frame["unfinished_candle"] = evidence != ""


SERIES_RULES = ("shifted_stamps", "close_stamped", "volume_unit", "differs_from_reference")


def _measure_against(
    measures: Measures, before: pd.DataFrame | None, trusted: pd.DataFrame | None, market: MarketContext
) -> _Against:
    frame = measures.frame
    nothing = pd.Series(False, index=frame.index)
    for rule in SERIES_RULES:
        frame[rule] = False
    frame["differing"] = ""
    if trusted is None or frame.empty:
        measures.unchecked.update(dict.fromkeys(SERIES_RULES, "no reference"))
        return _Against(None, nothing, nothing, nothing)
    kept = frame[~frame["repeated_open_time"]]
    # A short update is judged together with the candles before it, a long batch by itself.
    enough = len(kept) > references.FEWEST_RETURNS
    history = kept if before is None or enough else pd.concat([before, kept])
    lag = references.stamp_lag(history, trusted, market.timeframe_ms)
    if lag is None:
        note = f"fewer than {references.FEWEST_RETURNS} returns in common with the reference"
        measures.unchecked.update({"shifted_stamps": note, "close_stamped": note})
    else:
        frame["lag_ms"], frame["lag_correlation"] = lag.lag_ms, round(lag.correlation, 4)
        frame["zero_correlation"] = round(lag.zero_correlation, 4)
        if lag.defect:
            frame[lag.defect] = True
    _measure_unit(measures, history, trusted, market)
    if references.timeframe_of(trusted) != market.timeframe_ms:
        measures.unchecked["differs_from_reference"] = "the reference has another timeframe"
        return _Against(trusted, nothing, nothing, nothing)
    return _measure_values(measures, trusted, lag.lag_ms if lag and lag.defect else 0)


def _measure_unit(measures: Measures, history: pd.DataFrame, trusted: pd.DataFrame, market: MarketContext) -> None:
    unit = references.volume_unit(history, trusted, market.timeframe_ms)
    if unit is None:
        measures.unchecked["volume_unit"] = "fewer than 24 candles in common with the reference, or another asset"
        return
    measures.frame["volume_ratio"], measures.frame["typical_price"] = unit.ratio, unit.price
    measures.frame["volume_unit"] = unit.counts_quote


def _measure_values(measures: Measures, trusted: pd.DataFrame, lag_ms: int) -> _Against:
    """Hold values against the reference's one by one, if it is a copy of the same series."""
    frame = measures.frame
    other = references.aligned(frame, trusted, lag_ms)
    single = ~frame["repeated_open_time"]
    nothing = pd.Series(False, index=frame.index)
    # What the reference knows too did happen.
    confirmed = single & ((frame[list(PRICES)] / other[list(PRICES)] - 1).abs() < defects.PRICE_NOISE).all(axis=1)
    if not references.same_source(frame, other):
        measures.unchecked["differs_from_reference"] = "the reference is not a copy of the same series"
        return _Against(trusted, confirmed, nothing, nothing)
    false_open = references.false_open_against(frame, other) & single
    contradicted = references.contradicted(frame, other) & single
    unfinished = references.unfinished_against(frame, other) & single
    frame.loc[unfinished, "unfinished_evidence"] = "the reference has more volume and another range or close"
    frame["unfinished_candle"] |= unfinished
    differing = references.differing_columns(frame, other)
    for column in VALUES:
        frame.loc[differing[column], "differing"] += column + " "
    frame["differs_from_reference"] = differing.any(axis=1) & single
    measures.seen["differs_from_reference"] = int(other["close"].notna().sum())
    return _Against(trusted, confirmed, false_open, contradicted)
