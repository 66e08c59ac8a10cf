"""Validates the options of `candleworks ingest` before anything is started.

Prefect reads its settings when it is imported, so nothing here imports it.
"""

from __future__ import annotations

from flows.ingestion.exchange import Exchange
from flows.ingestion.history import Span
from flows.settings import Settings
from ml.errors import ConfigurationError
from ml.timeframes import utc_ms, utc_text


def chosen_symbols(settings: Settings, symbols: list[str]) -> tuple[str, ...]:
    """The selected markets; none: all.

    Raises:
        ConfigurationError: one of them is not configured.
    """
    for symbol in symbols:
        if symbol not in settings.markets.symbols:
            known = ", ".join(settings.markets.symbols)
            raise ConfigurationError(f"--symbol {symbol!r} is not under [markets]. Use one of: {known}.")
    return tuple(symbols)


def require_a_market(settings: Settings, symbols: tuple[str, ...]) -> None:
    """Make sure that the exchange has at least one of the markets; a missing one later fails on its own.

    Raises:
        ConfigurationError: it has none of them; the message is that of the first one.
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
        ConfigurationError: a time cannot be parsed, or the span holds no closed candle of the history.
    """
    if from_text is None and to_text is None:
        return None
    start_ms = int(settings.markets.history_start.timestamp() * 1000)
    first = start_ms if from_text is None else _moment("--from", from_text)
    until = now_ms if to_text is None else _moment("--to", to_text)
    if first < start_ms:
        raise ConfigurationError(
            f"--from {from_text} is before history_start {utc_text(start_ms)}. "
            "Set history_start under [markets] earlier; the next ingest then loads the earlier candles."
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
        raise ConfigurationError(
            f"{option} {text!r} is not a time. Write it as 2024-01-31 or 2024-01-31T12:00."
        ) from None
