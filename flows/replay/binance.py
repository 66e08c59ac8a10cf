"""The public REST endpoints of Binance that ccxt calls, over a source of candles and a replay clock.

Three interfaces of the same shape: spot markets, perpetuals that settle in the quote currency (linear), and those that
settle in the coin (inverse). As on the exchange: paths, parameters, paging (ascending from startTime; the last rows
without it; at most 1,000 rows, 1,500 of perpetuals), the unfinished current candle as the last row, numbers as text,
error bodies, weights. Different: numbers have 8 decimals, or more where that is needed to return exactly the recorded
one; no ban (418) after many 429, no other parameters, one weight limit for all interfaces, and an interval without a
recording is invalid.

Source: the public documentation of Binance's spot and derivatives APIs, sections General endpoints, Market data and
Error codes.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flows.replay.clock import ReplayClock
from flows.replay.faults import Fault, Faults
from flows.replay.limits import RateLimiter
from flows.replay.source import Candles, CandleSource
from flows.replay.unfinished import unfinished_candle
from ml.errors import CandleDataError
from ml.symbols import MarketName
from ml.timeframes import milliseconds

WEIGHTS = {"ping": 1, "time": 1, "exchangeInfo": 20, "klines": 2}
DEFAULT_LIMIT = 500
INTERFACES = {"api/v3": "spot", "fapi/v1": "linear", "dapi/v1": "inverse"}
LARGEST_LIMITS = {"spot": 1000, "linear": 1500, "inverse": 1500}
#: Tick and lot size finer than any price or amount; those of a real market would round the recorded numbers.
FINEST, LARGEST = "0.000000000001", "1000000000000"
NEVER_MS = 4_133_404_800_000  # when perpetuals are delivered
WHOLE_NUMBER = re.compile(r"[0-9]{1,20}")
ORDER_TYPES = ["LIMIT", "LIMIT_MAKER", "MARKET"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """Status, body and headers of an HTTP answer; `truncated`: only half of the body is sent."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json;charset=UTF-8"
    truncated: bool = False


@dataclass(frozen=True)
class Stall:
    """No answer at all for `seconds`."""

    seconds: float


