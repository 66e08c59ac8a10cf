"""Coinbase, the advanced trade API that ccxt calls `coinbase`.

The window [start, end] in seconds, both ends included, newest first. A window of 350 candles or more is refused; ccxt
asks for 300 at most. An hour without a trade is no candle, and a window without a candle is an empty list with status
200: nothing says whether the market was not listed yet, was halted, or has ended. The clock has seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from tests.fakes.exchange import Answer, Fake, Parameters, Refused, Symbol, whole

SECONDS = {
    "ONE_MINUTE": 60,
    "FIVE_MINUTE": 300,
    "FIFTEEN_MINUTE": 900,
    "THIRTY_MINUTE": 1800,
    "ONE_HOUR": 3600,
    "TWO_HOUR": 7200,
    "FOUR_HOUR": 14400,
    "SIX_HOUR": 21600,
    "ONE_DAY": 86400,
}
PRODUCTS = "/api/v3/brokerage/market/products"
LARGEST_WINDOW = 350


class CoinbaseFake(Fake):
    """Coinbase with spot markets."""

    exchange_id: ClassVar[str] = "coinbase"

    def answer(self, path: str, parameters: Parameters) -> Answer:
        if path in ("/v2/time", "/api/v3/brokerage/time"):
            return self._time(path)
        if path in ("/v2/currencies", "/v2/currencies/crypto"):
            return Answer({"data": []})
        if path == "/v2/exchange-rates":
            return Answer({"data": {"currency": "USD", "rates": {}}})
        if path == PRODUCTS:
            listed = [] if parameters.get("product_type") == "FUTURE" else [_product(one) for one in self.symbols]
            return Answer({"products": listed, "num_products": len(listed)})
        product = path.removeprefix(PRODUCTS + "/").removesuffix("/candles")
        markets = {_id(symbol): symbol.name for symbol in self.symbols}
        if not (path.startswith(PRODUCTS) and path.endswith("/candles")) or product not in markets:
            raise _refusal("NOT_FOUND", "valid product_id is required", 404)
        return Answer({"candles": self._candles(markets[product], parameters)})

    def _time(self, path: str) -> Answer:
        seconds = self.now_ms // 1000
        iso = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if path == "/v2/time":
            return Answer({"data": {"iso": iso, "epoch": seconds}})
        return Answer({"iso": iso, "epochSeconds": str(seconds), "epochMillis": str(self.now_ms)})

    def _candles(self, symbol: str, parameters: Parameters) -> list[dict[str, str]]:
        seconds = SECONDS.get(parameters.get("granularity", ""))
        if seconds is None or not self.serves(seconds * 1000):
            raise _refusal("INVALID_ARGUMENT", "granularity argument is invalid")
        start, end = (
            whole(parameters, name, _refusal("INVALID_ARGUMENT", f"{name} argument is invalid").answer)
            for name in ("start", "end")
        )
        if start is None or end is None or end < start:
            raise _refusal("INVALID_ARGUMENT", "start and end argument is invalid")
        if (end - start) // seconds >= LARGEST_WINDOW:
            problem = f"number of candles requested should be less than {LARGEST_WINDOW}"
            raise _refusal("INVALID_ARGUMENT", f"start and end argument is invalid - {problem}")
        rows = self.shown(symbol, seconds * 1000).between(start * 1000, end * 1000)[::-1]
        return [
            {"start": str(time // 1000), "low": low, "high": high, "open": opening, "close": close, "volume": volume}
            for time, (opening, high, low, close, volume) in rows.texts()
        ]


def _refusal(code: str, message: str, status: int = 400) -> Refused:
    return Refused(Answer({"error": code, "error_details": message, "message": message}, status))


def _id(symbol: Symbol) -> str:
    return f"{symbol.base}-{symbol.quote}"


def _product(symbol: Symbol) -> dict[str, object]:
    return {
        "product_id": _id(symbol),
        "price": "1",
        "base_increment": "0.00000001",
        "quote_increment": "0.01",
        "price_increment": "0.01",
        "quote_min_size": "1",
        "quote_max_size": "150000000",
        "base_min_size": "0.00000001",
        "base_max_size": "3400",
        "base_name": symbol.base,
        "quote_name": symbol.quote,
        "status": "online",
        "trading_disabled": False,
        "product_type": "SPOT",
        "base_currency_id": symbol.base,
        "quote_currency_id": symbol.quote,
        "alias": "",
        "alias_to": [],
        "product_venue": "CBE",
    }
