"""The stored base candles of a source, in their newest revision."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flows.ingestion.history import stored_extent
from flows.settings import Source
from flows.workspace.workspace import Workspace
from ml.timeframes import DAY_MS, milliseconds

COLUMNS = ["open_time", "open", "high", "low", "close", "volume"]
#: Later than any candle.
LAST_MS = 2**47

#: The newest revision of each candle of a series in a span; a withdrawn one has no values.
#: A window function over the revisions takes eight times as long for a short span, and is slower for a million candles.
NEWEST = """
    select open_time, arg_max_null(open, load_id) as open, arg_max_null(high, load_id) as high,
        arg_max_null(low, load_id) as low, arg_max_null(close, load_id) as close,
        arg_max_null(volume, load_id) as volume
    from raw.candles
    where exchange = ? and symbol = ? and timeframe = ?
        and open_time between make_timestamp_ms(?) and make_timestamp_ms(?)
    group by open_time
"""


def series_key(workspace: Workspace, source: Source) -> list[str]:
    """Exchange, symbol and timeframe under which a source's candles are stored."""
    return [source.exchange.called, source.symbol, workspace.settings.markets.base_timeframe]


def missing_candles(workspace: Workspace, source: Source) -> int:
    """Base candles of a source that are absent, or withdrawn, between its first and its last stored one."""
    key = series_key(workspace, source)
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        stored = stored_extent(connection, key, milliseconds(key[2]))
    return stored.missing if stored else 0


def stored_candles(workspace: Workspace, source: Source, from_ms: int = 0, to_ms: int = LAST_MS) -> pd.DataFrame:
    """The stored base candles of a source that opened from `from_ms` to `to_ms`, in their newest revision."""
    key = series_key(workspace, source)
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        return _aware(
            connection.execute(
                f"from ({NEWEST}) where close is not null order by open_time", [*key, from_ms, to_ms]
            ).df()
        )


def reference_candles(
    workspace: Workspace, symbol: str, source: Source, from_ms: int, to_ms: int
) -> pd.DataFrame | None:
    """The first source's stored candles around a span of another source, for the gate; None for the first itself.

    Without volumes: the gate would mistake an exchange with a much larger volume than the first one for one that counts
    the quote asset (recorded Binance hours hold 1,800 times the volume of Kraken's).
    """
    first = workspace.settings.sources(symbol)[0]
    if source == first:
        return None
    candles = stored_candles(workspace, first, from_ms - DAY_MS, to_ms + DAY_MS)
    return candles.assign(volume=float("nan"))


def _aware(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the zone UTC to times from the warehouse, which keeps UTC without a zone."""
    return frame.assign(open_time=frame["open_time"].dt.tz_localize("UTC").astype("datetime64[ms, UTC]"))


def candle_frame(rows: list[list[float]]) -> pd.DataFrame:
    """Rows of an exchange as a frame for the gate."""
    frame = pd.DataFrame(np.array([row[1:] for row in rows], dtype=np.float64), columns=COLUMNS[1:])
    opens = np.array([row[0] for row in rows], dtype="datetime64[ms]")
    frame.insert(0, "open_time", pd.DatetimeIndex(opens, tz="UTC"))
    return frame
