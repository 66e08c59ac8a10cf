"""Ingest: closed candles from the exchange, through the quality gate, into raw.

Nothing is ever overwritten. A run requests the candles missing before and between the stored ones (flows/ingestion/
history.py) and the end, with an overlap that is read again; a candle that the exchange has revised since becomes a new
row with a larger load id, and dbt takes the newest. A row without values withdraws a candle. Rows that fail the gate go
to quarantine with the reason; a batch that is rejected as a whole stops only its own market.

Where several exchanges are combined, each source's candles are loaded like those of a market of its own, under the
source's name and symbol, and the timestamps of the other sources are checked against the first one. dbt combines them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import duckdb

from expectations.gate import check_batch
from expectations.report import GateReport, MarketContext
from flows.ingestion.batches import write_batch
from flows.ingestion.exchange import CLOCK_TOLERANCE_MS, Exchange
from flows.ingestion.history import (
    Extent,
    Gap,
    Span,
    asked_for,
    due_spans,
    joined,
    known_gaps,
    missing_spans,
    stored_extent,
    write_gaps,
)
from flows.ingestion.origins import check_origin
from flows.ingestion.stored import (
    candle_frame,
    missing_candles,
    reference_candles,
    series_key,
    stored_candles,
)
from flows.settings import Source
from flows.workspace.loads import Load, next_load_id, write_load
from flows.workspace.workspace import Workspace
from ml.errors import ConfigurationError, ExchangeError
from ml.symbols import MarketName
from ml.timeframes import DAY_MS, HOUR_MS, floor_to_grid, milliseconds, naive_utc, utc_text

#: Candles that are fetched, checked and stored together: a killed run continues after the last stored batch.
BATCH_CANDLES = 50_000
#: Candles before a batch that are passed to the gate, so that the timestamps of a short update can be checked.
CANDLES_BEFORE = 200
#: A clock that moved further than this since the last load, without candles that confirm it, is not trusted.
LONGEST_JUMP_MS = 12 * HOUR_MS


@dataclass(frozen=True)
class LoadReport:
    """The outcome of loading one market from one exchange.

    `status` is `ok`; `partial`: fewer candles came than were due, see `message`; `failed`: an error of the exchange, or
    no usable candle; `stopped`: by the quality gate. `missing` is the number of candles absent between the first and
    the last stored one, `withdrawn` that of the stored ones among them that turned out to fill an outage.
    """

    exchange: str
    symbol: str
    status: str
    received: int = 0
    inserted: int = 0
    revised: int = 0
    quarantined: int = 0
    missing: int = 0
    withdrawn: int = 0
    message: str = ""


def ingest_market(
    workspace: Workspace,
    symbol: str,
    now_ms: int,
    on_candles: Callable[[int, float], None] = lambda n, share: None,
    source: Source | None = None,
    span: Span | None = None,
) -> LoadReport:
    """Load one market's base candles from one exchange, up to the exchange's time `now_ms`.

    Args:
        workspace: the target.
        symbol: the market.
        now_ms: the exchange's time.
        on_candles: called with the number of candles received and the share of the span done, for progress.
        source: one of the market's sources; None: the first.
        span: read exactly these open times again; None: missing spans and the end.

    Returns:
        The report; a failure of the exchange or of the gate is reported, not raised, so that other markets continue.
    """
    source = source or workspace.settings.sources(symbol)[0]
    load = _Load(workspace, symbol, source, now_ms)
    try:
        load.check_clock()
        exchange = Exchange(source.exchange, symbols=(source.symbol,))
        name = exchange.check_market(source.symbol, load.timeframe)
        check_origin(workspace, source, MarketName.of(name).kind)
        for one in load.plan(span):
            load.read(exchange, name, one, on_candles)
            if load.stopped:
                break
        load.remember_gaps()
        if not load.stopped:
            if span is None:
                load.conclude(exchange, name)
            else:
                load.conclude_span()
    except (ExchangeError, ConfigurationError) as error:  # also a market that the exchange no longer has
        load.end("failed", str(error))
    return replace(load.report, missing=missing_candles(workspace, source))


class _Load:
    """One market's load from a source, span by span; each batch is checked and stored in one transaction."""

    def __init__(self, workspace: Workspace, symbol: str, source: Source, now_ms: int) -> None:
        self._workspace = workspace
        self._symbol = symbol
        self._source = source
        self._now_ms = now_ms
        self._key = series_key(workspace, source)
        self.timeframe = self._key[2]
        self._length = milliseconds(self.timeframe)
        #: No candle that opens here or later is closed.
        self._end_ms = floor_to_grid(now_ms, self.timeframe)
        self._start_ms = int(workspace.settings.markets.history_start.timestamp() * 1000)
        self._market = MarketContext.of(*self._key)
        self._last_load_ms = workspace.last_load_ms()
        #: Extent of the stored candles: before the spans are read, then updated by `remember_gaps`.
        self._stored: Extent | None = None
        self._asked: list[Span] = []
        self._run: int | None = None
        self._read: list[Span] = []
        self._first_answer_ends_ms: int | None = None
        #: The newest candle received, where it may still be open.
        self._waiting_ms: int | None = None
        self.report = LoadReport(source.exchange.called, symbol, "ok")

    def check_clock(self) -> None:
        """Make sure that the exchange's time is not before the last load.

        Raises:
            ExchangeError: it is, so the candles of the last load may not have been closed.
        """
        if self._last_load_ms is not None and self._now_ms < self._last_load_ms - CLOCK_TOLERANCE_MS:
            raise ExchangeError(
                f"The exchange's clock says {utc_text(self._now_ms)}, but the last load was at "
                f"{utc_text(self._last_load_ms)}. Nothing was loaded; check its clock, or use another home."
            )

    def plan(self, span: Span | None) -> list[Span]:
        """The spans to request: the given one, else those missing before and between stored candles, and the end."""
        if span is not None:
            self._asked = [Span(span.first_ms, min(span.until_ms, self._end_ms))]
            return self._asked
        settings = self._workspace.settings.ingest
        warehouse = self._workspace.warehouse
        with warehouse.locked(), warehouse.connect() as connection:
            self._look_at_stored(connection)
            gaps = self._gaps(connection)
        if self._stored is None:
            self._asked = [Span(self._start_ms, self._end_ms)]
            return self._asked
        end = Span(self._stored.last_ms - settings.overlap_candles * self._length, self._end_ms)
        self._asked = joined([*due_spans(gaps, self._now_ms, settings.page_size * self._length), end])
        return self._asked

    def read(self, exchange: Exchange, name: str, span: Span, on_candles: Callable[[int, float], None]) -> None:
        """Fetch, check and store one span."""
        settings = self._workspace.settings.ingest
        pages = exchange.closed_candles(
            name, self.timeframe, span.first_ms, self._now_ms, settings.page_size, span.until_ms
        )
        rows: list[list[float]] = []
        received = self.report.received
        try:
            for page in pages:
                rows += page
                received += len(page)
                if self._first_answer_ends_ms is None:
                    self._first_answer_ends_ms = int(page[-1][0]) + self._length
                on_candles(received, (page[-1][0] - span.first_ms) / max(1, span.until_ms - span.first_ms))
                if len(rows) >= BATCH_CANDLES:
                    self._store(rows)
                    rows = []
                    if self.stopped:
                        return
        except ExchangeError:
            # Keep the rows received, or a load that always fails at the same place would make no progress.
            self._store(rows)
            raise
        if span.until_ms == self._end_ms:
            rows = self._without_doubtful(rows)
        self._store(rows)
        self._read.append(span)

    def _without_doubtful(self, rows: list[list[float]]) -> list[list[float]]:
        """Drop the newest candle if the clock jumped and no candle confirms it: it may still be open."""
        if not rows or self._last_load_ms is None or self._now_ms - self._last_load_ms <= LONGEST_JUMP_MS:
            return rows
        newest = max(row[0] for row in rows)
        if self._now_ms - newest - self._length <= max(2 * self._length, HOUR_MS):
            return rows
        self._waiting_ms = int(newest)
        return [row for row in rows if row[0] < newest]

    def remember_gaps(self) -> None:
        """Record the remaining gaps, so that they are requested again."""
        warehouse = self._workspace.warehouse
        with warehouse.locked(), warehouse.connect() as connection:
            self._look_at_stored(connection)
            gaps = asked_for(self._gaps(connection), self._read, self._now_ms)
            write_gaps(connection, self._key, gaps, self._length)

    def _gaps(self, connection: duckdb.DuckDBPyConnection) -> list[Gap]:
        missing = missing_spans(connection, self._key, self._stored, self._start_ms, self._length)
        return known_gaps(connection, self._key, missing, self._length)

    def _look_at_stored(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._stored = stored_extent(connection, self._key, self._length)

    def conclude(self, exchange: Exchange, name: str) -> None:
        """Set status and message by comparing the stored candles with those due."""
        stored = self._stored
        if stored is None:
            self.end(*self._nothing_stored(exchange))
            return
        due = (self._end_ms - stored.last_ms) // self._length - 1
        if due > 0:
            what = "no new candle came" if not self.report.inserted else "the newest candles did not come"
            self.end(
                "partial",
                f"{what}, though {due:,} candles are due since {utc_text(stored.last_ms + self._length)}: the market "
                f"may be halted, without trades or delisted, or the exchange is late{exchange.last_answer()}",
            )
        elif self._asked[0].first_ms + self._length <= stored.first_ms:
            self.end(*self._later_start(exchange, name, stored.first_ms))
        elif not self.report.received:
            self.end("ok", "no closed candle since the last load")

    def conclude_span(self) -> None:
        """Report the candles absent from the requested span that `missing` does not count."""
        [asked] = self._asked
        stored = self._stored
        first, until = (time + -time % self._length for time in (asked.first_ms, asked.until_ms))
        counted = Span(until, until) if stored is None else Span(stored.first_ms, stored.last_ms + self._length)
        absent = max(0, min(until, counted.first_ms) - first) + max(0, until - max(first, counted.until_ms))
        if absent:
            self.end(
                "partial",
                f"{absent // self._length:,} candles from {utc_text(first)} to {utc_text(until)} did not come, before "
                "or after all stored ones: the market was not listed, or halted, or the exchange keeps fewer candles",
            )

    def _nothing_stored(self, exchange: Exchange) -> tuple[str, str]:
        """Status and message of a load after which the series has no candle at all."""
        if self._waiting_ms is not None:
            return (
                "partial",
                f"the only candle that came opens at {utc_text(self._waiting_ms)} and may still be open: the clock "
                "jumped since the last load, and no later candle confirms it. The next load stores it",
            )
        if self.report.received:
            return (
                "failed",
                f"none of {self.report.received:,} candles passed the quality gate; quarantine names the broken rules",
            )
        return (
            "failed",
            f"no candle of {self._source.symbol} at all from {utc_text(self._start_ms)} on, though the exchange lists "
            f"it{exchange.last_answer()}. Check the symbol, `market_type` and `base_timeframe`, or remove the market.",
        )

    def _later_start(self, exchange: Exchange, name: str, first_ms: int) -> tuple[str, str]:
        """Status and message if the history starts later than requested: a younger market, or a truncated history."""
        text = f"history starts at {utc_text(first_ms)}, requested from {utc_text(self._start_ms)}"
        day = exchange.first_day_ms(name, self._start_ms, self._now_ms)
        if day is not None and day < first_ms - first_ms % DAY_MS:
            return (
                "partial",
                f"{text}; the exchange has daily candles since {utc_text(day)}, but no older ones of this timeframe",
            )
        goes_on = self._first_answer_ends_ms is not None and self._first_answer_ends_ms < self._end_ms
        if day is not None or goes_on:
            return "ok", f"{text}: the exchange has no older candles"
        return "partial", f"{text}: the market is younger, or the exchange keeps only its newest candles"

    @property
    def stopped(self) -> bool:
        return self.report.status == "stopped"

    def _store(self, rows: list[list[float]]) -> None:
        """Check one batch together with the stored candles around it, and store its new rows."""
        if not rows:
            return
        batch = candle_frame(rows)
        opens = [int(row[0]) for row in rows]
        before, behind = min(opens) - CANDLES_BEFORE * self._length, max(opens) + self._length
        around = stored_candles(self._workspace, self._source, before, behind)
        reference = reference_candles(self._workspace, self._symbol, self._source, before, behind)
        gate = check_batch(batch, self._market, self._now_ms, around, reference)
        status, message = ("stopped", gate.reason) if gate.stopped else ("ok", "")
        inserted, revised = self._record(gate, len(batch), len(gate.quarantined), status, message)
        self.report = replace(
            self.report,
            status=status,
            received=self.report.received + len(batch),
            inserted=self.report.inserted + inserted,
            revised=self.report.revised + revised,
            quarantined=self.report.quarantined + len(gate.quarantined),
            message=message,
        )

    def end(self, status: str, message: str) -> None:
        """Record the end of the load; batches stored before are kept."""
        self._record(None, 0, 0, status, message)
        self.report = replace(self.report, status=status, message=message)

    def _run_id(self, load_id: int) -> int:
        """The id of this run over the series: that of its first load."""
        self._run = self._run or load_id
        return self._run

    def _record(
        self, gate: GateReport | None, received: int, quarantined: int, status: str, message: str
    ) -> tuple[int, int]:
        now = naive_utc(self._now_ms)
        warehouse = self._workspace.warehouse
        with warehouse.locked(), warehouse.connect() as connection:
            connection.execute("begin")
            load_id = next_load_id(connection)
            run_id = self._run_id(load_id)
            inserted, revised = (
                (0, 0) if gate is None else write_batch(connection, gate, self._key, (load_id, run_id), now)
            )
            counts = (received, inserted, revised, quarantined)
            write_load(connection, Load(load_id, self._key, now, run_id, *counts, status, message))
            connection.execute("commit")
        return inserted, revised
