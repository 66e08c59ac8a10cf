"""Withdraws stored candles that only fill an outage of the exchange: after a load, when all markets can be compared.

A withdrawn candle gets one more revision, without values: raw keeps the loaded values, everything downstream shows a
gap. The comparison is recorded as a check of every series, so that the next run catches up after a killed one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import duckdb
import pandas as pd

from expectations.outages import outage_opens
from flows.ingestion.history import Span
from flows.ingestion.ingest import LoadReport
from flows.ingestion.stored import series_key, stored_candles
from flows.settings import Source
from flows.workspace.loads import Load, next_load_id, write_load
from flows.workspace.workspace import Workspace
from ml.timeframes import milliseconds, naive_utc, utc_text

RULE = "exchange_outage"
#: Candles on either side of the new ones that show the markets' usual activity.
CONTEXT_CANDLES = 5_000
#: Earlier candles that the new ones may reveal to be part of an outage.
CANDLES_BEFORE = 200
#: Candles that are compared at once.
WINDOW_CANDLES = 50_000


def withdraw_outages(workspace: Workspace, now_ms: int) -> dict[tuple[str, str], list[int]]:
    """Withdraw the fillers among the candles that no earlier call has compared, exchange by exchange.

    Args:
        workspace: holds the candles.
        now_ms: the exchange's time.

    Returns:
        The open times withdrawn, ms, for each exchange and market that has any.
    """
    withdrawn: dict[tuple[str, str], list[int]] = {}
    for exchange, sources in _sources_of_exchanges(workspace).items():
        opens: dict[str, set[int]] = {symbol: set() for symbol in sources}
        for window in _new_windows(workspace, sources.values()):
            for symbol, found in _fillers(workspace, sources, window).items():
                opens[symbol].update(found)
        with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
            for symbol, source in sources.items():
                _record(connection, series_key(workspace, source), sorted(opens[symbol]), now_ms)
        withdrawn |= {(exchange, symbol): sorted(found) for symbol, found in opens.items() if found}
    return withdrawn


def outage_line(withdrawn: dict[tuple[str, str], list[int]]) -> str:
    """A one-line summary of the withdrawn candles."""
    opens = [open_ms for found in withdrawn.values() for open_ms in found]
    if not opens:
        return "none"
    return (
        f"{len(opens):,} candles of {len(withdrawn):,} markets withdrawn from {utc_text(min(opens))} to "
        f"{utc_text(max(opens))}: no trading was possible"
    )


def after_outages(reports: Sequence[LoadReport], withdrawn: dict[tuple[str, str], list[int]]) -> list[LoadReport]:
    """The load reports, updated with the candles withdrawn afterwards."""
    counts = [len(withdrawn.get((report.exchange, report.symbol), [])) for report in reports]
    return [
        replace(report, withdrawn=count, missing=report.missing + count)
        for report, count in zip(reports, counts, strict=True)
    ]


def _sources_of_exchanges(workspace: Workspace) -> dict[str, dict[str, Source]]:
    """For each exchange the markets that are loaded from it, and their source there."""
    settings = workspace.settings
    exchanges: dict[str, dict[str, Source]] = {}
    for symbol in settings.markets.symbols:
        for source in settings.sources(symbol):
            exchanges.setdefault(source.exchange.called, {})[symbol] = source
    return exchanges


#: Rows of a series that were loaded after its last comparison.
_NEW = f"""
    from raw.candles where exchange = ? and symbol = ? and timeframe = ? and load_id > (
        select coalesce(max(load_id), 0) from raw.quality_checks
        where exchange = ? and symbol = ? and timeframe = ? and rule = '{RULE}'
    )
"""
_IS_QUIET = """
    select count(*) from raw.candles
    where exchange = ? and symbol = ? and timeframe = ? and epoch_ms(open_time) between ? and ? and volume = 0
