"""Where the candles of a snapshot come from: simulated markets, a replay of the past, or a live exchange.

It follows from the exchange's name and from the lag of its clock behind the publication. An exchange's time is that of
the newest load, so a live pipeline publishes minutes to hours after it; a replay lags by months.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app import formats

REPLAY_LAG = timedelta(days=1)
"""Lag of the exchange's clock from which the candles are those of a replay."""

OLD_CANDLES = 2
"""A live snapshot older than as many of its shortest candles is called old, like a stale series (fct_data_health)."""


@dataclass(frozen=True)
class Provenance:
    """Kind and age of the candles of a snapshot.

    Attributes:
        kind: "simulated", "replay", "live" or "unknown".
        words: text of the chip.
        detail: a sentence that explains it.
        is_old: whether a live snapshot is too old to act on.
    """

    kind: str
    words: str
    detail: str
    is_old: bool = False


def parse_time(text: str | None) -> datetime | None:
    """A time of the pointer file, UTC; None where it is missing or broken."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def provenance_of(
    exchanges: Collection[str], exchange_time: str | None, published_at: str | None, candle: timedelta, now: datetime
) -> Provenance:
    """Kind and age of the candles.

    Args:
        exchanges: names of the exchanges of all markets.
        exchange_time, published_at: ISO times of the pointer file.
        candle: length of the shortest candle.
        now: the machine's time, UTC.
    """
    clock, published = parse_time(exchange_time), parse_time(published_at)
    at = f"at {formats.iso_moment(exchange_time)} UTC" if clock else "at an unknown time"
    if exchanges and set(exchanges) == {"simulated"}:
        return Provenance("simulated", f"SIMULATED MARKETS {at}", "Computed prices, no exchange: nothing to trade on.")
    if clock is None or published is None:
        return Provenance("unknown", "TIME UNKNOWN", "The snapshot does not say when its candles ended.", True)
    mixed = " Some of its markets are simulated." if "simulated" in exchanges else ""
    if abs(published - clock) > REPLAY_LAG:
        lag = formats.duration(abs(published - clock).total_seconds())
        side = "behind" if clock < published else "ahead of"
        detail = f"Recorded candles: the exchange's clock is {lag} {side} the publication.{mixed}"
        return Provenance("replay", f"REPLAY {at}", detail)
    age = now - clock
    detail = f"The exchange's time was {formats.iso_moment(exchange_time)} UTC at the newest load.{mixed}"
    words = f"LIVE, {formats.duration(max(0.0, round(age.total_seconds())))} old"
    return Provenance("live", words, detail, age > OLD_CANDLES * candle)
