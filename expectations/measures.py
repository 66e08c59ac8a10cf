"""The measure frame: the input of Great Expectations.

It has one row per row of the batch, in the batch's order: the candle's values as numbers, distances in milliseconds,
and one Boolean column per defect that is found by comparing rows or series. A defect of the whole series (timestamp
lag, unit of the volume) marks all rows.
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
    """The measure frame, and how many rows each rule checked.

    Attributes:
        frame: One row per row of the batch.
        unchecked: The reason for each rule that could not be applied.
        seen: Number of rows checked, for rules that check only some; the others check every row.
    """

    frame: pd.DataFrame
    unchecked: dict[str, str] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def rows_checked(self, rule: str) -> int:
        """How many rows a rule checked; 0 where it could not be applied."""
        return 0 if rule in self.unchecked else self.seen.get(rule, len(self.frame))


def normalised(candles: pd.DataFrame, whose: str) -> pd.DataFrame:
    """Candles as plain numbers, index 0..n-1, with `open_ms` (float64, NaN where missing) and `open_time` (UTC).

    Args:
        candles: Columns open_time (datetimes; naive ones are UTC), open, high, low, close, volume.
        whose: Name of the frame in error messages.

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
    columns = {"open_time": times, "open_ms": _milliseconds(times)}
    columns.update({column: _floats(candles[column]) for column in (*VALUES, *OPTIONAL) if column in candles})
    return pd.DataFrame(columns)


def _milliseconds(times: pd.Series) -> np.ndarray:
    opens = times.to_numpy(dtype="datetime64[ms]")
    return np.where(np.isnat(opens), np.nan, opens.astype("int64").astype("float64"))


def _floats(values: pd.Series) -> np.ndarray:
    if values.dtype == np.float64:
        return values.to_numpy()
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)


#: Columns of the measure frame while it is built; adding them to a frame is many times slower.
_Columns = dict[str, np.ndarray]


def _columns_of(frame: pd.DataFrame) -> _Columns:
    return {str(column): frame[column].to_numpy() for column in frame if column != "open_time"}


def _rows(columns: _Columns, places: np.ndarray) -> _Columns:
    return {column: values[places] for column, values in columns.items()}


@np.errstate(all="ignore")  # values are arbitrary
def measure(
    batch: pd.DataFrame,
    market: MarketContext,
    now_ms: int,
    previous: pd.DataFrame | None,
    reference: pd.DataFrame | None,
    limits: GateLimits,
) -> Measures:
    """Build the measure frame of a batch from raw frames; see `gate.check_batch` for the arguments."""
    frame = normalised(batch, "batch")
    before = None if previous is None or previous.empty else normalised(previous, "previous candles")
    trusted = None if reference is None or reference.empty else normalised(reference, "reference")
    building = _Building(frame, _columns_of(frame))
    columns = building.columns
    _measure_times(columns, market, now_ms, limits)
    columns["missing"] = _missing_names(columns)
    columns["absurd_value"] = defects.absurd_value(columns)
    columns["copy_kind"] = defects.copy_kinds(columns)
    columns["repeated_open_time"] = columns["copy_kind"] != ""
    columns["conflicting_copies"] = columns["copy_kind"] == "conflicting"
    _measure_volumes(building)
    _measure_unfinished(columns, market, now_ms)
    against = _measure_against(building, before, trusted, market)
    _measure_prices(building, before, market, against)
    _count_rows(building)
    whole = pd.DataFrame({"open_time": frame["open_time"], **columns})
    return Measures(whole, building.unchecked, building.seen)


@dataclass(frozen=True)
class _Building:
    """Measures under construction: the batch's candles, the columns of the measure frame so far, and the counts."""

    candles: pd.DataFrame
    columns: _Columns
    unchecked: dict[str, str] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def fill(self, value: object, *names: str) -> None:
        """Set columns to a constant."""
        dtype = object if isinstance(value, str) else None
        self.columns.update({name: np.full(len(self.candles), value, dtype=dtype) for name in names})


@dataclass(frozen=True)
class _Against:
    """The comparison of single rows with a reference (masks over the measure frame), and the reference itself.

    Attributes:
        trusted: The reference, or None.
        confirmed: It has the same four prices.
        false_open: Its close agrees but its open differs.
        contradicted: It is a copy of the same series with another close.
    """

    trusted: pd.DataFrame | None
    confirmed: np.ndarray
    false_open: np.ndarray
    contradicted: np.ndarray


