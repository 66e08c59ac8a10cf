"""The exchange, through ccxt: its clock, its markets and its candles, with retries that respect its limits."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import ccxt

from flows.ingestion.answers import candle_rows
from flows.ingestion.client import LONGEST_ANSWER_SECONDS, UnboundedAnswerError, market_type, new_client
from ml.config import ExchangeSettings, Settings
from ml.errors import ConfigurationError, ExchangeError
from ml.symbols import MarketName
from ml.timeframes import DAY_MS, milliseconds, utc_text

_logger = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
#: An exchange that asks for a longer pause has banned us: the load ends and says until when.
LONGEST_WAIT_SECONDS = 300.0
#: What may pass when it is tried again: refused, down, timed out, cut off.
TRANSIENT = (ccxt.NetworkError, ccxt.BadResponse)
#: Two readings of the clock, and the exchange's and ours, agree to this.
CLOCK_TOLERANCE_MS = 60_000
#: An exchange whose clock is nearer to ours than this claims to be live, not recorded.
LIVE_MS = 2 * DAY_MS
#: A client that names no page size of its exchange: small enough for all of them.
SMALLEST_WINDOW = 100
#: Empty windows after which the next candle is looked for by bisection.
MOST_EMPTY_WINDOWS = 24


class RefusedError(ExchangeError):
    """The exchange answered that it will not; asking again changes nothing."""


class Exchange:
    """One exchange's public market data.

    Args:
        settings: which exchange, where, how patiently.
        sleep: waits so many seconds; tests put their own in.
        clock: our own time, seconds since 1970; for exchanges without one, and to check the others.
        symbols: the markets that will be asked for; their types decide which lists of markets are loaded.

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
        self._sleep = sleep
        self._clock = clock
        self._client = new_client(settings, symbols)
        self._deadline = time.monotonic() + settings.load_seconds
        self._slept = 0.0
        self._has_days = True
        #: Symbol and start of a window -> the open times of its daily candles.
        self._days: dict[tuple[str, int], list[int]] = {}

    def _retry_after(self) -> float | None:
        """Seconds that the exchange asks to wait; the header holds seconds or a date (RFC 9110)."""
        headers = self._client.last_response_headers or {}
        value = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
        if value is None:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        try:
            until = parsedate_to_datetime(value)
        except (TypeError, ValueError):
            return None
        return max(0.0, float(until.replace(tzinfo=until.tzinfo or UTC).timestamp()) - self._clock())

    def last_answer(self) -> str:
        """How the last answer began, for a message; empty where there was none."""
        text = " ".join(str(self._client.last_http_response or "").split())
        return f"; the answer began with {text[:80]!r}" if text else ""

    def _patiently(self, what: str, call: Callable[[], _Answer]) -> _Answer:
        """Call, and try again after transient failures with growing pauses, or after the time the exchange names."""
        for attempt in range(self._settings.retries + 1):
            try:
                return _within(LONGEST_ANSWER_SECONDS + self._settings.timeout_seconds, call)
            except TRANSIENT as error:
                if isinstance(error.__cause__, UnboundedAnswerError):
                    raise ExchangeError(self._stopped(what, str(error.__cause__))) from error
                reason = f"{type(error).__name__}: {_first_line(error)}"
                is_last = attempt == self._settings.retries
                limited = isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded)
                asked = self._retry_after() if limited else None
                if asked is not None and asked > LONGEST_WAIT_SECONDS:
                    if attempt > 0 or is_last:
                        raise ExchangeError(self._banned(what, asked)) from error
                    asked = (
                        LONGEST_PAUSE_SECONDS  # some send milliseconds, or answer so once: the second time it counts
                    )
                if is_last:
                    raise ExchangeError(
                        f"{self._settings.id} failed at {what} {attempt + 1} times, last with {reason}. "
                        "Check the connection and its settings, then run again: it goes on from here."
                    ) from error
                growing = FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(1.0, 1.25)
                self._pause(what, reason, asked or min(LONGEST_PAUSE_SECONDS, growing))
            except ccxt.BaseError as error:
                cause = error.__cause__ if isinstance(error.__cause__, UnboundedAnswerError) else error
                reason = f"{type(error).__name__}: {_first_line(cause)}"
                raise RefusedError(f"{self._settings.id} refused {what}: {reason}. Check the settings.") from error
            except ExchangeError as error:
                raise ExchangeError(self._stopped(what, str(error))) from error
            except Exception as error:  # ccxt parses what comes: an odd answer raises anything
                raise ExchangeError(self._stopped(what, f"{type(error).__name__}: {_first_line(error)}")) from error
        raise AssertionError("unreachable")

    def _stopped(self, what: str, reason: str) -> str:
        return (
            f"{self._settings.id} gave no usable answer for {what}: {reason}{self.last_answer()}. "
            "Check `id` and `base_url` of the exchange, then run again."
        )

    def _banned(self, what: str, seconds: float) -> str:
        until = datetime.fromtimestamp(self._clock() + seconds, UTC).strftime("%Y-%m-%d %H:%M")
        return (
            f"{self._settings.id} refuses requests until {until} UTC ({seconds:,.0f} s from now by our clock), asked "
            f"for {what}. Run again after that; more frequent requests make such bans longer."
        )

    def _pause(self, what: str, reason: str, seconds: float) -> None:
        """Wait before the next try.

        Raises:
            ExchangeError: the load has no time left.
        """
        self._slept += seconds
        if self._slept > self._settings.load_seconds:
            raise ExchangeError(self._out_of_time(f"{what}, with {reason}"))
        self._check_deadline(what)
        _logger.warning("%s: %s; trying again in %.1f s", what, reason, seconds)
        self._sleep(seconds)

    def _check_deadline(self, what: str) -> None:
        if time.monotonic() > self._deadline:
            raise ExchangeError(self._out_of_time(what))

    def _out_of_time(self, what: str) -> str:
        return (
            f"The load from {self._settings.id} took longer than {self._settings.load_seconds:g} s, last at {what}. "
            "Run again: it goes on from here; `load_seconds` under [exchange] allows more."
        )

    def now_ms(self) -> int:
        """The exchange's clock, milliseconds since 1970-01-01 UTC; all decisions about closed candles use it.

        An exchange without a clock lends ours. A clock is believed where it agrees with ours; where it does not, it is
        read twice, and the earlier reading counts: one wrong answer must not make a candle look closed.

        Raises:
            ExchangeError: no answer, or a clock that runs backwards, or a live one that disagrees with ours.
        """
        ours = int(self._clock() * 1000)
        if not self._client.has.get("fetchTime"):
            return ours
        first = self._read_clock()
        if abs(first - ours) <= CLOCK_TOLERANCE_MS:
            return first
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
        value = self._patiently("the time", self._client.fetch_time)
        try:
            now_ms = int(value)
        except (TypeError, ValueError, OverflowError):
            raise ExchangeError(self._stopped("the time", f"no time in milliseconds: {value!r:.40}")) from None
        if not 0 < now_ms < 10**14:
            raise ExchangeError(self._stopped("the time", f"no time in milliseconds: {value!r:.40}"))
        return now_ms

    def resolve(self, symbol: str) -> str:
        """What ccxt calls the market: itself, with the codes that ccxt renames, or as the perpetual of the pair.

        Raises:
            ConfigurationError: the exchange does not have it under any of these names.
        """
        self._patiently("the list of markets", self._client.load_markets)
        parts = MarketName.of(symbol)
        base, quote, settle = (
            self._client.safe_currency_code(code) or code for code in (parts.base, parts.quote, parts.settle)
        )
        pair = f"{base}/{quote}"
        names = [symbol, f"{pair}:{settle}" if settle else pair]
        kind = market_type(self._settings)
        if not settle and kind != "spot":
            names.append(f"{pair}:{base if kind == 'inverse' else quote}")
        for name in names:
            if name in (self._client.markets or {}):
                if name != symbol:
                    _logger.info("%s: %s is called %s by ccxt", self._settings.id, symbol, name)
                return name
        also = "" if len(set(names)) == 1 else f" (nor {', '.join(repr(name) for name in dict.fromkeys(names[1:]))})"
        raise ConfigurationError(
            f"{self._settings.id} has no market {symbol!r}{also}. "
            "Correct `symbols` under [markets] or of that source, `market_type`, or --markets."
        )

    def check_market(self, symbol: str, timeframe: str) -> str:
        """Make sure that the exchange has the market and the timeframe; returns what ccxt calls the market.

        Raises:
            ConfigurationError: it does not.
        """
        name = self.resolve(symbol)
        if timeframe not in (self._client.timeframes or {}):
            raise ConfigurationError(
                f"{self._settings.id} has no timeframe {timeframe!r}. Correct `base_timeframe` under [markets]."
            )
        return name

    def _page(self, symbol: str, timeframe: str, since_ms: int, limit: int, now_ms: int) -> list[list[float]]:
        what = f"candles of {symbol} {timeframe}"

        def ask() -> list[list[float]]:
            return candle_rows(self._client.fetch_ohlcv(symbol, timeframe, since=since_ms, limit=limit), now_ms)

        return self._patiently(what, ask)

    def _window(self, timeframe: str, page_size: int) -> int:
        """Candles that one request surely covers."""
        try:
            known = self._client.feature_value_by_type("spot", None, "fetchOHLCV", "limit")
        except Exception:  # a client without features raises anything
            known = None
        return max(1, min(page_size, int(known or SMALLEST_WINDOW)))

    def closed_candles(
        self, symbol: str, timeframe: str, since_ms: int, now_ms: int, page_size: int, until_ms: int | None = None
    ) -> Iterator[list[list[float]]]:
        """Pages of closed candles: lists of [open time ms, open, high, low, close, volume], oldest first in a page.

        Pages forward from `since_ms` to `until_ms` (excluded; None: to now). The candle that contains `now_ms` is left
        out. An empty answer is no end: some exchanges answer only a window of time, in which a market may not yet be
        listed, or halted. The next candle is then looked for in daily candles, or by bisection.
        """
        length = milliseconds(timeframe)
        end = min(until_ms if until_ms is not None else now_ms, now_ms - now_ms % length)
        cursor = looked_at = since_ms - since_ms % length
        window = self._window(timeframe, page_size)
        empty = 0

        def page_from(start: int, limit: int = window) -> tuple[list[list[float]], bool]:
            """Closed rows of the span, and whether the answer went on behind it."""
            self._check_deadline(symbol)
            rows = self._page(symbol, timeframe, start, limit, now_ms)
            return [row for row in rows if since_ms - length < row[0] < end], bool(rows and rows[-1][0] >= end)

        while cursor < end:
            rows, went_on = page_from(cursor)
            closed = [row for row in rows if row[0] >= cursor]
            if closed:
                # Some exchanges cut a full window at its older end: ask for that end alone.
                first = int(closed[0][0])
                while 0 < first - cursor < window * length:
                    older = [
                        row for row in page_from(cursor, (first - cursor) // length)[0] if cursor <= row[0] < first
                    ]
                    if not older:
                        break
                    yield older
                    first = int(older[0][0])
                yield closed
                # Right at the start of a window behind empty ones: it may have been one step too far.
                while empty and closed and closed[0][0] == cursor > looked_at:
                    last, cursor = cursor, max(looked_at, cursor - len(closed) * length)
                    closed = [row for row in page_from(cursor)[0] if cursor <= row[0] < last]
                    if closed:
                        yield closed
                cursor = looked_at = int(rows[-1][0]) + length
                empty = 0
            elif went_on:
                return  # what follows lies behind the span: there is nothing in it
            else:
                empty += 1
                span = (cursor + window * length, end)
                cursor = self._after_a_hole(symbol, timeframe, span, now_ms, looked_at, empty)

    def _after_a_hole(
        self, symbol: str, timeframe: str, span: tuple[int, int], now_ms: int, began_ms: int, empty: int
    ) -> int:
        """Where to go on behind `empty` empty windows from `began_ms` on: `span` is what has not been looked at."""
        cursor, end = span
        if cursor >= end:
            return end
        if self._has_days and milliseconds(timeframe) < DAY_MS:
            day = self._next_day(symbol, span, now_ms, began_ms)
            if day is not None:
                cursor = max(cursor, day)
        if empty >= MOST_EMPTY_WINDOWS and cursor < end:
            return self._bisect(symbol, timeframe, (cursor, end), now_ms)
        return min(cursor, end)

    def _next_day(self, symbol: str, span: tuple[int, int], now_ms: int, began_ms: int) -> int | None:
        """The first day in the span that has a daily candle, its end if there is none; None: no daily candles here.

        Daily candles are read in windows from `began_ms` on and kept, so that two questions share their answers.
        """
        cursor, end = span
        day = began_ms - began_ms % DAY_MS
        window = self._window("1d", 1000)
        while day < end:
            if (symbol, day) not in self._days:
                self._check_deadline(f"daily candles of {symbol}")
                try:
                    opens = [int(row[0]) for row in self._page(symbol, "1d", day, window, now_ms)]
                except RefusedError:
                    opens = None
                if opens is None or any(
                    one % DAY_MS for one in opens
                ):  # candles of another length are no answer either
                    self._has_days = False
                    return None
                self._days[symbol, day] = opens
            later = [one for one in self._days[symbol, day] if one + DAY_MS > cursor]
            if later:
                return later[0]
            day += window * DAY_MS
        return end

    def _bisect(self, symbol: str, timeframe: str, span: tuple[int, int], now_ms: int) -> int:
        """The first open time from which on the exchange has candles, taken to have all after it; the end if none."""
        length = milliseconds(timeframe)
        low, high = span
        window = self._window(timeframe, 1000) * length
        while high - low > window:
            middle = low + (high - low) // 2
            middle -= middle % length
            rows = [row for row in self._page(symbol, timeframe, middle, 1000, now_ms) if row[0] >= middle]
            if rows and rows[0][0] > middle:
                return int(rows[0][0])
            if rows:
                high = middle
            else:
                low = middle + window
        return min(low, span[1])

    def first_day_ms(self, symbol: str, since_ms: int, now_ms: int) -> int | None:
        """The day of the exchange's first daily candle from `since_ms` on; None where it has no daily candles."""
        if not self._has_days or "1d" not in (self._client.timeframes or {}):
            return None
        first = self._next_day(symbol, (since_ms, now_ms), now_ms, since_ms)
        return first if first is not None and first < now_ms else None


def _first_line(error: BaseException | None) -> str:
    lines = str(error).splitlines()
    return lines[0][:160] if lines else "no message"


def _within(seconds: float, call: Callable[[], _Answer]) -> _Answer:
    """The result of a call that may take so long: a client can wait for ever on headers that never end.

    Raises:
        ExchangeError: it took longer; its thread is left behind and ends with the process.
    """
    results: list[Any] = []

    def work() -> None:
        try:
            results.append((call(), None))
        except BaseException as error:
            results.append((None, error))

    thread = threading.Thread(target=work, daemon=True, name="exchange-request")
    thread.start()
    thread.join(seconds)
    if not results:
        raise ExchangeError(f"no complete answer within {seconds:g} s")
    value, error = results[0]
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]


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
