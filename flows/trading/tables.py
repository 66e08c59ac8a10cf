"""Tables of trading in the warehouse that are computed from sealed records and datasets: figures, equity and trades."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from flows.workspace.database import transaction
from ml.records import AnyRecord
from ml.trading.records import EquityRow, SignalKey, TradeRow, TradingFigures

_KEY = "exchange = ? and symbol = ? and timeframe = ? and signal = ? and part = ?"


def write_part(
    connection: duckdb.DuckDBPyConnection,
    key: SignalKey,
    part: str,
    figures: TradingFigures,
    equity: Sequence[EquityRow],
    trades: Sequence[TradeRow],
) -> None:
    """Replace the rows of one part of a signal, in one transaction."""
    with transaction(connection):
        for table, rows in (("figures", [figures]), ("equity", equity), ("trades", trades)):
            connection.execute(f"delete from raw.trading_{table} where {_KEY}", _places(key, part))
            _insert(connection, f"trading_{table}", [{**row, **key, "part": part} for row in rows])


def clear_part(connection: duckdb.DuckDBPyConnection, key: SignalKey, part: str) -> None:
    """Delete the rows of one part: those of another version of the signal are not those of the present one."""
    for table in ("figures", "equity", "trades"):
        connection.execute(f"delete from raw.trading_{table} where {_KEY}", _places(key, part))


def _places(key: SignalKey, part: str) -> list[str]:
    return [key["exchange"], key["symbol"], key["timeframe"], key["signal"], part]


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[AnyRecord]) -> None:
    """Append rows; columns that are TIMESTAMP are given as ISO 8601 text."""
    if not rows:
        return
    described = connection.execute(
        "select column_name, data_type from duckdb_columns() where schema_name = 'raw' and table_name = ?", [table]
    ).fetchall()
    batch = pa.table({name: [row.get(name) for row in rows] for name, _ in described})
    casts = ", ".join(f"{name}::{kind} as {name}" for name, kind in described)
    connection.register("trading_rows", batch)
    connection.execute(f"insert into raw.{table} by name select {casts} from trading_rows")
    connection.unregister("trading_rows")


def write_active_signals(connection: duckdb.DuckDBPyConnection, active: Sequence[tuple[SignalKey, str]]) -> None:
    """Replace `raw.active_signals`: the configured signals of every series, with their keys."""
    with transaction(connection):
        connection.execute("delete from raw.active_signals")
        _insert(connection, "active_signals", [{**key, "signal_key": version} for key, version in active])


def known_parts(connection: duckdb.DuckDBPyConnection) -> set[tuple[str, str, str, str, str]]:
    """Series, signal and part of all figures in the warehouse."""
    return {
        (exchange, symbol, timeframe, signal, part)
        for exchange, symbol, timeframe, signal, part in connection.execute(
            "select exchange, symbol, timeframe, signal, part from raw.trading_figures"
        ).fetchall()
    }
