"""Loads all markets of a workspace, with one Prefect task per market and source."""

from __future__ import annotations

from prefect import task

from flows.ingestion.exchange import exchange_time_ms
from flows.ingestion.history import Span
from flows.ingestion.ingest import LoadReport, ingest_market
from flows.ingestion.outages import after_outages, outage_line, withdraw_outages
from flows.reporting import Reporter
from flows.settings import Source
from flows.tasks import UNCACHED, show_table
from flows.workspace.workspace import Workspace
from ml.errors import ExchangeError

withdraw = task(name="withdraw-outages", **UNCACHED)(withdraw_outages)


# Not retried: each request to the exchange is, and a market that failed is reported, so that the others continue.
@task(name="ingest-market", task_run_name="ingest {name}", **UNCACHED)
def load_market(
    name: str, workspace: Workspace, symbol: str, source: Source, now_ms: int, span: Span | None, reporter: Reporter
) -> LoadReport:
    """Load one market from one source (see `flows.ingestion.ingest.ingest_market`)."""
    with reporter.step(f"ingest {name}") as step:
        report = ingest_market(
            workspace, symbol, now_ms, on_candles=lambda _, share: step.share(share), source=source, span=span
        )
        step.say(_ingest_line(report))
    return report


def run_ingest(
    workspace: Workspace, reporter: Reporter, span: Span | None = None, symbols: tuple[str, ...] = ()
) -> list[LoadReport]:
    """Load all markets from all their sources, then withdraw outages.

    Args:
        workspace: the target.
        reporter: receives the progress.
        span: read exactly these open times again; None: missing spans and the end.
        symbols: only these markets; none: all.

    Raises:
        ExchangeError: no source of any market could be loaded at all.
    """
    settings = workspace.settings
    now_ms = exchange_time_ms(settings)
    shared = (now_ms, span, reporter)
    futures = []
    for symbol in symbols or settings.markets.symbols:
        first, *others = settings.sources(symbol)
        first_load = load_market.submit(_load_name(symbol, first, len(others)), workspace, symbol, first, *shared)
        # The other sources are checked against the stored candles of the first.
        other_loads = [
            load_market.submit(
                _load_name(symbol, one, 1), workspace, symbol, one, *shared, return_state=False, wait_for=[first_load]
            )
            for one in others
        ]
        futures += [first_load, *other_loads]
    reports = [future.result() for future in futures]
    with reporter.step("ingest outages") as step:
        withdrawn = withdraw(workspace, now_ms)
        step.say(outage_line(withdrawn))
    reports = after_outages(reports, withdrawn)
    show_table("loads", [vars(report) for report in reports], "Candles loaded per market and source")
    if all(report.status == "failed" for report in reports):
        raise ExchangeError(reports[0].message)
    return reports


def _load_name(symbol: str, source: Source, others: int) -> str:
    return f"{symbol} {source.exchange.called}" if others else symbol


def _ingest_line(report: LoadReport) -> str:
    counts = (
        f"{report.inserted:,} new, {report.revised:,} revised, {report.quarantined:,} quarantined, "
        f"{report.missing:,} missing"
    )
    said = f"; {report.message}" if report.message else ""
    return f"{counts}{said}" if report.status == "ok" else f"{report.status}: {report.message}"
