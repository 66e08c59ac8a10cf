"""Withdraws stored candles that only fill an outage of the exchange: after a load, when all markets can be compared.

A withdrawn candle gets one more revision, without values: raw keeps what was loaded, everything downstream shows a gap.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from expectations.outages import outage_opens
from flows.home.installation import Installation
from flows.ingestion.ingest import series_key, stored_candles
from ml.config import Source
from ml.timeframes import milliseconds

RULE = "filler_candle"
#: Candles before the first new one that tell what is usual for the markets.
CONTEXT_CANDLES = 5_000


def withdraw_outages(installation: Installation, since_ms: int, now_ms: int) -> int:
    """Withdraw the fillers among the stored candles of all markets, exchange by exchange.

    Args:
        installation: whose candles.
        since_ms: open time of the oldest candle that came with this load.
        now_ms: the exchange's time.

    Returns:
        Number of candles withdrawn.
    """
    settings = installation.settings
    length = milliseconds(settings.markets.base_timeframe)
    by_exchange: dict[str, list[Source]] = {}
    for symbol in settings.markets.symbols:
        for source in settings.sources(symbol):
            by_exchange.setdefault(source.exchange.called, []).append(source)
    withdrawn = 0
    for sources in by_exchange.values():
        stored = {
            source.symbol: stored_candles(installation, source, since_ms - CONTEXT_CANDLES * length)
            for source in sources
        }
        found = outage_opens({name: candles for name, candles in stored.items() if len(candles)}, length)
        for source in sources:
            opens = [open_ms for open_ms in found.get(source.symbol, []) if open_ms >= since_ms]
            if opens:
                _withdraw(installation, source, opens, now_ms)
                withdrawn += len(opens)
    return withdrawn


def _withdraw(installation: Installation, source: Source, opens: list[int], now_ms: int) -> None:
    key = series_key(installation, source)
    now = datetime.fromtimestamp(now_ms / 1000, tz=UTC).replace(tzinfo=None)
    fillers = pd.DataFrame({"open_time": pd.to_datetime(opens, unit="ms")})
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        connection.execute("begin")
        row = connection.execute("select coalesce(max(load_id), 0) + 1 from raw.loads").fetchone()
        load_id = int(row[0]) if row else 1
        connection.register("fillers", fillers)
        connection.execute(
            "insert into raw.quarantine select exchange, symbol, timeframe, open_time, open, high, low, close, volume, "
            f"?, ?, '{RULE}', 'no trade in any market of the exchange, or beside a gap: an outage' from raw.candles "
            "semi join fillers using (open_time) where exchange = ? and symbol = ? and timeframe = ? "
            "qualify row_number() over (partition by open_time order by load_id desc) = 1",
            [load_id, now, *key],
        )
        connection.execute(
            "insert into raw.candles select ?, ?, ?, open_time, null, null, null, null, null, ?, ? from fillers",
            [*key, load_id, now],
        )
        connection.execute(
            "insert into raw.loads values (?, ?, ?, ?, ?, null, 0, 0, ?, ?, "
            "coalesce((select arg_max(status, load_id) from raw.loads "
            "where exchange = ? and symbol = ? and timeframe = ?), 'ok'), "
            "coalesce((select arg_max(message, load_id) from raw.loads "
            "where exchange = ? and symbol = ? and timeframe = ?), ''), "
            "(select arg_max(run_id, load_id) from raw.loads where exchange = ? and symbol = ? and timeframe = ?))",
            [load_id, *key, now, len(opens), len(opens), *key, *key, *key],
        )
        connection.execute("commit")