def _measure_times(columns: _Columns, market: MarketContext, now_ms: int, limits: GateLimits) -> None:
    opens = columns["open_ms"]
    columns["raster_offset_ms"] = opens % market.timeframe_ms
    columns["opens_in_ms"] = opens - now_ms
    columns["future_candle"] = opens > now_ms
    # Against the latest so far, not the row before: a missing time must not hide a step back.
    latest = np.fmax.accumulate(opens)
    columns["step_ms"] = np.nan_to_num(opens - np.append(np.nan, latest)[: len(opens)])
    newest = latest[-1] if len(latest) else np.nan
    late = (now_ms - newest - market.timeframe_ms) / market.timeframe_ms
    columns["stale_timeframes"] = np.full(len(opens), np.round(late, 2))
    columns["stale"] = np.full(len(opens), late > limits.stale_timeframes)


def _missing_names(columns: _Columns) -> np.ndarray:
    names = np.full(len(columns["open_ms"]), "", dtype=object)
    for column, values in (("open_time", "open_ms"), *zip(VALUES, VALUES, strict=True)):
        names[np.isnan(columns[values])] += column + " "
    return names


_PRICE_FAULTS = ("false_open", "outlier_candle", "false_filler", "filler_candle")
_NEIGHBOURS = ["previous_close", "last_close", "following_close"]


def _sound(columns: _Columns) -> np.ndarray:
    """Rows without a defect of their own, which are compared with each other."""
    at_fault = columns["repeated_open_time"] | columns["unfinished_candle"] | columns["future_candle"]
    on_grid = columns["raster_offset_ms"] == 0
    sound: np.ndarray = defects.coherent(columns) & on_grid & ~at_fault & ~columns["swapped_volumes"]
    return sound


def _measure_prices(building: _Building, before: pd.DataFrame | None, market: MarketContext, against: _Against) -> None:
    """Find defects that only neighbours show; found rows are removed as neighbours and the rest is compared again.

    At the end the remaining rows have no such defect among themselves: the gate accepts the rows it kept.
    """
    columns = building.columns
    building.fill(False, *_PRICE_FAULTS)
    building.fill(np.nan, *_NEIGHBOURS)  # the values a row was compared with, for its detail
    building.fill("the previous or next candle disagrees too", "open_evidence")
    columns["open_evidence"][against.false_open] = "the reference has a different open"
    kept = _sound(columns)
    building.seen.update(dict.fromkeys(_PRICE_FAULTS, int(kept.sum())))
    own_time = ~np.isnan(columns["open_ms"]) & ~columns["repeated_open_time"]
    candles, stored = _columns_of(building.candles), None if before is None else _columns_of(before)
    while True:  # each iteration leaves fewer rows
        places = np.flatnonzero(kept)
        rows = _rows(candles, places)
        around = defects.neighbours(rows, stored, market.timeframe_ms)
        found = _leaps(rows, around, stored, market, against, places)
        if not any(marks.any() for marks in found.values()):
            # Quiet candles come last: after an outlier they would seem to be off the previous price.
            found = defects.quiet_faults(rows, market.timeframe_ms, stored)
        out = np.logical_or.reduce(list(found.values()))
        if not out.any():
            break
        for name, marks in found.items():
            columns[name][places] = marks
        for name in _NEIGHBOURS:
            columns[name][places[out]] = around[name][out]
        kept[places[out]] = False
    for name in _NEIGHBOURS:
        columns[name][places] = around[name]
    building.seen["open_jump"] = int((~np.isnan(columns["previous_close"][kept])).sum())
    building.seen["long_wick"] = int(own_time.sum())
    columns["open_jump"] = kept & defects.open_jump(columns, columns)
    columns["long_wick"] = own_time & defects.long_wick(columns)


def _leaps(
    rows: _Columns,
    around: _Columns,
    stored: _Columns | None,
    market: MarketContext,
    against: _Against,
    places: np.ndarray,
) -> _Columns:
    """False opens and outliers among the rows, which are at positions `places` of the batch."""
    outlier = defects.outlier_candle(rows, around) | defects.outlier_block(rows, stored)
    found = {
        "false_open": defects.false_open(rows, around) & ~against.confirmed[places],
        "outlier_candle": outlier & ~against.confirmed[places],
    }
    if against.trusted is not None:
        for rule, column in (("false_open", "open"), ("outlier_candle", "close")):
            suspicious = found[rule]
            prices, opens = rows[column][suspicious], rows["open_ms"][suspicious]
            last = around["last_close"][suspicious]
            was = references.price_was_there(prices, opens, last, against.trusted, market.timeframe_ms)
            found[rule][suspicious] = ~was
    found["false_open"] |= against.false_open[places]
    found["outlier_candle"] |= against.contradicted[places]
    return found


def _count_rows(building: _Building) -> None:
    """Count the rows that have the values a rule needs, for rules that cannot check every row."""
    there = {column: ~np.isnan(building.columns[column]) for column in VALUES}
    timed = ~np.isnan(building.columns["open_ms"])
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
    building.seen.update({rule: int(mask.sum()) for rule, mask in masks.items()})


