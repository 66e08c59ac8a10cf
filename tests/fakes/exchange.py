"""What all fakes share: the server, the clock, the frames cut at now, and the record of what was asked."""

from __future__ import annotations

import json
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import ccxt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.symbols import MarketName
from ml.timeframes import milliseconds

Parameters = Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What goes over the line: a status, any object as JSON (bytes go as they are), headers."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body, separators=(",", ":")).encode()


#: Gets path and parameters of each request; what it returns (status, headers, body) is sent in place of the answer.
#: None lets the fake answer; an empty body with status 0 cuts the line.
Hook = Callable[[str, Parameters], tuple[int, dict[str, str], bytes] | None]


@dataclass(frozen=True)
class Rows:
    """Candles in ascending order: open times in milliseconds, and open, high, low, close, volume of each."""

    time_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    @staticmethod
    def of(frame: pd.DataFrame) -> Rows:
        frame = frame.sort_values("open_time", kind="stable")
        times = pd.DatetimeIndex(pd.to_datetime(frame["open_time"], utc=True)).as_unit("ms")
        return Rows(np.asarray(times.asi8, dtype=np.int64), frame[VALUES].to_numpy(np.float64))

    def __len__(self) -> int:
        return len(self.time_ms)

    def __getitem__(self, rows: Any) -> Rows:
        return Rows(self.time_ms[rows], self.values[rows])

    def between(self, first_ms: int | None, last_ms: int | None) -> Rows:
        """Those that open from `first_ms` to `last_ms`, both included; None is no bound."""
        chosen = np.ones(len(self), dtype=bool)
        if first_ms is not None:
            chosen &= self.time_ms >= first_ms
        if last_ms is not None:
            chosen &= self.time_ms <= last_ms
        return self[chosen]

    def texts(self) -> list[tuple[int, list[str]]]:
        """Each candle with its numbers as text that reads back as the same double."""
        return [(time, [text(x) for x in row]) for time, row in zip(self.time_ms.tolist(), self.values, strict=True)]


VALUES = ["open", "high", "low", "close", "volume"]


def text(number: float) -> str:
    """The shortest decimal without an exponent that reads back as `number`."""
    return np.format_float_positional(number, unique=True, trim="-")


class Refused(Exception):
    """Carries the answer to a request that the exchange turns down."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


@dataclass(frozen=True)
class Symbol:
    """The parts of BASE/QUOTE and BASE/QUOTE:SETTLE."""

    name: str
    base: str
    quote: str
    settle: str

    @staticmethod
    def of(name: str) -> Symbol:
        parts = MarketName.of(name)
        return Symbol(name, parts.base, parts.quote, parts.settle)


class Fake(ABC):
    """One exchange; a context manager.

    Args:
        frames: symbol as ccxt calls it -> candles. A frame without rows is a market that was just listed.
        now_ms: its clock; may be set at any time.
        hook: spoils answers.
        timeframe: length of the candles of the frames.

    Attributes:
        requests: paths with parameters, in the order of their arrival.
    """

    exchange_id: ClassVar[str]

    def __init__(
        self, frames: Mapping[str, pd.DataFrame], now_ms: int, hook: Hook | None = None, timeframe: str = "1h"
    ) -> None:
        self.now_ms = now_ms
        self.hook = hook
        self.requests: list[str] = []
        self._base_ms = milliseconds(timeframe)
        self._rows: dict[str, Rows] = {}
        for symbol, frame in frames.items():
            self.put(symbol, frame)
        self._http: ThreadingHTTPServer | None = None

    def put(self, symbol: str, frame: pd.DataFrame) -> None:
        """List a market, or give it other candles (a revision, a gap that was filled)."""
        self._rows[symbol] = Rows.of(frame)

    @property
    def symbols(self) -> list[Symbol]:
        return [Symbol.of(name) for name in self._rows]

    @property
    def url(self) -> str:
        assert self._http is not None, "the fake is not running"
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @abstractmethod
    def answer(self, path: str, parameters: Parameters) -> Answer:
        """What the exchange says to a GET."""

    def shown(self, symbol: str, length_ms: int, offset_ms: int = 0, *, finished_only: bool = False) -> Rows:
        """Candles of a market as of now, `length_ms` long, on the time grid shifted by `offset_ms`."""
        rows = self._rows[symbol]
        rows = rows[rows.time_ms <= self.now_ms]
        if len(rows) and rows.time_ms[-1] + self._base_ms > self.now_ms:
            rows = Rows(rows.time_ms, np.vstack([rows.values[:-1], self._unfinished(rows)]))
        if length_ms != self._base_ms:
            rows = _longer(rows, length_ms, offset_ms)
        return rows[rows.time_ms + length_ms <= self.now_ms] if finished_only else rows

    def _unfinished(self, rows: Rows) -> NDArray[np.float64]:
        share = (self.now_ms - rows.time_ms[-1]) / self._base_ms
        opening, high, low, close, volume = rows.values[-1]
        last = opening + (close - opening) * share / 2
        return np.array([opening, min(high, max(opening, last)), max(low, min(opening, last)), last, volume * share])

    def serves(self, length_ms: int) -> bool:
        """Whether candles so long can be put together from those of the frames."""
        return length_ms % self._base_ms == 0

    def __enter__(self) -> Self:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._http is not None
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def respond(self, target: str) -> Answer:
        """The answer to a request, after the hook."""
        parts = urlsplit(target)
        # Clients that replace a host by an address with a slash at its end ask for //path.
        path = re.sub("/{2,}", "/", unquote(parts.path))
        parameters = dict(parse_qsl(parts.query))
        self.requests.append(path + (f"?{parts.query}" if parts.query else ""))
        spoiled = self.hook(path, parameters) if self.hook else None
        if spoiled is not None:
            return Answer(spoiled[2], spoiled[0], spoiled[1])
        try:
            return self.answer(path, parameters)
        except Refused as refusal:
            return refusal.answer


def whole(parameters: Parameters, name: str, refusal: Answer) -> int | None:
    """A parameter as a whole number; None without it.

    Raises:
        Refused: with `refusal`, if it is something else.
    """
    if name not in parameters:
        return None
    if not re.fullmatch(r"-?[0-9]{1,18}", parameters[name]):
        raise Refused(refusal)
    return int(parameters[name])


def connected(fake: Fake, **options: Any) -> Any:
    """A ccxt client of the exchange, every host of which is the fake."""
    client = getattr(ccxt, fake.exchange_id)({"enableRateLimit": False, "timeout": 10_000, "options": options})

    def moved(entry: Any) -> Any:
        if isinstance(entry, dict):
            return {name: moved(value) for name, value in entry.items()}
        return f"{fake.url}/{entry.split('://', 1)[-1].partition('/')[2]}"

    client.urls["api"] = moved(client.urls["api"])
    return client


def _longer(rows: Rows, length_ms: int, offset_ms: int) -> Rows:
    if not len(rows):
        return rows
    opening = (rows.time_ms - offset_ms) // length_ms * length_ms + offset_ms
    first = np.flatnonzero(np.diff(opening, prepend=opening[0] - 1))
    last = np.append(first[1:], len(rows)) - 1
    o, h, low, c, v = rows.values.T
    values = [
        o[first],
        np.maximum.reduceat(h, first),
        np.minimum.reduceat(low, first),
        c[last],
        np.add.reduceat(v, first),
    ]
    return Rows(opening[first], np.stack(values, axis=1))


def _handler(fake: Fake) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            answer = fake.respond(self.path)
            if answer.status == 0:
                self.close_connection = True
                return
            body = answer.encoded()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            if not any(name.lower() == "content-length" for name in answer.headers):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
