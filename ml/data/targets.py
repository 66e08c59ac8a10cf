"""Targets: quantities to learn from the candles that follow a row, and conversions for the next candle.

The horizon of a target, the number of future candles it needs, is declared here; its labels are documented in
`fct_labels.yml`. A label of the next candle is the logarithm of its high, low or close over the last close: prices of
any size and year become comparable, and an uninformed model predicts zero for the close.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Kind = Literal["candle", "path", "summary", "events", "classes"]

LABELS = ("high", "low", "close")
HIGH, LOW, CLOSE = range(3)
NEXT_CANDLE = "next_candle"


@dataclass(frozen=True)
class Target:
    """A target of test cases.

    Attributes:
        columns: its columns in `fct_labels`.
        horizon: candles from the row to the last one that the labels need. The labels in dbt use the same horizon
            (macro `label_horizon`), and the purge of the splits depends on it.
        available_at: the column of `fct_labels` with the time from which the labels are known. An export is refused if
            that is later than the horizon implies: train rows would contain information from the evaluated rows.
        kind: "candle" is high, low and close of one future candle, as log of the price over the row's close: the only
            kind that is ranked, promoted and served. "path" is one value per candle, "summary" a few figures about the
            horizon, "events" 0 or 1 for events within it, "classes" a class as a whole number.
        entries: length of the lists if the columns hold lists, else None.
        timeframes: those whose datasets have the target; None for all.
        classes: of the kind "classes", every class in order, with its display name.
    """

    columns: tuple[str, ...]
    horizon: int
    available_at: str
    kind: Kind = "candle"
    entries: int | None = None
    timeframes: tuple[str, ...] | None = None
    classes: Mapping[int, str] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns of the label matrix, as SQL over `fct_labels`: ``label_closes[1]`` where a column is a list."""
        if self.entries is None:
            return self.columns
        return tuple(f"{column}[{entry}]" for column in self.columns for entry in range(1, self.entries + 1))


#: All targets. A new one is an entry here and its columns in dbt. Only `next_candle` is promoted and served.
TARGETS: dict[str, Target] = {
    NEXT_CANDLE: Target(("label_high", "label_low", "label_close"), horizon=1, available_at="label_available_at"),
    "closes_100": Target(
        ("label_closes",),
        horizon=100,
        kind="path",
        entries=100,
        timeframes=("5m",),
        available_at="closes_available_at",
    ),
    "horizon_summary_30": Target(
        ("label_max_rise_pct", "label_max_decline_pct", "label_end_change_pct"),
        horizon=30,
        kind="summary",
        available_at="summary_available_at",
    ),
    "highlow2": Target(
        ("label_high_first", "label_low_first"), horizon=24, kind="events", available_at="highlow2_available_at"
    ),
    "topbot2": Target(("label_top", "label_bottom"), horizon=48, kind="events", available_at="topbot2_available_at"),
    "trade": Target(
        ("label_trade",),
        horizon=1,
        kind="classes",
        classes={-1: "sell", 0: "hold", 1: "buy"},
        available_at="trade_available_at",
    ),
}


def targets_of(timeframe: str) -> dict[str, tuple[str, ...]]:
    """Target -> its labels, for all targets of a dataset of this timeframe, in the order of its columns."""
    return {
        name: target.labels
        for name, target in TARGETS.items()
        if target.timeframes is None or timeframe in target.timeframes
    }


def next_candle_labels(candles: Floats, open_time_ms: npt.NDArray[np.int64], timeframe_ms: int) -> Floats:
    """Labels (n, 3) of the target next_candle, as the dbt model fct_labels has them; NaN before a gap and at the end.

    Args:
        candles: (n, 5) open high low close volume, oldest first; missing candles have no row.
        open_time_ms: (n,) milliseconds since 1970-01-01 UTC.
        timeframe_ms: length of a candle.
    """
    labels = np.full((len(candles), 3), np.nan)
    follows = np.flatnonzero(np.diff(open_time_ms) == timeframe_ms)
    labels[follows] = np.log(candles[follows + 1, 1:4] / candles[follows, 3:4])
    return labels


def to_prices(labels: Floats, last_close: Floats) -> Floats:
    """Labels (n, 3) as prices (n, 3) in quote units, given the last closes (n,)."""
    prices: Floats = last_close[:, None] * np.exp(labels)
    return prices


def coherent(labels: Floats) -> Floats:
    """Labels (n, 3), changed as little as needed to describe a valid candle.

    The next candle opens at the last close (label 0), so high must be >= max(0, close) and low <= min(0, close).

    >>> coherent(np.array([[-0.01, 0.02, 0.005]]))
    array([[0.005, 0.   , 0.005]])
    """
    close = labels[:, CLOSE]
    high = np.maximum(labels[:, HIGH], np.maximum(close, 0.0))
    low = np.minimum(labels[:, LOW], np.minimum(close, 0.0))
    return np.stack([high, low, close], axis=1)
