"""Timeframes: candle lengths. Candles open on the time grid of multiples of the length since 1970-01-01 UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator

from ml.errors import ConfigurationError

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
YEAR_MS = 365 * DAY_MS

TIMEFRAMES: dict[str, int] = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "3h": 3 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
}


def milliseconds(timeframe: str) -> int:
    """Length of a timeframe in milliseconds.

    Raises:
        ConfigurationError: the name is not one of `TIMEFRAMES`.
    """
    try:
        return TIMEFRAMES[timeframe]
    except KeyError:
        known = " ".join(TIMEFRAMES)
        raise ConfigurationError(f"Unknown timeframe {timeframe!r}. Use one of: {known}.") from None


def floor_to_grid(time_ms: int, timeframe: str) -> int:
    """The open time (ms since epoch) of the candle that contains `time_ms`."""
    length = milliseconds(timeframe)
    return time_ms - time_ms % length


def utc_text(time_ms: int) -> str:
    """Milliseconds since 1970-01-01 as ISO 8601.

    >>> utc_text(0)
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).isoformat()


def as_utc(time: datetime) -> datetime:
    """The time itself; a time without a zone is taken as UTC, not as the machine's local time."""
    return time.replace(tzinfo=time.tzinfo or UTC)


#: A time in the settings: one without a zone is UTC, a date is midnight UTC.
UtcDatetime = Annotated[datetime, AfterValidator(as_utc)]


def naive_utc(time_ms: int) -> datetime:
    """Milliseconds since 1970-01-01 as stored in the warehouse: UTC without a zone.

    >>> naive_utc(0)
    datetime.datetime(1970, 1, 1, 0, 0)
    """
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).replace(tzinfo=None)


def utc_ms(text: str) -> int:
    """ISO 8601 text as milliseconds since 1970-01-01, the inverse of `utc_text`; a time without a zone is UTC.

    >>> utc_ms("1970-01-01T00:00:01")
    1000
    """
    return round(as_utc(datetime.fromisoformat(text)).timestamp() * 1000)