def _measure_volumes(building: _Building) -> None:
    if "quote_volume" in building.columns:
        faults = defects.volume_faults(building.columns)
        both = int(defects.both_volumes(building.columns).sum())
        building.columns.update(faults)
        building.seen.update(dict.fromkeys(faults, both))
        return
    rules = ("swapped_volumes", "quote_volume_mismatch")
    building.fill(False, *rules)
    building.unchecked.update(dict.fromkeys(rules, "no quote_volume"))


def _measure_unfinished(columns: _Columns, market: MarketContext, now_ms: int) -> None:
    opens = columns["open_ms"]
    by_clock = (opens <= now_ms) & (opens + market.timeframe_ms > now_ms)
    evidence = np.full(len(opens), "", dtype=object)
    evidence[defects.moved_without_volume(columns)] = "the price moved but the volume is 0"
    evidence[columns["copy_kind"] == "unfinished"] = "another copy has more volume and a wider range"
    evidence[by_clock] = "closes after now"
    columns["unfinished_evidence"] = evidence
    columns["unfinished_candle"] = evidence != ""


SERIES_RULES = ("shifted_stamps", "close_stamped", "volume_unit", "differs_from_reference")


def _measure_against(
    building: _Building, before: pd.DataFrame | None, trusted: pd.DataFrame | None, market: MarketContext
) -> _Against:
    candles = building.candles
    nothing = np.zeros(len(candles), dtype=bool)
    building.fill(False, *SERIES_RULES)
    building.fill("", "differing")
    if trusted is None or candles.empty:
        building.unchecked.update(dict.fromkeys(SERIES_RULES, "no reference"))
        return _Against(None, nothing, nothing, nothing)
    kept = candles[~building.columns["repeated_open_time"]]
    # A short update is evaluated together with the candles before it, a long batch on its own.
    enough = len(kept) > references.FEWEST_RETURNS
    history = kept if before is None or enough else pd.concat([before, kept])
    lag = references.stamp_lag(history, trusted, market.timeframe_ms)
    if lag is None:
        note = f"fewer than {references.FEWEST_RETURNS} returns in common with the reference"
        building.unchecked.update({"shifted_stamps": note, "close_stamped": note})
    else:
        building.fill(lag.lag_ms, "lag_ms")
        building.fill(round(lag.correlation, 4), "lag_correlation")
        building.fill(round(lag.zero_correlation, 4), "zero_correlation")
        if lag.defect:
            building.fill(True, lag.defect)
    _measure_unit(building, history, trusted, market)
    if references.timeframe_of(trusted) != market.timeframe_ms:
        building.unchecked["differs_from_reference"] = "the reference has another timeframe"
        return _Against(trusted, nothing, nothing, nothing)
    return _measure_values(building, trusted, lag.lag_ms if lag and lag.defect else 0)


def _measure_unit(building: _Building, history: pd.DataFrame, trusted: pd.DataFrame, market: MarketContext) -> None:
    unit = references.volume_unit(history, trusted, market.timeframe_ms)
    if unit is None:
        building.unchecked["volume_unit"] = "fewer than 24 candles in common with the reference, or another asset"
        return
    building.fill(unit.ratio, "volume_ratio")
    building.fill(unit.price, "typical_price")
    building.fill(unit.counts_quote, "volume_unit")


def _measure_values(building: _Building, trusted: pd.DataFrame, lag_ms: int) -> _Against:
    """Compare values with the reference's one by one, if it is a copy of the same series."""
    candles, columns = building.candles, building.columns
    other = references.aligned(candles, trusted, lag_ms)
    single = ~columns["repeated_open_time"]
    nothing = np.zeros(len(candles), dtype=bool)
    # A candle that the reference has too is genuine.
    near = (candles[list(PRICES)] / other[list(PRICES)] - 1).abs() < defects.PRICE_NOISE
    confirmed = single & near.all(axis=1).to_numpy()
    if not references.same_source(candles, other):
        building.unchecked["differs_from_reference"] = "the reference is not a copy of the same series"
        return _Against(trusted, confirmed, nothing, nothing)
    false_open = references.false_open_against(candles, other) & single
    contradicted = references.contradicted(candles, other) & single
    unfinished = references.unfinished_against(candles, other) & single
    columns["unfinished_evidence"][unfinished] = "the reference has more volume and another range or close"
    columns["unfinished_candle"] |= unfinished
    differing = references.differing_columns(candles, other)
    for column in VALUES:
        columns["differing"][differing[column]] += column + " "
    columns["differs_from_reference"] = np.logical_or.reduce(list(differing.values())) & single
    building.seen["differs_from_reference"] = int(other["close"].notna().sum())
    return _Against(trusted, confirmed, false_open, contradicted)
