"""Sealed signals and transactions as the warehouse has loaded them, and the candles that they are traded on."""

from __future__ import annotations

from typing import cast

import duckdb
import numpy as np

from flows.trading.signals import place_of
from flows.warehouse.load import with_text_times
from ml.data.targets import Floats
from ml.series import Series
from ml.trading.paper import SealedSignal
from ml.trading.records import SignalKey, SignalRecord

_SIGNAL = "exchange = ? and symbol = ? and timeframe = ? and signal = ? and signal_key = ?"


def _places(key: SignalKey, signal_key: str) -> list[str]:
    return [*place_of(key), signal_key]


def sealed_signals(connection: duckdb.DuckDBPyConnection, key: SignalKey, signal_key: str) -> list[SealedSignal]:
    """The signals of one key, oldest first."""
    rows = (
        connection.execute(f"select * from raw.signals where {_SIGNAL} order by sequence", _places(key, signal_key))
        .to_arrow_table()
        .to_pylist()
    )
    return [SealedSignal(with_text_times(cast(SignalRecord, row)), row["hash"]) for row in rows]


def sealed_accounts(connection: duckdb.DuckDBPyConnection, key: SignalKey, signal_key: str) -> dict[int, str]:
    """Open time of a candle -> the account after it (JSON), of the sealed transactions of a key."""
    rows = connection.execute(
        f"select epoch_ms(open_time), account from raw.transactions where {_SIGNAL}", _places(key, signal_key)
    ).fetchall()
    return {int(open_ms): account for open_ms, account in rows}


def candles_since(connection: duckdb.DuckDBPyConnection, series: Series, since_ms: int) -> tuple[Floats, list[int]]:
    """Closed candles (n, 5) of a series from a time on, without gaps, and their open times."""
    rows = connection.execute(
        "select epoch_ms(open_time), open, high, low, close, volume from marts.fct_candles "
        "where exchange = ? and symbol = ? and timeframe = ? and not is_gap and epoch_ms(open_time) >= ? "
        "order by open_time",
        [series.exchange, series.symbol, series.timeframe, since_ms],
    ).fetchall()
    return np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 5), [int(row[0]) for row in rows]
