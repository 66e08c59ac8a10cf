"""Validate: the quality gate over all stored candles, read-only."""

from __future__ import annotations

from expectations.gate import check_batch
from expectations.report import GateReport, MarketContext
from flows.ingestion.stored import reference_candles, stored_candles
from flows.workspace.workspace import Workspace
from ml.errors import CandleDataError


def validate_stored(workspace: Workspace) -> list[GateReport]:
    """One report per market and source, as of the exchange's time at the last load; sends no request to the exchange.

    Raises:
        CandleDataError: no candle is stored yet.
    """
    settings = workspace.settings
    reports = []
    now_ms = workspace.last_load_ms() or 0  # without a load there are no candles either
    sources = [(symbol, source) for symbol in settings.markets.symbols for source in settings.sources(symbol)]
    for symbol, source in sources:
        candles = stored_candles(workspace, source)
        if len(candles):
            market = MarketContext.of(source.exchange.called, source.symbol, settings.markets.base_timeframe)
            opens = candles["open_time"].astype("int64")
            reference = reference_candles(workspace, symbol, source, int(opens.min()), int(opens.max()))
            reports.append(check_batch(candles, market, now_ms, previous=None, reference=reference))
    if not reports:
        raise CandleDataError(f"No candles in {workspace.warehouse.path}. Run `candleworks ingest`.")
    return reports
