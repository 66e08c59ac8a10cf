"""Bitstamp: no clock (ccxt knows no time of it), ascending pages of at most 1,000.

With `end` the newest `limit` candles up to it (included) that do not open before `start`; with `start` alone the first
`limit` from it. ccxt always sends both, as wide as the limit: so a window without a candle gives an empty list. Hours
without a trade are candles of Bitstamp (flat, volume 0): put them into the frame.
"""

from __future__ import annotations

from typing import ClassVar

from tests.fakes.exchange import Answer, Fake, Parameters, Refused, Symbol, whole

STEPS = {"60", "180", "300", "900", "1800", "3600", "7200", "14400", "21600", "43200", "86400"}
LARGEST_LIMIT = 1000


class BitstampFake(Fake):
    """Bitstamp with spot markets."""

    exchange_id: ClassVar[str] = "bitstamp"

    def answer(self, path: str, parameters: Parameters) -> Answer:
        if path == "/api/v2/markets/":
            return Answer([_market(symbol) for symbol in self.symbols])
        pair = path.removeprefix("/api/v2/ohlc/").strip("/")
        markets = {_id(symbol): symbol for symbol in self.symbols}
        if not path.startswith("/api/v2/ohlc/") or pair not in markets:
            return Answer(b"<html><body>404 Not found</body></html>", 404, {"Content-Type": "text/html"})
        symbol = markets[pair]
        candles = self._ohlc(symbol.name, parameters)
        return Answer({"data": {"ohlc": candles, "pair": f"{symbol.base}/{symbol.quote}"}})

    def _ohlc(self, symbol: str, parameters: Parameters) -> list[dict[str, str]]:
        step = parameters.get("step", "")
        if step not in STEPS or not self.serves(int(step) * 1000):
            raise _refusal("step", f'"{step}" is not a valid choice.')
        start, end, limit = (
            whole(parameters, name, _refusal(name, "A valid integer is required.").answer)
            for name in ("start", "end", "limit")
        )
        if limit is None or not 1 <= limit <= LARGEST_LIMIT:
            raise _refusal("limit", f"Must be between 1 and {LARGEST_LIMIT} (inclusive).")
        rows = self.shown(symbol, int(step) * 1000).between(
            None if start is None else start * 1000, None if end is None else end * 1000
        )
        rows = rows[:limit] if start is not None and end is None else rows[-limit:]
        return [
            {
                "timestamp": str(time // 1000),
                "open": opening,
                "high": high,
                "low": low,
                "close": close,
                "volume": volume,
            }
            for time, (opening, high, low, close, volume) in rows.texts()
        ]


def _refusal(name: str, message: str) -> Refused:
    body = {"status": "error", "reason": {name: [message]}, "code": "API5504"}
    return Refused(Answer(body, 400))


def _id(symbol: Symbol) -> str:
    return (symbol.base + symbol.quote).lower()


def _market(symbol: Symbol) -> dict[str, object]:
    return {
        "name": f"{symbol.base}/{symbol.quote}",
        "market_symbol": _id(symbol),
        "base_currency": symbol.base,
        "base_decimals": 8,
        "counter_currency": symbol.quote,
        "counter_decimals": 2,
        "minimum_order_value": "10",
        "trading": "Enabled",
        "instant_order_counter_decimals": 2,
        "instant_and_market_orders": "Enabled",
        "description": f"{symbol.base} / {symbol.quote}",
        "market_type": "SPOT",
    }
