"""Ingest: closed candles from the exchange, through the quality gate, into raw.

Nothing is ever overwritten. A run asks for what is missing plus an overlap that is read again; a candle that the
exchange has revised since becomes a new row with a larger load id, and dbt takes the newest. Rows that fail the gate go
to quarantine with the reason, and a batch that is broken as a whole stops its market and leaves the others alone.

Where several exchanges are combined, each source's candles are loaded like those of a market of its own, under the
source's name and symbol, and the stamps of the later sources are held against the first one. dbt combines them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import duckdb
import pandas as pd

from expectations.report import GateReport, MarketContext
from flows.home.installation import Installation
from flows.ingestion.exchange import Exchange
from flows.warehouse.standby import standing_gate
from ml.config import Source
from ml.errors import ConfigurationError, ExchangeError
from ml.timeframes import DAY_MS, milliseconds

_logger = logging.getLogger(__name__)

#: Candles that are fetched, checked and stored in one go: a run that is killed goes on behind the last such batch.
BATCH_CANDLES = 50_000
#: Candles before a batch that the gate gets too, so that the stamps of a short update can be judged.
CANDLES_BEFORE = 200
COLUMNS = ["open_time", "open", "high", "low", "close", "volume"]
#: Later than any candle.
LAST_MS = 2**62


@dataclass(frozen=True)
class LoadReport:
    """What one market's load from one exchange brought.

    `status` is ok, failed (the exchange) or stopped (the quality gate); `missing` are the candles that are absent
    between the first and the last one stored.
    """

    exchange: str
    symbol: str
    status: str
    received: int = 0
    inserted: int = 0
    revised: int = 0
    quarantined: int = 0
    missing: int = 0
    message: str = ""


@dataclass(frozen=True)
class Known:
    """What raw already holds of a source: where to go on, and its newest rows."""

    since_ms: int
    newest: pd.DataFrame


def _key(installation: Installation, source: Source) -> list[str]:
    """Exchange, symbol and timeframe under which a source's candles are stored."""
    return [source.exchange.called, source.symbol, installation.settings.markets.base_timeframe]


def known_candles(installation: Installation, source: Source) -> Known:
    """Where the next load of a source starts, and the newest revision of the candles around there."""
    settings = installation.settings
    timeframe = settings.markets.base_timeframe
    key = _key(installation, source)
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        last = connection.execute(
            "select epoch_ms(max(open_time)) from raw.candles where exchange = ? and symbol = ? and timeframe = ?", key
        ).fetchone()
        if last is None or last[0] is None:
            return Known(int(settings.markets.history_start.timestamp() * 1000), _frame([]))
    since_ms = int(last[0]) - settings.ingest.overlap_candles * milliseconds(timeframe)
    return Known(since_ms, stored_candles(installation, source, since_ms - CANDLES_BEFORE * milliseconds(timeframe)))


_NEWEST = """
    select open_time, open, high, low, close, volume from raw.candles
    where exchange = ? and symbol = ? and timeframe = ? and epoch_ms(open_time) between ? and ?
    qualify row_number() over (partition by open_time order by load_id desc) = 1
    order by open_time
"""


