"""Requests to an exchange with retries that respect its rate limits; failures end in time with a one-line message."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import ccxt

from flows.ingestion.client import LONGEST_ANSWER_SECONDS, UnboundedAnswerError
from flows.settings import ExchangeSettings
from ml.errors import ExchangeError

_logger = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
#: An exchange that requests a longer pause has banned us: the load fails, and the message says until when.
LONGEST_WAIT_SECONDS = 300.0
#: Upper bound of a requested pause, so that its end is a valid date.
LONGEST_BAN_SECONDS = 366 * 86_400.0
#: Errors that are retried: rate limits, exchange down, time-outs, truncated answers.
TRANSIENT = (ccxt.NetworkError, ccxt.BadResponse)


class RefusedError(ExchangeError):
    """The exchange rejected the request; a retry would change nothing."""


class Retrying:
    """Sends the requests of one load to an exchange, with retries and within its time limit.

    Args:
        settings: which exchange, number of retries and time limits.
        client: ccxt's client, to see the last answer.
        sleep: waits for a number of seconds.
        clock: our own time, seconds since 1970.
    """

    def __init__(
        self, settings: ExchangeSettings, client: Any, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._client = client
        self._sleep = sleep
        self._clock = clock
        self._deadline = time.monotonic() + settings.load_seconds
        self._slept = 0.0

    def _retry_after(self) -> float | None:
        """Seconds to wait as the exchange requests; the header holds seconds or a date (RFC 9110)."""
        headers = self._client.last_response_headers or {}
        value = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
        if value is None:
            return None
        if re.fullmatch(r"\s*[0-9]+(\.[0-9]*)?\s*", value):
            return min(float(value), LONGEST_BAN_SECONDS)
        try:
            until = parsedate_to_datetime(value)
            seconds = float(until.replace(tzinfo=until.tzinfo or UTC).timestamp()) - self._clock()
        except (TypeError, ValueError, OverflowError):
            return None
        return min(max(0.0, seconds), LONGEST_BAN_SECONDS)

    def last_answer(self) -> str:
        """The beginning of the last answer, for a message; empty where there was none."""
        text = " ".join(str(self._client.last_http_response or "").split())
        return f"; the answer began with {text[:80]!r}" if text else ""

    def ask(self, what: str, call: Callable[[], _Answer]) -> _Answer:
        """Call, and retry transient failures after growing pauses, or after the time that the exchange names.

        Raises:
            RefusedError: the exchange rejected the request.
            ExchangeError: no usable answer in time, after all tries.
        """
        for attempt in range(self._settings.retries + 1):
            try:
                return _within(LONGEST_ANSWER_SECONDS + self._settings.timeout_seconds, call)
            except TRANSIENT as error:
                if isinstance(error.__cause__, UnboundedAnswerError):
                    raise ExchangeError(self.stopped(what, str(error.__cause__))) from error
                reason = f"{type(error).__name__}: {_first_line(error)}"
                is_last = attempt == self._settings.retries
                limited = isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded)
                asked = self._retry_after() if limited else None
                if asked is not None and asked > LONGEST_WAIT_SECONDS:
                    if attempt > 0 or is_last:
                        raise ExchangeError(self._banned(what, asked)) from error
                    # Some send milliseconds, or such an answer only once: it counts the second time.
                    asked = LONGEST_PAUSE_SECONDS
                if is_last:
                    raise ExchangeError(
                        f"{self._settings.id} failed at {what} {attempt + 1} times, last with {reason}. "
                        "Check the connection and its settings, then run again: it continues from here."
                    ) from error
                growing = FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(1.0, 1.25)
                self._pause(what, reason, asked or min(LONGEST_PAUSE_SECONDS, growing))
            except ccxt.BaseError as error:
                cause = error.__cause__ if isinstance(error.__cause__, UnboundedAnswerError) else error
                reason = f"{type(error).__name__}: {_first_line(cause)}"
                raise RefusedError(f"{self._settings.id} refused {what}: {reason}. Check the settings.") from error
            except ExchangeError as error:
                raise ExchangeError(self.stopped(what, str(error))) from error
            except Exception as error:  # ccxt parses any answer: a malformed one raises arbitrary errors
                raise ExchangeError(self.stopped(what, f"{type(error).__name__}: {_first_line(error)}")) from error
        raise AssertionError("unreachable")

    def stopped(self, what: str, reason: str) -> str:
        return (
            f"{self._settings.id} gave no usable answer for {what}: {reason}{self.last_answer()}. "
            "Check `id` and `base_url` of the exchange, then run again."
        )

    def _banned(self, what: str, seconds: float) -> str:
        until = datetime.fromtimestamp(self._clock() + seconds, UTC).strftime("%Y-%m-%d %H:%M")
        return (
            f"{self._settings.id} refuses requests until {until} UTC ({seconds:,.0f} s from now by our clock), last "
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
        self.check_deadline(what)
        _logger.warning("%s: %s; trying again in %.1f s", what, reason, seconds)
        self._sleep(seconds)

    def check_deadline(self, what: str) -> None:
        if time.monotonic() > self._deadline:
            raise ExchangeError(self._out_of_time(what))

    def _out_of_time(self, what: str) -> str:
        return (
            f"The load from {self._settings.id} took longer than {self._settings.load_seconds:g} s, last at {what}. "
            "Run again: it continues from here; `load_seconds` under [exchange] allows more."
        )


def _first_line(error: BaseException | None) -> str:
    """The beginning of an error's message, without control characters that a terminal would interpret."""
    lines = str(error).splitlines()
    return "".join(letter if letter.isprintable() else " " for letter in lines[0][:160]) if lines else "no message"


def _within(seconds: float, call: Callable[[], _Answer]) -> _Answer:
    """The result of a call, limited to `seconds`: a client can wait for ever on headers that never end.

    Raises:
        ExchangeError: it took longer; its thread keeps running and ends with the process.
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