class _Refusal(Exception):
    """A request that the exchange rejects, with its code and message."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.answer = Answer(status, json.dumps({"code": code, "msg": message}).encode())


class BinanceApi:
    """Answers requests as the exchange would at the time of `clock`; safe to use from several threads."""

    def __init__(self, source: CandleSource, clock: ReplayClock, faults: Faults, limiter: RateLimiter) -> None:
        self._source = source
        self._clock = clock
        self._faults = faults
        self._limiter = limiter
        self._timeframes = source.markets()
        self._listed = _listed(self._timeframes)

    def answer(self, path: str, parameters: Mapping[str, str]) -> Answer | Stall:
        """Answer a GET of `path`, such as api/v3/klines, corrupted if a fault applies."""
        interface, _, endpoint = path.rpartition("/")
        if interface not in INTERFACES or endpoint not in WEIGHTS:
            return Answer(404, b"<html><body>404 Not found</body></html>", content_type="text/html")
        kind = INTERFACES[interface]
        used, wait_seconds = self._limiter.use(WEIGHTS[endpoint])
        headers = {"X-MBX-USED-WEIGHT": str(used), "X-MBX-USED-WEIGHT-1M": str(used)}
        if wait_seconds is not None:
            return self._too_many(wait_seconds, headers)
        # Read the clock once per answer: it may run at any speed.
        now_ms = self._clock.now_ms()
        symbol = self._listed[kind].get(parameters.get("symbol", ""))
        fault = self._faults.strike_answer(endpoint, symbol, now_ms)
        if fault is not None and fault.kind != "truncate":
            return self._spoiled(fault, headers)
        try:
            body = json.dumps(self._body(kind, endpoint, parameters, now_ms), separators=(",", ":")).encode()
        except _Refusal as refusal:
            return Answer(refusal.answer.status, refusal.answer.body, headers)
        return Answer(200, body, headers, truncated=fault is not None)

    def _too_many(self, wait_seconds: int, headers: dict[str, str]) -> Answer:
        message = (
            f"Too much request weight used; current limit is {self._limiter.weight_per_minute} request weight per "
            "1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API."
        )
        body = json.dumps({"code": -1003, "msg": message}).encode()
        return Answer(429, body, headers | {"Retry-After": str(wait_seconds)})

    def _spoiled(self, fault: Fault, headers: dict[str, str]) -> Answer | Stall:
        if fault.kind == "rate_limit":
            return self._too_many(fault.retry_after_seconds, headers)
        if fault.kind == "stall":
            return Stall(fault.stall_seconds)
        # Like most 500s of the exchange, the page of a proxy in front of it: no JSON, no code.
        return Answer(500, b"<html><body>500 Internal Server Error</body></html>", headers, content_type="text/html")

    def _body(self, kind: str, endpoint: str, parameters: Mapping[str, str], now_ms: int) -> object:
        if endpoint == "ping":
            return {}
        if endpoint == "time":
            return {"serverTime": now_ms}
        if endpoint == "exchangeInfo":
            return self._exchange_info(kind, now_ms)
        return self._klines(kind, parameters, now_ms)

    def _exchange_info(self, kind: str, now_ms: int) -> object:
        limit = self._limiter.weight_per_minute
        return {
            "timezone": "UTC",
            "serverTime": now_ms,
            "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": limit}],
            "exchangeFilters": [],
            "symbols": [_market_info(name, symbol) for name, symbol in self._listed[kind].items()],
        }

    def _klines(self, kind: str, parameters: Mapping[str, str], now_ms: int) -> list[list[object]]:
        name = _mandatory(parameters, "symbol")
        interval = _mandatory(parameters, "interval")
        start_ms = _whole_number(parameters, "startTime")
        end_ms = _whole_number(parameters, "endTime")
        limit = _whole_number(parameters, "limit")
        largest = LARGEST_LIMITS[kind]
        if limit == 0 or (kind != "spot" and limit is not None and limit > largest):
            raise _Refusal(-1130, "Data sent for parameter 'limit' is not valid.")
        if name not in self._listed[kind]:
            raise _Refusal(-1121, "Invalid symbol.")
        symbol = self._listed[kind][name]
        if interval not in self._timeframes[symbol]:
            raise _Refusal(-1120, "Invalid interval.")
        candles = self._load(symbol, interval)
        faults = self._faults.strike_data(symbol, now_ms)
        rows = _rows(candles, (start_ms, end_ms), now_ms, faults)
        limit = min(DEFAULT_LIMIT if limit is None else limit, largest)
        rows = rows[-limit:] if start_ms is None else rows[:limit]
        length_ms = milliseconds(interval)
        page = _as_of(candles.take(rows), symbol, length_ms, now_ms)
        for fault in faults:
            if fault.kind == "revise":
                page = _revised(page, fault, now_ms - length_ms)
        return _as_text(page, length_ms, kind)

    def _load(self, symbol: str, interval: str) -> Candles:
        try:
            return self._source.candles(symbol, interval)
        except CandleDataError as error:
            # The client does not get the cause, so the server logs it.
            _logger.error("%s", error)
            raise _Refusal(-1000, str(error), status=500) from error


def _mandatory(parameters: Mapping[str, str], name: str) -> str:
    if not parameters.get(name):
        raise _Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return parameters[name]


def _whole_number(parameters: Mapping[str, str], name: str) -> int | None:
    if name not in parameters:
        return None
    if not WHOLE_NUMBER.fullmatch(parameters[name]):
        raise _Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    # Twenty digits are legal but do not fit 64 bits.
    return min(int(parameters[name]), 2**62)


def _rows(
    candles: Candles, window_ms: tuple[int | None, int | None], now_ms: int, faults: list[Fault]
) -> NDArray[np.int64]:
    """Rows of candles that opened by now and within the window (both ends included), after gap and duplicate faults."""
    start_ms, end_ms = window_ms
    last_ms = now_ms if end_ms is None else min(now_ms, end_ms)
    first = 0 if start_ms is None else int(np.searchsorted(candles.open_time_ms, start_ms, side="left"))
    rows = np.arange(first, int(np.searchsorted(candles.open_time_ms, last_ms, side="right")), dtype=np.int64)
    for fault in faults:
        struck = _struck(candles.open_time_ms[rows], fault)
        if fault.kind == "gap":
            rows = rows[~struck]
        elif fault.kind == "duplicate":
            rows = np.repeat(rows, np.where(struck, 2, 1))
    return rows


def _struck(open_time_ms: NDArray[np.int64], fault: Fault) -> NDArray[np.bool_]:
    struck = np.ones(len(open_time_ms), dtype=np.bool_)
    if fault.start_ms is not None:
        struck &= open_time_ms >= fault.start_ms
    if fault.end_ms is not None:
        struck &= open_time_ms < fault.end_ms
    return struck


def _as_of(page: Candles, symbol: str, length_ms: int, now_ms: int) -> Candles:
    """The page with its unfinished candles as of now; modifies the arrays of `page`, which are copies."""
    for row in np.flatnonzero(page.open_time_ms + length_ms > now_ms):
        open_time_ms = int(page.open_time_ms[row])
        elapsed = (now_ms - open_time_ms) / length_ms
        page.values[row], page.extras[row] = unfinished_candle(
            symbol, open_time_ms, elapsed, page.values[row], page.extras[row]
        )
    return page


def _revised(page: Candles, fault: Fault, last_closed_ms: int) -> Candles:
    """The page with changed closes and volumes in its struck closed candles, which stay coherent."""
    struck = _struck(page.open_time_ms, fault) & (page.open_time_ms <= last_closed_ms)
    values = page.values.copy()
    values[struck, 3:] *= fault.factor
    values[struck, 1] = np.maximum(values[struck, 1], values[struck, 3])
    values[struck, 2] = np.minimum(values[struck, 2], values[struck, 3])
    return Candles(page.open_time_ms, values, page.extras)


def _as_text(page: Candles, length_ms: int, kind: str) -> list[list[object]]:
    """Rows in the exchange's format: 12 fields; for inverse perpetuals coin and quote fields are swapped."""
    rows: list[list[object]] = []
    for open_time_ms, values, extras in zip(
        page.open_time_ms.tolist(), page.values.tolist(), page.extras.tolist(), strict=True
    ):
        quote_volume, trades, taker_buy_volume = extras
        taker_buy_quote = quote_volume * taker_buy_volume / values[4] if values[4] else 0.0
        volumes, taker_buys = (values[4], quote_volume), (taker_buy_volume, taker_buy_quote)
        if kind == "inverse":
            volumes, taker_buys = volumes[::-1], taker_buys[::-1]
        rows.append(
            [
                open_time_ms,
                *map(_text, values[:4]),
                _text(volumes[0]),
                open_time_ms + length_ms - 1,
                _text(volumes[1]),
                int(trades),
                *map(_text, taker_buys),
                "0",
            ]
        )
    return rows


