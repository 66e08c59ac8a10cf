"""The exchange, through ccxt: its clock, its markets and its candles, with retries that respect its limits."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import ccxt

from ml.config import ExchangeSettings, Settings
from ml.errors import ConfigurationError, ExchangeError
from ml.timeframes import milliseconds

_logger = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
#: What may pass when it is tried again: refused, down, timed out, cut off.
TRANSIENT = (ccxt.NetworkError, ccxt.BadResponse)


class Exchange:
    """One exchange's public market data.

    Args:
        settings: which exchange, where, how patiently.
        sleep: waits so many seconds; tests put their own in.

    Raises:
        ConfigurationError: ccxt does not know the exchange.
    """

    def __init__(self, settings: ExchangeSettings, sleep: Callable[[float], None] = time.sleep) -> None:
        if settings.id not in ccxt.exchanges:
            raise ConfigurationError(
                f"Unknown exchange {settings.id!r} under [exchange] or [combine]. Use one that ccxt lists."
            )
        self._settings = settings
        self._sleep = sleep
        self._client = getattr(ccxt, settings.id)(
            {
                "enableRateLimit": True,
                "timeout": int(settings.timeout_seconds * 1000),
                "apiKey": settings.api_key.get_secret_value(),
                "secret": settings.api_secret.get_secret_value(),
                # Candles of the spot market only; otherwise ccxt asks four more services at start.
                "options": {"fetchMarkets": {"types": ["spot"]}},
            }
        )
        if settings.base_url:
            self._point_to(settings.base_url.rstrip("/"))

    def _point_to(self, base_url: str) -> None:
        """Put `base_url` in the place of every host, keeping the paths."""

        def moved(entry: Any) -> Any:
            if isinstance(entry, dict):
                return {name: moved(value) for name, value in entry.items()}
            path = entry.split("://", 1)[-1].partition("/")[2]
            return f"{base_url}/{path}"

        self._client.urls["api"] = moved(self._client.urls["api"])

    def _retry_after(self) -> float | None:
        headers = self._client.last_response_headers or {}
        value = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
        return float(value) if value and value.replace(".", "", 1).isdigit() else None

    def _patiently(self, what: str, call: Callable[[], _Answer]) -> _Answer:
        """Call, and try again after transient failures with growing pauses, or after the time the exchange names."""
        for attempt in range(self._settings.retries + 1):
            try:
                return call()
            except TRANSIENT as error:
                reason = f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"
                if attempt == self._settings.retries:
                    raise ExchangeError(
                        f"{self._settings.id} failed at {what} {attempt + 1} times, last with {reason}. "
                        "Check the connection and its settings, then run again: it goes on from here."
                    ) from error
                limited = isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded)
                pause = (self._retry_after() if limited else None) or min(
                    LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(1.0, 1.25)
                )
                _logger.warning("%s: %s; trying again in %.1f s", what, reason, pause)
                self._sleep(pause)
            except ccxt.BaseError as error:
                reason = f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"
                raise ExchangeError(f"{self._settings.id} refused {what}: {reason}. Check the settings.") from error
        raise AssertionError("unreachable")

    def now_ms(self) -> int:
        """The exchange's clock, milliseconds since 1970-01-01 UTC; all decisions about closed candles use it."""
        return int(self._patiently("the time", self._client.fetch_time))

    def check_market(self, symbol: str, timeframe: str) -> None:
        """Make sure that the exchange has the market and the timeframe.

        Raises:
            ConfigurationError: it does not.
        """
        self._patiently("the list of markets", self._client.load_markets)
        if symbol not in self._client.markets:
            raise ConfigurationError(
                f"{self._settings.id} has no market {symbol!r}. "
                "Mend `symbols` under [markets] or of that source, or --markets."
            )
        if timeframe not in self._client.timeframes:
            raise ConfigurationError(
                f"{self._settings.id} has no timeframe {timeframe!r}. Mend `base_timeframe` under [markets]."
            )

    def closed_candles(
        self, symbol: str, timeframe: str, since_ms: int, now_ms: int, page_size: int
    ) -> Iterator[list[list[float]]]:
        """Pages of closed candles, oldest first: lists of [open time ms, open, high, low, close, volume].

        Pages forward from `since_ms` and never asks beyond `now_ms`. The candle that contains `now_ms` is left out.
        """
        length = milliseconds(timeframe)
        cursor = since_ms - since_ms % length
        while cursor + length <= now_ms:
            page = self._patiently(
                f"candles of {symbol} {timeframe}",
                lambda: self._client.fetch_ohlcv(symbol, timeframe, since=cursor, limit=page_size),  # noqa: B023
            )
            closed = [row for row in page if row[0] + length <= now_ms]
            if closed:
                yield closed
            if not page or page[-1][0] + length > now_ms:
                return
            cursor = int(page[-1][0]) + length


def exchange_time_ms(settings: Settings) -> int:
    """The time that all decisions about closed candles use: the clock of the first source that answers.

    Raises:
        ConfigurationError: ccxt does not know one of the exchanges; none has been asked then.
        ExchangeError: no source answers; the message is of the first one.
    """
    exchanges = [Exchange(exchange) for exchange in settings.exchanges()]
    failures = []
    for exchange in exchanges:
        try:
            return exchange.now_ms()
        except ExchangeError as error:
            failures.append(error)
    raise failures[0]
