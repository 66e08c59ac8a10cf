"""Bybit v5: newest first, at most 1,000 a page, `start` and `end` included.

With `start` alone the window is `limit` candles wide from it (`forward_window`), so that one before the listing or in
a halt is empty; whether Bybit skips such gaps instead is not documented, so both can be had. With both ends the newest
`limit` of the window, and the candle that contains `start`. Errors come with status 200 and a retCode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pandas as pd

from tests.fakes.exchange import Answer, Fake, Hook, Parameters, Refused, Symbol, whole

MINUTE = 60_000
INTERVALS = {str(n): n * MINUTE for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)} | {"D": 1440 * MINUTE}
DEFAULT_LIMIT, LARGEST_LIMIT = 200, 1000
CATEGORIES = ("spot", "linear", "inverse")


class BybitFake(Fake):
    """Bybit with spot and perpetual markets.

    Args:
        frames, now_ms, hook, timeframe: as of `Fake`.
        forward_window: whether `start` alone means the window of `limit` candles from it, or the next `limit` candles.
    """

    exchange_id: ClassVar[str] = "bybit"

    def __init__(
        self,
        frames: Mapping[str, pd.DataFrame],
        now_ms: int,
        hook: Hook | None = None,
        timeframe: str = "1h",
        forward_window: bool = True,
    ) -> None:
        super().__init__(frames, now_ms, hook, timeframe)
        self.forward_window = forward_window

    def answer(self, path: str, parameters: Parameters) -> Answer:
        endpoint = path.removeprefix("/v5/market/")
        if endpoint == "time":
            seconds, rest = divmod(self.now_ms, 1000)
            return self._result({"timeSecond": str(seconds), "timeNano": f"{seconds}{rest:03d}000000"})
        category = parameters.get("category", "linear")
        if endpoint not in ("instruments-info", "kline"):
            return Answer(b"", 404)
        markets = {symbol.base + symbol.quote: symbol for symbol in self.symbols if _category(symbol) == category}
        if endpoint == "kline":
            return self._result(self._kline(category, markets, parameters))
        listed = [_instrument(name, symbol) for name, symbol in markets.items()]
        if parameters.get("status") == "PreLaunch" or category not in CATEGORIES:
            listed = []
        return self._result({"category": category, "list": listed, "nextPageCursor": ""})

    def _result(self, result: dict[str, object], code: int = 0, message: str = "OK") -> Answer:
        body = {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": self.now_ms}
        return Answer(body)

    def _kline(self, category: str, markets: dict[str, Symbol], parameters: Parameters) -> dict[str, object]:
        name, length = parameters.get("symbol", ""), INTERVALS.get(parameters.get("interval", ""))
        if name not in markets:
            raise self._refusal("Not supported symbols")
        if length is None or not self.serves(length):
            raise self._refusal("Invalid period!")
        start, end, limit = (
            whole(parameters, key, self._refusal(f"The requested {key} is invalid.").answer)
            for key in ("start", "end", "limit")
        )
        if start is not None and end is not None and start > end:
            raise self._refusal("The requested end time is earlier than the start time.")
        limit = max(1, min(DEFAULT_LIMIT if limit is None else limit, LARGEST_LIMIT))
        if start is not None and end is not None:
            start -= start % length
        elif start is not None and self.forward_window:
            end = start + limit * length - 1
        rows = self.shown(markets[name].name, length).between(start, end)
        rows = rows[:limit] if start is not None and end is None else rows[-limit:]
        found = [_row(category, time, values) for time, values in rows[::-1].texts()]
        return {"category": category, "symbol": name, "list": found}

    def _refusal(self, message: str) -> Refused:
        return Refused(self._result({}, 10001, message))


def _category(symbol: Symbol) -> str:
    if not symbol.settle:
        return "spot"
    return "linear" if symbol.settle == symbol.quote else "inverse"


def _row(category: str, time: int, values: list[str]) -> list[str]:
    """On inverse contracts the quote currency is counted first."""
    volumes = ["1", values[4]] if category == "inverse" else [values[4], "1"]
    return [str(time), *values[:4], *volumes]


def _instrument(name: str, symbol: Symbol) -> dict[str, object]:
    sizes = {"minOrderQty": "0.000001", "maxOrderQty": "1000000", "qtyStep": "0.001", "basePrecision": "0.000001"}
    common = {
        "symbol": name,
        "baseCoin": symbol.base,
        "quoteCoin": symbol.quote,
        "status": "Trading",
        "lotSizeFilter": sizes,
        "priceFilter": {"tickSize": "0.01"},
    }
    if not symbol.settle:
        return common
    kind = "LinearPerpetual" if symbol.settle == symbol.quote else "InversePerpetual"
    return common | {"contractType": kind, "settleCoin": symbol.settle, "deliveryTime": "0", "leverageFilter": {}}