"""


def _new_windows(workspace: Workspace, sources: Iterable[Source]) -> list[Span]:
    """Spans of candles not compared yet, and those just before, in which any market has a quiet candle."""
    length = milliseconds(workspace.settings.markets.base_timeframe)
    size = WINDOW_CANDLES * length
    spans: dict[int, Span] = {}
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        keys = [series_key(workspace, source) for source in sources]
        for key in keys:
            new = f"select epoch_ms(min(open_time)), epoch_ms(max(open_time)) {_NEW} group by epoch_ms(open_time) // ?"
            for first_ms, last_ms in connection.execute(new, [*key, *key, size]).fetchall():
                one = spans.get(first_ms // size, Span(first_ms, last_ms))
                spans[first_ms // size] = Span(min(first_ms, one.first_ms), max(last_ms, one.until_ms))
        windows = [
            Span(span.first_ms - CANDLES_BEFORE * length, span.until_ms + length) for _, span in sorted(spans.items())
        ]
        return [window for window in windows if any(_quiet(connection, key, window) for key in keys)]


def _quiet(connection: duckdb.DuckDBPyConnection, key: list[str], window: Span) -> bool:
    row = connection.execute(_IS_QUIET, [*key, window.first_ms, window.until_ms]).fetchone()
    return bool(row and row[0])


def _fillers(workspace: Workspace, sources: Mapping[str, Source], window: Span) -> dict[str, list[int]]:
    """Open times of the fillers inside a window, per market; the candles around it show the usual activity."""
    length = milliseconds(workspace.settings.markets.base_timeframe)
    around = CONTEXT_CANDLES * length
    markets = {
        symbol: stored_candles(workspace, source, window.first_ms - around, window.until_ms + around)
        for symbol, source in sources.items()
    }
    found = outage_opens({symbol: candles for symbol, candles in markets.items() if len(candles)}, length)
    return {
        symbol: [open_ms for open_ms in opens if window.first_ms <= open_ms < window.until_ms]
        for symbol, opens in found.items()
    }


_LAST_LOAD = """
    select load_id, coalesce(run_id, load_id), status, message from raw.loads
    where exchange = ? and symbol = ? and timeframe = ? order by load_id desc limit 1
"""


def _record(connection: duckdb.DuckDBPyConnection, key: list[str], opens: list[int], now_ms: int) -> None:
    """Withdraw the candles found in a series, and record that it was compared up to its last load."""
    last = connection.execute(_LAST_LOAD, key).fetchone()
    row = connection.execute(f"select count(*) {_NEW}", [*key, *key]).fetchone()
    checked = int(row[0]) if row else 0
    if last is None or not (checked or opens):
        return
    load_id, run_id, status, message = last
    detail = ""
    connection.execute("begin")
    if opens:
        detail = f"{len(opens):,} candles withdrawn, first {utc_text(opens[0])}: an outage of the exchange"
        load_id = next_load_id(connection)
        message = f"{message}; {detail}" if message else detail
        load = Load(load_id, key, naive_utc(now_ms), run_id, 0, 0, len(opens), len(opens), status, message)
        _withdraw(connection, load, opens)
    connection.execute(
        "insert into raw.quality_checks values (?, ?, ?, ?, ?, ?, 'error', ?, ?, ?, ?, ?)",
        [load_id, *key, naive_utc(now_ms), RULE, not opens, max(checked, len(opens)), len(opens), detail, run_id],
    )
    connection.execute("commit")


def _withdraw(connection: duckdb.DuckDBPyConnection, load: Load, opens: list[int]) -> None:
    """Move candles to quarantine by a revision without values."""
    fillers = pd.DataFrame({"open_time": pd.to_datetime(opens, unit="ms")})  # noqa: F841 - DuckDB reads it
    connection.execute(
        "insert into raw.quarantine select exchange, symbol, timeframe, open_time, open, high, low, close, volume, "
        f"?, ?, '{RULE}', 'no trade in any market of the exchange, or next to a gap' from raw.candles "
        "semi join fillers using (open_time) where exchange = ? and symbol = ? and timeframe = ? "
        "qualify row_number() over (partition by open_time order by load_id desc) = 1",
        [load.load_id, load.started_at, *load.key],
    )
    connection.execute(
        "insert into raw.candles select ?, ?, ?, open_time, null, null, null, null, null, ?, ? from fillers",
        [*load.key, load.load_id, load.started_at],
    )
    write_load(connection, load)
