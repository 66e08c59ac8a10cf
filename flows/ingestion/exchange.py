"""The exchange, through ccxt: its clock, markets and candles, with retries that respect its rate limits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial

from flows.ingestion.answers import candle_rows
from flows.ingestion.client import market_type, new_client
from flows.ingestion.paging import Days, Pages, Rows
from flows.ingestion.retrying import Retrying
from flows.settings import ExchangeSettings, Settings
from ml.errors import ConfigurationError, ExchangeError
from ml.symbols import MarketName
from ml.timeframes import DAY_MS, milliseconds, utc_text

_logger = logging.getLogger(__name__)

#: Tolerance between two readings of the exchange's clock, and between that clock and ours.
CLOCK_TOLERANCE_MS = 60_000
#: An exchange whose clock is nearer to ours than this is taken for live, not recorded.
LIVE_MS = 2 * DAY_MS
#: Page size where ccxt does not know that of the exchange: small enough for all.
SMALLEST_WINDOW = 100
#: The largest page size requested.
MOST_ROWS = 1000


class Exchange:
    """One exchange's public market data.

    Args:
        settings: which exchange, its address, time limits and retries.
        sleep: waits for a number of seconds; replaced in tests.
        clock: our own time, seconds since 1970; used for exchanges without a clock, and to check the others.
        symbols: the markets that will be requested; their types decide which market lists are loaded.

    Raises:
        ConfigurationError: ccxt does not know the exchange.
    """

    def __init__(
        self,
        settings: ExchangeSettings,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        symbols: tuple[str, ...] = (),
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._client = new_client(settings, symbols)
        self._retrying = Retrying(settings, self._client, sleep, clock)
        self._days: dict[str, Days] = {}

    def last_answer(self) -> str:
        """The beginning of the last answer, for a message; empty where there was none."""
        return self._retrying.last_answer()

    def now_ms(self) -> int:
        """The exchange's clock, milliseconds since 1970-01-01 UTC; all decisions about closed candles use it.

        Without an exchange clock ours is used. Where both agree to a minute the earlier one is taken: a fast clock must
        not make a candle look closed. Where they do not, the exchange's is read twice, for the same reason.

        Raises:
            ExchangeError: no answer, a clock that runs backwards, or a live clock that disagrees with ours.
        """
        ours = int(self._clock() * 1000)
        if not self._client.has.get("fetchTime"):
            return ours
        first = self._read_clock()
        if abs(first - ours) <= CLOCK_TOLERANCE_MS:
            return min(first, ours)
        second = self._read_clock()
        if second < first - CLOCK_TOLERANCE_MS:
            raise ExchangeError(
                f"The clock of {self._settings.id} ran backwards, from {utc_text(first)} to {utc_text(second)}. "
                "Nothing was loaded; run again."
            )
        if not self._settings.base_url or abs(first - ours) <= LIVE_MS:
            raise ExchangeError(
                f"The clock of {self._settings.id} says {utc_text(first)}, ours {utc_text(ours)}: they differ by more "
                f"than {CLOCK_TOLERANCE_MS // 1000} s. Nothing was loaded; set this machine's clock, or run again."
            )
        return first

    def _read_clock(self) -> int:
        value = self._retrying.ask("the time", self._client.fetch_time)
        try:
            now_ms = int(value)
        except (TypeError, ValueError, OverflowError):
            raise ExchangeError(
                self._retrying.stopped("the time", f"not a time in milliseconds: {value!r:.40}")
            ) from None
        if not 0 < now_ms < 10**14:
            raise ExchangeError(self._retrying.stopped("the time", f"not a time in milliseconds: {value!r:.40}"))
        return now_ms

    def resolve(self, symbol: str) -> str:
        """ccxt's name of a market: the symbol itself, with ccxt's currency codes, or the perpetual of the pair.

        Raises:
            ConfigurationError: the exchange has no market of any of these names.
        """
        self._retrying.ask("the list of markets", self._client.load_markets)
        parts = MarketName.of(symbol)
        base, quote, settle = (
            self._client.safe_currency_code(code) or code for code in (parts.base, parts.quote, parts.settle)
        )
        pair = f"{base}/{quote}"
        kind = market_type(self._settings, symbol)
        if settle:
            names = [symbol, f"{pair}:{settle}"]
        elif kind == "spot":
            names = [symbol, pair]
        else:  # the settings ask for the perpetual, even if the exchange also has the pair as a spot market
            names = [f"{pair}:{base if kind == 'inverse' else quote}"]
        for name in names:
            if name in (self._client.markets or {}):
                self._check_kind(name)
                if name != symbol:
                    _logger.info("%s: %s is called %s by ccxt", self._settings.id, symbol, name)
                return name
        also = (
            ""
            if set(names) == {symbol}
            else f" (nor {', '.join(repr(name) for name in dict.fromkeys(names) if name != symbol)})"
        )
        raise ConfigurationError(
            f"{self._settings.id} has no market {symbol!r}{also}. "
            "Correct `symbols` under [markets] or of that source, `market_type`, or --markets."
        )

    def _check_kind(self, name: str) -> None:
        """Make sure that the market is listed with the type its name states: ccxt parses each type differently.

        Raises:
            ExchangeError: it is listed as another type.
        """
        market = self._client.markets[name]
        if bool(market.get("spot")) is not (MarketName.of(name).kind == "spot"):
            kind = f"{name} as {market.get('type')!r:.40}, which its name contradicts"
            raise ExchangeError(self._retrying.stopped("the list of markets", f"it has {kind}"))

    def check_market(self, symbol: str, timeframe: str) -> str:
        """Make sure that the exchange has the market and the timeframe; returns ccxt's name of the market.

        Raises:
            ConfigurationError: it does not.
        """
        name = self.resolve(symbol)
        if timeframe not in (self._client.timeframes or {}):
            raise ConfigurationError(
                f"{self._settings.id} has no timeframe {timeframe!r}. Correct `base_timeframe` under [markets]."
            )
        return name

    def _page(self, symbol: str, timeframe: str, now_ms: int, since_ms: int, limit: int) -> Rows:
        what = f"candles of {symbol} {timeframe}"
        self._retrying.check_deadline(what)

        def ask() -> Rows:
            return candle_rows(self._client.fetch_ohlcv(symbol, timeframe, since=since_ms, limit=limit), now_ms)

        return self._retrying.ask(what, ask)

    def _window(self, page_size: int) -> int:
        """Number of candles that one request is certain to cover."""
        try:
            known = self._client.feature_value_by_type("spot", None, "fetchOHLCV", "limit")
        except Exception:  # clients without features raise arbitrary errors
            known = None
        return max(1, min(page_size, int(known or SMALLEST_WINDOW)))

    def closed_candles(
        self, symbol: str, timeframe: str, since_ms: int, now_ms: int, page_size: int, until_ms: int | None = None
    ) -> Iterator[Rows]:
        """Pages of closed candles: lists of [open time ms, open, high, low, close, volume], oldest first in a page.

        Open times from `since_ms` to `until_ms` (excluded; None: now). The candle that contains `now_ms` is left out.
        """
        length = milliseconds(timeframe)
        end_ms = min(until_ms if until_ms is not None else now_ms, now_ms - now_ms % length)
        ask = partial(self._page, symbol, timeframe, now_ms)
        days = self._days_of(symbol, now_ms) if length < DAY_MS else None
        return Pages(ask, length, self._window(page_size), self._window(MOST_ROWS), since_ms, end_ms, days).closed()

    def first_day_ms(self, symbol: str, since_ms: int, now_ms: int) -> int | None:
        """The day of the exchange's first daily candle from `since_ms` on; None where it has no daily candles."""
        days = self._days_of(symbol, now_ms)
        first = days.first_from(since_ms, now_ms, since_ms) if days else None
        return first if first is not None and first < now_ms else None

    def _days_of(self, symbol: str, now_ms: int) -> Days | None:
        """The daily candles of a market; None where the exchange has none."""
        if symbol not in self._days and "1d" in (self._client.timeframes or {}):
            self._days[symbol] = Days(partial(self._page, symbol, "1d", now_ms), self._window(MOST_ROWS))
        return self._days.get(symbol)


def exchange_time_ms(settings: Settings) -> int:
    """The time that all decisions about closed candles use: the clock of the first source that answers.

    Raises:
        ConfigurationError: ccxt does not know one of the exchanges; no request was sent.
        ExchangeError: no source answers; the message is that of the first one.
    """
    exchanges = [Exchange(exchange) for exchange in settings.exchanges()]
    failures = []
    for exchange in exchanges:
        try:
            return exchange.now_ms()
        except ExchangeError as error:
            failures.append(error)
    raise failures[0]
