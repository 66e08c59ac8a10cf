"""Binance: spot below /api/v3, linear perpetuals below /fapi/v1, inverse ones below /dapi/v1.

Ascending from startTime (both ends of the window are included), the newest ones without it; gaps are skipped, so the
first page of a market listed later begins with its first candle. Limit 500 by default; at most 1,000 (spot: more is
taken for 1,000) or 1,500 (contracts: more is refused). Nothing in the window: an empty list.
"""

from __future__ import annotations

from typing import ClassVar

from tests.fakes.exchange import Answer, Fake, Parameters, Refused, Symbol, whole

MINUTE = 60_000
INTERVALS = {
    **{f"{n}m": n * MINUTE for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": n * 60 * MINUTE for n in (1, 2, 4, 6, 8, 12)},
    "1d": 1440 * MINUTE,
}
PREFIXES = {"/api/v3/": "spot", "/fapi/v1/": "linear", "/dapi/v1/": "inverse"}
MARGIN = {"spot": 1000, "linear": 1500, "inverse": 1500}
TINY = "0.000000000001"


class BinanceFake(Fake):
    """Binance with spot and perpetual markets."""

    exchange_id: ClassVar[str] = "binance"

    def answer(self, path: str, parameters: Parameters) -> Answer:
        prefix = next((prefix for prefix in PREFIXES if path.startswith(prefix)), None)
        endpoint = path.removeprefix(prefix or "")
        if prefix is None or endpoint not in ("ping", "time", "exchangeInfo", "klines"):
            return Answer(b"<html><body>404 Not found</body></html>", 404, {"Content-Type": "text/html"})
        kind = PREFIXES[prefix]
        if endpoint == "ping":
            return Answer({})
        if endpoint == "time":
            return Answer({"serverTime": self.now_ms})
        markets = {_id(symbol): symbol for symbol in self.symbols if _kind(symbol) == kind}
        if endpoint == "exchangeInfo":
            symbols = [_market(name, symbol) for name, symbol in markets.items()]
            return Answer({"timezone": "UTC", "serverTime": self.now_ms, "rateLimits": [], "symbols": symbols})
        return Answer(self._klines(kind, markets, parameters))

    def _klines(self, kind: str, markets: dict[str, Symbol], parameters: Parameters) -> list[list[object]]:
        for name in ("symbol", "interval"):
            if not parameters.get(name):
                raise _refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        if parameters["symbol"] not in markets:
            raise _refusal(-1121, "Invalid symbol.")
        length = INTERVALS.get(parameters["interval"])
        if length is None or not self.serves(length):
            raise _refusal(-1120, "Invalid interval.")
        start, end, limit = (
            whole(parameters, name, _refusal(-1100, f"Illegal characters found in parameter '{name}'.").answer)
            for name in ("startTime", "endTime", "limit")
        )
        limit = 500 if limit is None else limit
        if limit < 1 or (kind != "spot" and limit > MARGIN[kind]):
            raise _refusal(-1130, "Data sent for parameter 'limit' is not valid.")
        limit = min(limit, MARGIN[kind])
        rows = self.shown(markets[parameters["symbol"]].name, length).between(start, end)
        rows = rows[-limit:] if start is None else rows[:limit]
        return [_row(kind, time, length, values) for time, values in rows.texts()]


class BinanceUsdmFake(BinanceFake):
    """The same as ccxt's client of the linear perpetuals sees it."""

    exchange_id: ClassVar[str] = "binanceusdm"


def _refusal(code: int, message: str) -> Refused:
    return Refused(Answer({"code": code, "msg": message}, 400))


def _kind(symbol: Symbol) -> str:
    if not symbol.settle:
        return "spot"
    return "linear" if symbol.settle == symbol.quote else "inverse"


def _id(symbol: Symbol) -> str:
    return symbol.base + symbol.quote + ("_PERP" if _kind(symbol) == "inverse" else "")


def _row(kind: str, time: int, length: int, values: list[str]) -> list[object]:
    """Contracts on the coin count whole contracts in the place of the volume, and the coin behind it."""
    volumes = ("1", values[4]) if kind == "inverse" else (values[4], "0")
    return [time, *values[:4], volumes[0], time + length - 1, volumes[1], 1, "0", "0", "0"]


def _market(name: str, symbol: Symbol) -> dict[str, object]:
    market = {
        "symbol": name,
        "status": "TRADING",
        "baseAsset": symbol.base,
        "quoteAsset": symbol.quote,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": TINY, "maxPrice": "1000000000000", "tickSize": TINY},
            {"filterType": "LOT_SIZE", "minQty": TINY, "maxQty": "1000000000000", "stepSize": TINY},
        ],
    }
    if symbol.settle:
        contract = {"pair": symbol.base + symbol.quote, "contractType": "PERPETUAL", "marginAsset": symbol.settle}
        return market | contract | {"contractStatus": "TRADING", "deliveryDate": 4133404800000}
    return market | {"isSpotTradingAllowed": True, "permissions": ["SPOT"]}
