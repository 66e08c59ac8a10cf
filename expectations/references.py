"""Defects that only a second series of the same asset can show: timestamp lags, the unit of the volume, false opens.

The reference may come from another exchange or another collector and may have another timeframe. Where its closes are
equal to the batch's it is a copy of the same series, and values can be compared one by one.
Frames are normalised as in expectations/defects.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from expectations.defects import LEAP, VOLUME_NOISE, coherent, commonest_step, log_ratio

LONGEST_LAG_MS = 24 * 3_600_000
FEWEST_RETURNS = 100
MOST_RETURNS = 5_000
"""Newest returns that are compared: half a year of hours settles the lag, and bounds the time (0.3 s)."""

COPY_SHARE = 0.9
SAME_ASSET = 1.25
"""Prices of one asset on two exchanges do not differ by more than this factor for long."""

FALSE_OPEN_SHARE = 0.02


@dataclass(frozen=True)
class StampLag:
    """How late the timestamps of a series are against a reference.

    Attributes:
        lag_ms: Lag of the best correlation of returns; positive: the series' timestamps are later than the reference's.
        correlation: Correlation of returns at that lag.
        zero_correlation: Correlation at lag 0.
        timeframe_ms: Timeframe of the series.
        returns: Number of returns behind the correlation.
    """

    lag_ms: int
    correlation: float
    zero_correlation: float
    timeframe_ms: int
    returns: int

    @property
    def defect(self) -> str:
        """`close_stamped` (late by one timeframe), `shifted_stamps` (any other lag) or `""`.

        A lag is accepted where it explains the returns well (correlation above 0.7, which 100 returns of noise do not
        reach) and leaves less than half of the variance that is unexplained at lag 0.
        """
        explains = self.correlation > 0.7
        better = 1 - self.correlation**2 < 0.5 * (1 - self.zero_correlation**2)
        if self.lag_ms == 0 or not explains or not better:
            return ""
        return "close_stamped" if self.lag_ms == self.timeframe_ms else "shifted_stamps"


def timeframe_of(candles: pd.DataFrame) -> int | None:
    """The most frequent step between consecutive open times, in ms; None with fewer than two times."""
    return commonest_step(candles["open_ms"].to_numpy(dtype=float))


def _log_closes(candles: pd.DataFrame, timeframe_ms: int) -> pd.Series:
    """log(close) indexed by close time (ms), ascending and unique."""
    usable = candles[(candles["close"] > 0) & candles["open_ms"].notna()]
    moments = usable["open_ms"].to_numpy(dtype=np.int64) + timeframe_ms
    closes = pd.Series(np.log(usable["close"].to_numpy()), index=moments)
    return closes[~closes.index.duplicated(keep="last")].sort_index()


def _correlation(a: np.ndarray, b: np.ndarray) -> tuple[float, int]:
    both = np.isfinite(a) & np.isfinite(b)
    count = int(both.sum())
    if count < FEWEST_RETURNS:
        return float("nan"), count
    a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return (float(a @ b) / scale if scale > 0 else float("nan")), count


class _Returns:
    """Returns over `step` ms of closes on a time grid of `unit` ms, looked up for arrays of close times."""

    def __init__(self, closes: pd.Series, unit: int, step: int) -> None:
        moments = closes.index.to_numpy()
        self._start, self._unit, self._steps = int(moments[0]), unit, step // unit
        places, on_grid = np.divmod(moments - self._start, unit)
        self._values = np.full(int(places[-1]) + 1, np.nan)
        self._values[places[on_grid == 0]] = closes.to_numpy()[on_grid == 0]

    def _at(self, places: np.ndarray) -> np.ndarray:
        inside = (places >= 0) & (places < len(self._values))
        values: np.ndarray = np.where(inside, self._values[np.where(inside, places, 0)], np.nan)
        return values

    def ending(self, moments: np.ndarray) -> np.ndarray:
        places, off = np.divmod(moments - self._start, self._unit)
        places = np.where(off == 0, places, -1)
        ends: np.ndarray = self._at(places) - self._at(places - self._steps)
        return ends


def stamp_lag(candles: pd.DataFrame, reference: pd.DataFrame, timeframe_ms: int) -> StampLag | None:
    """Find the lag at which the returns of a series fit those of a reference best (cross-correlation).

    Both are indexed by close time. Returns over the coarser of the two timeframes are compared at every lag between
    -24 h and +24 h on the time grid of the finer one, so minutes can be compared with hours.

    Args:
        candles: The series, with its own open_ms; the newest `MOST_RETURNS` are used.
        reference: The trusted series.
        timeframe_ms: Timeframe of the series.

    Returns:
        None where fewer than 100 returns overlap.
    """
    reference_ms = timeframe_of(reference)
    if reference_ms is None or max(reference_ms, timeframe_ms) % min(reference_ms, timeframe_ms):
        return None
    unit, step = min(reference_ms, timeframe_ms), max(reference_ms, timeframe_ms)
    own, other = _log_closes(candles, timeframe_ms), _log_closes(reference, reference_ms)
    if own.empty or other.empty:
        return None
    # The coarser series is the anchor; the finer one is looked up at the anchor's close times, shifted by the lag.
    coarse, fine, sign = (other, own, 1) if reference_ms >= timeframe_ms else (own, other, -1)
    near = coarse[(coarse.index >= fine.index[0] - step) & (coarse.index <= fine.index[-1] + step)]
    moments = near.index.to_numpy()[-MOST_RETURNS:]
    if len(moments) < FEWEST_RETURNS:
        return None
    anchors, finer = _Returns(coarse, step, step).ending(moments), _Returns(fine, unit, step)
    lags = np.arange(-(LONGEST_LAG_MS // unit), LONGEST_LAG_MS // unit + 1) * unit
    found = [_correlation(anchors, finer.ending(moments + sign * lag)) for lag in lags]
    correlations = np.array([correlation for correlation, _ in found])
    if not np.isfinite(correlations).any():
        return None
    best = int(np.nanargmax(correlations))
    zero = float(np.nan_to_num(correlations[len(lags) // 2]))
    return StampLag(int(lags[best]), float(correlations[best]), zero, timeframe_ms, found[best][1])


@dataclass(frozen=True)
class VolumeUnit:
    """Volume of a series over the volume of a reference (median of common buckets), and the typical price.

    Where the volume counts the quote asset, the ratio is about the price times the ratio of the two exchanges' sizes.
    """

    ratio: float
    price: float

    @property
    def counts_quote(self) -> bool:
        """Whether the ratio is nearer to the price than to 1 (in logarithms). Undecided below a price of 20: False."""
        return self.price >= 20 and self.ratio > self.price**0.5


def volume_unit(candles: pd.DataFrame, reference: pd.DataFrame, timeframe_ms: int) -> VolumeUnit | None:
    """Compare volumes, summed over the coarser of the two timeframes.

    Returns:
        None with fewer than 24 common buckets, and where the prices show that the reference is of another asset.
    """
    step = max(timeframe_of(reference) or timeframe_ms, timeframe_ms)

    def sums(frame: pd.DataFrame) -> pd.DataFrame:
        timed = frame[frame["open_ms"].notna() & (frame["volume"] > 0)]
        return timed.groupby(timed["open_ms"] // step).agg({"volume": "sum", "close": "last"})

    pairs = sums(candles).join(sums(reference).add_suffix("_reference"), how="inner")
    price_ratio = float((pairs["close"] / pairs["close_reference"]).median())
    if len(pairs) < 24 or not 1 / SAME_ASSET < price_ratio < SAME_ASSET:
        return None
    ratio = float((pairs["volume"] / pairs["volume_reference"]).median())
    return VolumeUnit(ratio, float(pairs["close"].median()))


def aligned(candles: pd.DataFrame, reference: pd.DataFrame, lag_ms: int = 0) -> pd.DataFrame:
    """The reference's candle for each candle (NaN where there is none), its timestamps shifted by `lag_ms`."""
    values = reference[reference["open_ms"].notna()].drop_duplicates("open_ms", keep="last").set_index("open_ms")
    return values.reindex(candles["open_ms"] - lag_ms).set_axis(candles.index)


