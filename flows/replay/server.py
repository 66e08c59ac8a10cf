"""The recorded exchange as an HTTP server: HTTP/1.1 with keep-alive, one thread per connection, standard library only.

Below `/api/v3/`, `/fapi/v1/` and `/dapi/v1/` it is the exchange: spot, linear and inverse perpetuals. Below `/replay/`
drivers control it, without rate limit or faults:

    GET    /replay/clock     {"now_ms": ..., "speed": ...}
    POST   /replay/clock     one or more of {"now_ms": ..., "advance_ms": ..., "speed": ...}, applied in this order
    GET    /replay/faults    the queue, each fault with the number of times it struck
    POST   /replay/faults    a fault or a list of faults (fields: flows.replay.faults.Fault), queued
    DELETE /replay/faults    empties the queue
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self, cast
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from flows.replay.binance import INTERFACES, Answer, BinanceApi, Stall
from flows.replay.clock import ReplayClock
from flows.replay.faults import Fault, Faults
from flows.replay.limits import DEFAULT_WEIGHT_PER_MINUTE, RateLimiter
from flows.replay.source import CandleSource, RecordedCandles, SimulatedCandles
from ml.errors import ConfigurationError, ServiceError
from ml.texts import one_line
from ml.timeframes import HOUR_MS, floor_to_grid

API_PREFIXES = tuple(f"/{interface}/" for interface in INTERFACES)
SIMULATED_SYMBOLS = ("BTC/USDT", "ETH/USDT")
SIMULATED_PAST_HOURS, SIMULATED_FUTURE_HOURS = 20_000, 10_000

_logger = logging.getLogger(__name__)


class _ClockCommand(BaseModel):
    model_config = ConfigDict(extra="forbid")

    now_ms: int | None = Field(default=None, ge=0)
    advance_ms: int | None = Field(default=None, ge=0)
    speed: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    def apply(self, clock: ReplayClock) -> None:
        if self.now_ms is not None:
            clock.set(self.now_ms)
        if self.advance_ms is not None:
            clock.advance(self.advance_ms)
        if self.speed is not None:
            clock.set_speed(self.speed)


_FAULTS = TypeAdapter(list[Fault] | Fault)


class _HttpServer(ThreadingHTTPServer):
    """Holds the state that handlers need, and on closing ends the connections that clients keep alive."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], api: BinanceApi, clock: ReplayClock, faults: Faults) -> None:
        self.api = api
        self.clock = clock
        self.faults = faults
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request_thread(self, request: object, client_address: object) -> None:
        connection = cast(socket.socket, request)
        with self._connections_lock:
            self._connections.add(connection)
        try:
            super().process_request_thread(connection, client_address)
        finally:
            with self._connections_lock:
                self._connections.discard(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        # Clients that disconnect are part of the drill (time-outs); the traceback is only for debugging.
        _logger.debug("connection %s ended with an error", client_address, exc_info=True)

    def stop(self) -> None:
        """Stop serving, end stalled answers and open connections, free the port."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._connections_lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    _logger.debug("a connection was already closed by its client")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # header and body in one packet

    @property
    def _http(self) -> _HttpServer:
        return cast(_HttpServer, self.server)

    def do_GET(self) -> None:
        """Serve the exchange's endpoints, the clock and the faults."""
        parts = urlsplit(self.path)
        if parts.path.startswith(API_PREFIXES):
            answer = self._http.api.answer(parts.path.removeprefix("/"), dict(parse_qsl(parts.query)))
            if isinstance(answer, Stall):
                self._http.stopping.wait(answer.seconds)
                self.close_connection = True
                return
            self._send(answer)
        elif parts.path == "/replay/clock":
            self._send_clock()
        elif parts.path == "/replay/faults":
            self._send_faults()
        else:
            self._send_json(404, {"error": f"no such path: {parts.path}"})

    def do_POST(self) -> None:
        """Set the clock, queue faults."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        try:
            if path == "/replay/clock":
                _ClockCommand.model_validate_json(body).apply(self._http.clock)
                self._send_clock()
            elif path == "/replay/faults":
                faults = _FAULTS.validate_json(body)
                self._http.faults.add(*(faults if isinstance(faults, list) else [faults]))
                self._send_faults()
            else:
                self._send_json(404, {"error": f"no such path: {path}"})
        except ValidationError as error:
            self._send_json(400, {"error": one_line(error)})

    def do_DELETE(self) -> None:
        """Empty the queue of faults."""
        if urlsplit(self.path).path == "/replay/faults":
            self._http.faults.clear()
            self._send_json(200, [])
        else:
            self._send_json(404, {"error": f"no such path: {self.path}"})

    def log_message(self, format: str, *args: object) -> None:
        """Log requests at level debug instead of to standard error."""
        _logger.debug(format, *args)

    def _send_clock(self) -> None:
        clock = self._http.clock
        self._send_json(200, {"now_ms": clock.now_ms(), "speed": clock.speed})

    def _send_faults(self) -> None:
        self._send_json(200, [fault.model_dump(exclude_none=True) for fault in self._http.faults.report()])

    def _send_json(self, status: int, value: object) -> None:
        self._send(Answer(status, json.dumps(value).encode()))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if answer.truncated:
            self.close_connection = True
        self.wfile.write(answer.body[: len(answer.body) // 2] if answer.truncated else answer.body)


class ReplayServer:
    """The recorded exchange in a thread; a context manager.

    Args:
        source: candles to serve.
        clock: the exchange's time.
        host: address to listen on. Drivers are not authenticated: use a loopback address.
        port: 0 takes a free one.
        weight_limit: request weight per minute; that of the real exchange is 6,000.

    Raises:
        CandleDataError: a market is neither spot nor a perpetual.

    Attributes:
        clock, faults: for drivers in the same process.
    """

    def __init__(
        self,
        source: CandleSource,
        clock: ReplayClock,
        host: str = "127.0.0.1",
        port: int = 0,
        weight_limit: int = DEFAULT_WEIGHT_PER_MINUTE,
    ) -> None:
        self.clock = clock
        self.faults = Faults()
        self._api = BinanceApi(source, clock, self.faults, RateLimiter(weight_limit))
        self._host = host
        self._port = port
        self._http: _HttpServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Base address, such as http://127.0.0.1:8900, without a slash at its end.

        Raises:
            ServiceError: the server is not running.
        """
        if self._http is None:
            raise ServiceError("The recorded exchange is not running. Start it before asking for its address.")
        return f"http://{self._host}:{self._http.server_port}"

    def start(self) -> Self:
        """Listen and serve in a thread.

        Raises:
            ServiceError: the port is in use or the address cannot be taken.
        """
        try:
            self._http = _HttpServer((self._host, self._port), self._api, self.clock, self.faults)
        except (OSError, OverflowError) as error:
            raise ServiceError(
                f"The recorded exchange cannot listen on port {self._port} of {self._host} ({error}). "
                "Stop the process that uses the port or choose another with --port (0 takes a free one)."
            ) from error
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, name="recorded-exchange", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving and free the port; without effect when it is not running."""
        if self._http is not None and self._thread is not None:
            self._http.stop()
            self._thread.join()
            self._http = None
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def serve_forever(
    candles: Path | None,
    exchange: str,
    now: datetime,
    *,
    speed: float = 1.0,
    host: str = "127.0.0.1",
    port: int = 8900,
    announce: Callable[[str], None] = _logger.info,
) -> None:
    """Run the recorded exchange until interrupted (Ctrl-C); the body of `candleworks replay`.

    Args:
        candles: folder with `{exchange}/{BASE-QUOTE}/{timeframe}.parquet`; None serves simulated 1h markets around now.
        exchange: the exchange's folder below `candles`.
        now: replayed time at the start, with a time zone.
        speed: replayed seconds per second; 0: stopped until a driver steps the clock.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        announce: called with one line containing the address once the server listens.

    Raises:
        CandleDataError: the folder is missing, holds no candles of the exchange, or a market that cannot be served.
        ConfigurationError: `now` has no time zone, or `speed` is negative.
        ServiceError: the port is in use.
    """
    if now.tzinfo is None:
        raise ConfigurationError(f"The replay time {now} has no time zone. Give one such as {now.isoformat()}Z.")
    now_ms = int(now.timestamp() * 1000)
    source: CandleSource = _simulated(now_ms) if candles is None else RecordedCandles(candles, exchange)
    with ReplayServer(source, ReplayClock(now_ms, speed), host=host, port=port) as server:
        series = ", ".join(f"{symbol} {' '.join(frames)}" for symbol, frames in source.markets().items())
        announce(f"Recorded exchange at {server.url} from {now.isoformat()} at speed {speed:g}: {series}.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            announce("Recorded exchange stopped.")


def _simulated(now_ms: int) -> SimulatedCandles:
    start_ms = floor_to_grid(now_ms, "1h") - SIMULATED_PAST_HOURS * HOUR_MS
    n = SIMULATED_PAST_HOURS + SIMULATED_FUTURE_HOURS
    return SimulatedCandles(SIMULATED_SYMBOLS, "1h", start_ms, n, seed=0)