def _text(number: float) -> str:
    """A number without exponent that parses to the same value: 8 decimals, or more where these are too few."""
    text = f"{number:.8f}"
    return text if float(text) == number else np.format_float_positional(number, unique=True, trim="-")


def _kind(symbol: str) -> str:
    market = MarketName.of(symbol)
    if not market.settle:
        return "spot"
    if market.settle == market.quote:
        return "linear"
    if market.settle == market.base:
        return "inverse"
    raise CandleDataError(
        f"{symbol} is neither a spot market nor a perpetual that settles in one of its two currencies. "
        "The recorded exchange has no others; remove its folder."
    )


def _listed(symbols: Iterable[str]) -> dict[str, dict[str, str]]:
    """The markets of each interface: the exchange's own name -> symbol."""
    listed: dict[str, dict[str, str]] = {kind: {} for kind in INTERFACES.values()}
    for symbol in symbols:
        kind, market = _kind(symbol), MarketName.of(symbol)
        name = market.base + market.quote + ("_PERP" if kind == "inverse" else "")
        if name in listed[kind]:  # A/BC and AB/C, which the exchange never lists together
            name = f"{market.base}_{market.quote}"
        listed[kind][name] = symbol
    return listed


def _market_info(name: str, symbol: str) -> object:
    market = MarketName.of(symbol)
    info = {
        "symbol": name,
        "status": "TRADING",
        "baseAsset": market.base,
        "baseAssetPrecision": 8,
        "quoteAsset": market.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": FINEST, "maxPrice": LARGEST, "tickSize": FINEST},
            {"filterType": "LOT_SIZE", "minQty": FINEST, "maxQty": LARGEST, "stepSize": FINEST},
        ],
    }
    if market.settle:
        return info | {
            "pair": market.base + market.quote,
            "contractType": "PERPETUAL",
            "contractStatus": "TRADING",
            "contractSize": 1,
            "marginAsset": market.settle,
            "deliveryDate": NEVER_MS,
        }
    return info | {
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ORDER_TYPES,
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
    }
