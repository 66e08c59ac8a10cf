"""All markets of an installation, a task of Prefect for each market and source."""

from __future__ import annotations

from flows.home.installation import Installation
from flows.ingestion.exchange import Exchange, exchange_time_ms
from flows.ingestion.history import Span
from flows.ingestion.ingest import LoadReport, ingest_market
from flows.reporting import Reporter
from flows.tasks import task
from ml.config import Settings, Source
from ml.errors import ConfigurationError, ExchangeError
from ml.timeframes import utc_ms, utc_text


def run_ingest(
    installation: Installation, reporter: Reporter, span: Span | None = None, symbols: tuple[str, ...] = ()
) -> list[LoadReport]:
    """Map one task per market and source.

    Args:
        installation: where to.
        reporter: told the progress.
        span: read exactly these open times again; None: what is missing, and the end.
        symbols: only these markets; none: all.

    Raises:
        ExchangeError: no source of any market could be loaded at all.
    """
    settings = installation.settings
    now_ms = exchange_time_ms(settings)

    def load_market(name: str, symbol: str, source: Source) -> LoadReport:
        with reporter.step(f"ingest {name}") as step:
            report = ingest_market(
                installation,
                symbol,
                now_ms,
                on_candles=lambda _, share: step.share(share),
                source=source,
                span=span,
            )
            step.say(_ingest_line(report))
        return report

    load = task("ingest-market", load_market, run_name="ingest {name}")
    futures = []
    for symbol in symbols or settings.markets.symbols:
        first, *others = settings.sources(symbol)
        leader = load.submit(_load_name(symbol, first, len(others)), symbol, first)
        # The others are held against what the first one has stored.
        followers = [
            load.submit(_load_name(symbol, one, 1), symbol, one, return_state=False, wait_for=[leader])
            for one in others
        ]
        futures += [leader, *followers]
    reports = [future.result() for future in futures]
    if all(report.status == "failed" for report in reports):
        raise ExchangeError(reports[0].message)
    return reports


def chosen_symbols(settings: Settings, symbols: list[str]) -> tuple[str, ...]:
    """The markets that were asked for; none: all.

    Raises:
        ConfigurationError: one of them is not configured.
    """
    for symbol in symbols:
        if symbol not in settings.markets.symbols:
            known = ", ".join(settings.markets.symbols)
            raise ConfigurationError(f"--symbol {symbol!r} is not under [markets]. Use one of: {known}.")
    return tuple(symbols)


def require_a_market(settings: Settings, symbols: tuple[str, ...]) -> None:
    """Make sure that the exchange has at least one of the markets; one that it has not fails alone.

    Raises:
        ConfigurationError: it has none of them; the message is of the first one.
        ExchangeError: it does not answer.
    """
    wanted = symbols or settings.markets.symbols
    exchange = Exchange(settings.exchange, symbols=wanted)
    first_error = None
    for symbol in wanted:
        try:
            exchange.check_market(symbol, settings.markets.base_timeframe)
        except ConfigurationError as error:
            first_error = first_error or error
        else:
            return
    if first_error is not None:
        raise first_error


def asked_span(settings: Settings, from_text: str | None, to_text: str | None, now_ms: int) -> Span | None:
    """The span of --from and --to; None where neither is given.

    Raises:
        ConfigurationError: a time that cannot be read, or a span that holds no closed candle of the history.
    """
    if from_text is None and to_text is None:
        return None
    start_ms = int(settings.markets.history_start.timestamp() * 1000)
    first = start_ms if from_text is None else _moment("--from", from_text)
    until = now_ms if to_text is None else _moment("--to", to_text)
    if first < start_ms:
        raise ConfigurationError(
            f"--from {from_text} is before history_start {utc_text(start_ms)}. "
            "Set history_start under [markets] earlier; the next ingest then loads what is missing before."
        )
    if not first < min(until, now_ms):
        raise ConfigurationError(
            f"--from {utc_text(first)} is not before {utc_text(min(until, now_ms))}. Give an earlier --from."
        )
    return Span(first, until)


def _moment(option: str, text: str) -> int:
    try:
        return utc_ms(text)
    except ValueError:
        raise ConfigurationError(f"{option} {text!r} is no time. Write it as 2024-01-31 or 2024-01-31T12:00.") from None


def _load_name(symbol: str, source: Source, others: int) -> str:
    return f"{symbol} {source.exchange.called}" if others else symbol


def _ingest_line(report: LoadReport) -> str:
    counts = (
        f"{report.inserted:,} new, {report.revised:,} revised, {report.quarantined:,} quarantined, "
        f"{report.missing:,} missing"
    )
    said = f"; {report.message}" if report.message else ""
    return f"{counts}{said}" if report.status == "ok" else f"{report.status}: {report.message}"