def same_source(candles: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether the closes of at least 24 common candles are equal (90 % of them, to 1e-6): a copy of the same series."""
    common = candles["close"].notna() & other["close"].notna()
    equal = (candles["close"] / other["close"] - 1).abs() < 1e-6
    return int(common.sum()) >= 24 and float(equal[common].mean()) >= COPY_SHARE


def price_was_there(
    prices: np.ndarray, opens: np.ndarray, before: np.ndarray, reference: pd.DataFrame, timeframe_ms: int
) -> np.ndarray:
    """Whether a reference of any timeframe confirms prices: its range, widened by a factor 1.25, contains them.

    Args:
        prices: A suspicious price per candle.
        opens: Open time of its candle, in ms.
        before: A trusted price of the previous candle. The reference must contain that too, or it is of another asset;
            without one (NaN) nothing is confirmed.
        reference: The trusted series.
        timeframe_ms: Length of a candle.
    """
    if not len(prices):
        return np.zeros(0, dtype=bool)
    step = max(timeframe_of(reference) or timeframe_ms, timeframe_ms)
    known = reference[coherent(reference) & reference["open_ms"].notna()]
    ranges = known.groupby(known["open_ms"] // step).agg({"low": "min", "high": "max"})

    def holds(prices: np.ndarray, moments: np.ndarray) -> np.ndarray:
        low, high = ranges.reindex(moments // step).to_numpy(dtype=float).T
        marks: np.ndarray = (prices >= low / SAME_ASSET) & (prices <= high * SAME_ASSET)
        return marks

    were: np.ndarray = holds(prices, opens) & holds(before, opens - timeframe_ms)
    return were


def contradicted(candles: pd.DataFrame, other: pd.DataFrame) -> np.ndarray:
    """Closes more than a factor 2 away from another copy of the same candle."""
    marks: np.ndarray = np.abs(log_ratio(candles["close"], other["close"])) > LEAP
    return marks


def false_open_against(candles: pd.DataFrame, other: pd.DataFrame) -> np.ndarray:
    """Opens more than 2 % away from the reference's where the closes agree to 0.1 %."""
    off = (candles["open"] / other["open"] - 1).abs() > FALSE_OPEN_SHARE
    return (off & ((candles["close"] / other["close"] - 1).abs() < 1e-3)).to_numpy()


def unfinished_against(candles: pd.DataFrame, other: pd.DataFrame) -> np.ndarray:
    """The newest candle, where the same source holds it with more volume and a wider range or another close.

    Only the newest: older smaller copies are revisions (binance-vision has some).
    """
    newest = candles["open_ms"] == candles["open_ms"].max()
    inside = (candles["high"] <= other["high"]) & (candles["low"] >= other["low"])
    moved_on = (candles[["high", "low", "close"]] != other[["high", "low", "close"]]).any(axis=1)
    less = candles["volume"] < other["volume"] * (1 - VOLUME_NOISE)
    marks: pd.Series = newest & inside & moved_on & less
    return marks.to_numpy()


def differing_columns(candles: pd.DataFrame, other: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which values differ from a copy of the same series: prices by more than 1e-6, volume by more than 0.5 %."""
    differing = {}
    for column in ("open", "high", "low", "close", "volume"):
        off = (candles[column] - other[column]).abs() / other[column].abs().clip(lower=np.finfo(float).tiny)
        differing[column] = (off > (5e-3 if column == "volume" else 1e-6)).to_numpy()
    return differing