def missing_candles(installation: Installation, source: Source) -> int:
    """Base candles of a source that are absent between its first and its last stored one."""
    key = _key(installation, source)
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        row = connection.execute(
            "select coalesce((epoch_ms(max(open_time)) - epoch_ms(min(open_time))) // ? + 1, 0) "
            "- count(distinct open_time) from raw.candles where exchange = ? and symbol = ? and timeframe = ?",
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
    key = _key(installation, source)
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        return _aware(connection.execute(_NEWEST, [*key, from_ms, to_ms]).df())


def reference_candles(installation: Installation, symbol: str, source: Source, beside: pd.DataFrame) -> pd.DataFrame:
    """The first source's stored candles around those of another source, for the gate; none for the first itself.

    Without volumes: the gate would take an exchange that trades much more than the first one for one that counts the
    quote asset (recorded Binance hours hold 1,800 times the volume of Kraken's).
    """
    first = installation.settings.sources(symbol)[0]
    if source == first or beside.empty:
        return _frame([])
    opens = beside["open_time"].astype("int64")
    candles = stored_candles(installation, first, int(opens.min()) - DAY_MS, int(opens.max()) + DAY_MS)
    return candles.assign(volume=float("nan"))


def _aware(frame: pd.DataFrame) -> pd.DataFrame:
    """Times from the warehouse, which keeps UTC without a zone, as UTC."""
    return frame.assign(open_time=frame["open_time"].dt.tz_localize("UTC").astype("datetime64[ms, UTC]"))


def _frame(rows: list[list[float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["open_time"] = pd.to_datetime(frame["open_time"], unit="ms", utc=True).astype("datetime64[ms, UTC]")
    return frame.astype(dict.fromkeys(COLUMNS[1:], "float64"))


def ingest_market(
    installation: Installation,
    symbol: str,
    now_ms: int,
    on_candles: Callable[[int, float], None] = lambda n, share: None,
    source: Source | None = None,
) -> LoadReport:
    """Load one market's base candles from one exchange, up to the exchange's time `now_ms`.

    Args:
        installation: where to.
        symbol: which market.
        now_ms: the exchange's time.
        on_candles: told the candles received and the share of the way done, for progress.
        source: which of the market's sources; None: the first.

    Returns:
        What came; a failure of the exchange or of the gate is reported, not raised, so that other markets go on.
    """
    settings = installation.settings
    timeframe = settings.markets.base_timeframe
    source = source or settings.sources(symbol)[0]
    known = known_candles(installation, source)
    exchange = Exchange(source.exchange)
    load = _Load(installation, symbol, source, now_ms, known.newest)
    rows: list[list[float]] = []
    received = 0
    first_ms: int | None = None
    try:
        exchange.check_market(source.symbol, timeframe)
        pages = exchange.closed_candles(source.symbol, timeframe, known.since_ms, now_ms, settings.ingest.page_size)
        for page in pages:
            rows += page
            received += len(page)
            first_ms = first_ms if first_ms is not None else int(page[0][0])
            on_candles(received, (page[-1][0] - first_ms) / max(1, now_ms - first_ms))
            if len(rows) >= BATCH_CANDLES:
                load.store(_frame(rows))
                rows = []
                if load.stopped:
                    break
        if not load.stopped and (rows or not received):
            load.store(_frame(rows))
    except (ExchangeError, ConfigurationError) as error:  # also a market that the exchange no longer has
        load.failed(str(error))
    return replace(load.report, missing=missing_candles(installation, source))


class _Load:
    """The batches of one market's load from a source; each is checked and stored in one transaction."""

    def __init__(
        self, installation: Installation, symbol: str, source: Source, now_ms: int, newest: pd.DataFrame
    ) -> None:
        self._installation = installation
        self._symbol = symbol
        self._source = source
        self._now_ms = now_ms
        self._previous = newest
        self._market = MarketContext.of(*_key(installation, source))
        self._run: int | None = None
        self.report = LoadReport(source.exchange.called, symbol, "ok")

    def _run_id(self, load_id: int) -> int:
        """The first load of this run over the series names it."""
        self._run = self._run or load_id
        return self._run

    @property
    def stopped(self) -> bool:
        return self.report.status == "stopped"

    def store(self, batch: pd.DataFrame) -> None:
        """Check one batch and store what is new of it."""
        if batch.empty:
            self._record(None, 0, 0, "ok", "no closed candle since the last load")
            return
        around = pd.concat([self._previous, batch], ignore_index=True)
        reference = reference_candles(self._installation, self._symbol, self._source, around)
        gate = standing_gate(self._installation.home)(batch, self._market, self._now_ms, self._previous, reference)
        status, message = ("stopped", gate.reason) if gate.stopped else ("ok", "")
        inserted, revised = self._record(gate, len(batch), len(gate.quarantined), status, message)
        if len(gate.good):
            self._previous = gate.good.tail(CANDLES_BEFORE)
        self.report = replace(
            self.report,
            status=status,
            received=self.report.received + len(batch),
            inserted=self.report.inserted + inserted,
            revised=self.report.revised + revised,
            quarantined=self.report.quarantined + len(gate.quarantined),
            message=message,
        )

    def failed(self, message: str) -> None:
        """Put the exchange's failure on record; what was stored before stays."""
        self._record(None, 0, 0, "failed", message)
        self.report = replace(self.report, status="failed", message=message)

    def _record(
        self, gate: GateReport | None, received: int, quarantined: int, status: str, message: str
    ) -> tuple[int, int]:
        now = datetime.fromtimestamp(self._now_ms / 1000, tz=UTC).replace(tzinfo=None)
        market = self._market
        key = [market.exchange, market.symbol, market.timeframe]
        warehouse = self._installation.warehouse
        with warehouse.locked(), warehouse.connect() as connection:
            connection.execute("begin")
            row = connection.execute("select coalesce(max(load_id), 0) + 1 from raw.loads").fetchone()
            load_id = int(row[0]) if row else 1
            inserted, revised = (
                (0, 0) if gate is None else _write_batch(connection, gate, key, (load_id, self._run_id(load_id)), now)
            )
            connection.execute(
                "insert into raw.loads values (?, ?, ?, ?, ?, null, ?, ?, ?, ?, ?, ?, ?)",
                [load_id, *key, now, received, inserted, revised, quarantined, status, message, self._run_id(load_id)],
            )
            connection.execute("commit")
        return inserted, revised


def _write_batch(
    connection: duckdb.DuckDBPyConnection, gate: GateReport, key: list[str], ids: tuple[int, int], now: datetime
) -> tuple[int, int]:
    """Append good rows that are new or revised, quarantined rows and checks; returns (inserted, revised)."""
    load_id, run_id = ids
    good = _naive(gate.good)  # noqa: F841 - DuckDB reads the frames by their names
    connection.execute("create or replace temp table batch as select * from good")
    known = """
        select open_time, open, high, low, close, volume from raw.candles
        where exchange = ? and symbol = ? and timeframe = ? and open_time >= (select min(open_time) from batch)
        qualify row_number() over (partition by open_time order by load_id desc) = 1
    """
    connection.execute(
        f"create or replace temp table fresh as select batch.*, known.open_time is not null as revised "
        f"from batch left join ({known}) as known using (open_time) "
        "where known.open_time is null or (batch.open, batch.high, batch.low, batch.close, batch.volume) "
        "is distinct from (known.open, known.high, known.low, known.close, known.volume)",
        key,
    )
    counts = connection.execute("select count(*) filter (not revised), count(*) filter (revised) from fresh").fetchone()
    connection.execute(
        "insert into raw.candles select ?, ?, ?, open_time, open, high, low, close, volume, ?, ? from fresh",
        [*key, load_id, now],
    )
    quarantined = _naive(gate.quarantined)  # noqa: F841
    connection.execute(
        "insert into raw.quarantine select ?, ?, ?, q.open_time, q.open, q.high, q.low, q.close, q.volume, ?, ?, "
        "q.rule, q.detail from quarantined as q anti join raw.quarantine as old on old.exchange = ? "
        "and old.symbol = ? and old.timeframe = ? and old.open_time = q.open_time and old.rule = q.rule",
        [*key, load_id, now, *key],
    )
    checks = pd.DataFrame(gate.check_rows())  # noqa: F841
    connection.execute(
        "insert into raw.quality_checks select ?, ?, ?, ?, ?, rule, severity, success, rows_checked, rows_failed, "
        "detail, ? from checks",
        [load_id, *key, now, run_id],
    )
    return (int(counts[0]), int(counts[1])) if counts else (0, 0)


def _naive(frame: pd.DataFrame) -> pd.DataFrame:
    """The warehouse keeps UTC without a zone."""
    return frame.assign(open_time=frame["open_time"].dt.tz_localize(None))
