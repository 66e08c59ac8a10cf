"""What is stored of a source's base candles, in their newest revision."""

from __future__ import annotations

import pandas as pd

from flows.home.installation import Installation
from flows.ingestion.history import OPENS
from ml.config import Source
from ml.timeframes import DAY_MS, milliseconds

COLUMNS = ["open_time", "open", "high", "low", "close", "volume"]
#: Later than any candle.
LAST_MS = 2**62

_NEWEST = """
    select open_time, open, high, low, close, volume from raw.candles
    where exchange = ? and symbol = ? and timeframe = ? and epoch_ms(open_time) between ? and ?
    qualify row_number() over (partition by open_time order by load_id desc) = 1 and close is not null
    order by open_time
"""


def series_key(installation: Installation, source: Source) -> list[str]:
    """Exchange, symbol and timeframe under which a source's candles are stored."""
    return [source.exchange.called, source.symbol, installation.settings.markets.base_timeframe]


def missing_candles(installation: Installation, source: Source) -> int:
    """Base candles of a source that are absent, or withdrawn, between its first and its last stored one."""
    key = series_key(installation, source)
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        row = connection.execute(
            "select coalesce((epoch_ms(max(open_time)) - epoch_ms(min(open_time))) // ? + 1, 0) "
            f"- count(*) filter (not withdrawn) from ({OPENS})",
            [milliseconds(key[2]), *key],
        ).fetchone()
    return int(row[0]) if row else 0


def last_load_ms(installation: Installation) -> int:
    """The exchange's time at the last load, milliseconds; 0 before the first."""
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        row = connection.execute("select epoch_ms(max(started_at)) from raw.loads").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def stored_candles(installation: Installation, source: Source, from_ms: int = 0, to_ms: int = LAST_MS) -> pd.DataFrame:
    """The stored base candles of a source that opened from `from_ms` to `to_ms`, in their newest revision."""
    key = series_key(installation, source)
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        return _aware(connection.execute(_NEWEST, [*key, from_ms, to_ms]).df())


def reference_candles(installation: Installation, symbol: str, source: Source, beside: pd.DataFrame) -> pd.DataFrame:
    """The first source's stored candles around those of another source, for the gate; none for the first itself.

    Without volumes: the gate would take an exchange that trades much more than the first one for one that counts the
    quote asset (recorded Binance hours hold 1,800 times the volume of Kraken's).
    """
    first = installation.settings.sources(symbol)[0]
    if source == first or beside.empty:
        return candle_frame([])
    opens = beside["open_time"].astype("int64")
    candles = stored_candles(installation, first, int(opens.min()) - DAY_MS, int(opens.max()) + DAY_MS)
    return candles.assign(volume=float("nan"))


def _aware(frame: pd.DataFrame) -> pd.DataFrame:
    """Times from the warehouse, which keeps UTC without a zone, as UTC."""
    return frame.assign(open_time=frame["open_time"].dt.tz_localize("UTC").astype("datetime64[ms, UTC]"))


def candle_frame(rows: list[list[float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["open_time"] = pd.to_datetime(frame["open_time"], unit="ms", utc=True).astype("datetime64[ms, UTC]")
    return frame.astype(dict.fromkeys(COLUMNS[1:], "float64"))
