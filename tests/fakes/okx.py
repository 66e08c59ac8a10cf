"""OKX: newest first, between `before` and `after` (milliseconds, both excluded), cut off at the old end.

/market/candles keeps the newest 1,440 and gives at most 300 a page; /market/history-candles has all finished ones and
gives at most `history_limit` a page: 100 for years, 300 of late. ccxt chooses between them by the client's clock, and
asks both for windows of 300: where only 100 come, they are the newest of the window and the 200 before are skipped.
Nothing in the window: an empty list. Candles of 6 hours and more open at 00:00 in Hong Kong, those named ...utc in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pandas as pd

from tests.fakes.exchange import Answer, Fake, Hook, Parameters, Refused, Symbol, whole

MINUTE = 60_000
HOUR = 60 * MINUTE
BARS = {f"{n}m": n * MINUTE for n in (1, 3, 5, 15, 30)} | {f"{n}H": n * HOUR for n in (1, 2, 4)}
LONG_BARS = {"6H": 6 * HOUR, "12H": 12 * HOUR, "1D": 24 * HOUR}
KEPT = 1440
DEFAULT_LIMIT, LARGEST_LIMIT = 100, 300


class OkxFake(Fake):
    """OKX with spot and swap markets.

    Args:
        frames, now_ms, hook, timeframe: as of `Fake`.
        history_limit: largest page of old candles.
    """

    exchange_id: ClassVar[str] = "okx"

    def __init__(
        self,
        frames: Mapping[str, pd.DataFrame],
        now_ms: int,
        hook: Hook | None = None,
        timeframe: str = "1h",
        history_limit: int = 100,
    ) -> None:
        super().__init__(frames, now_ms, hook, timeframe)
        self.history_limit = history_limit

    def answer(self, path: str, parameters: Parameters) -> Answer:
        endpoint = path.removeprefix("/api/v5/")
        if endpoint == "public/time":
            return _data([{"ts": str(self.now_ms)}])
        if endpoint == "public/instruments":
            kind = parameters.get("instType", "")
            return _data([_instrument(symbol) for symbol in self.symbols if _kind(symbol) == kind])
        if endpoint in ("market/candles", "market/history-candles"):
            return _data(self._candles(parameters, history=endpoint.endswith("history-candles")))
        raise _refusal("50404", "Not Found", 404)

    def _candles(self, parameters: Parameters, *, history: bool) -> list[list[str]]:
        markets = {_id(symbol): symbol for symbol in self.symbols}
        symbol = markets.get(parameters.get("instId", ""))
        if symbol is None:
            raise _refusal("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        bar = parameters.get("bar", "1m")
        length = BARS.get(bar) or LONG_BARS.get(bar.removesuffix("utc"))
        if length is None or not self.serves(length):
            raise _refusal("51000", "Parameter bar error", 400)
        before, after, limit = (
            whole(parameters, name, _refusal("51000", f"Parameter {name} error", 400).answer)
            for name in ("before", "after", "limit")
        )
        offset = -8 * HOUR if bar in LONG_BARS else 0
        rows = self.shown(symbol.name, length, offset, finished_only=history)
        rows = rows if history else rows[-KEPT:]
        rows = rows.between(None if before is None else before + 1, None if after is None else after - 1)
        largest = self.history_limit if history else LARGEST_LIMIT
        rows = rows[-max(1, min(limit or DEFAULT_LIMIT, largest)) :][::-1]
        return [_row(symbol, time, values, time + length <= self.now_ms) for time, values in rows.texts()]


def _data(data: list[object] | list[list[str]]) -> Answer:
    return Answer({"code": "0", "msg": "", "data": data})


def _refusal(code: str, message: str, status: int = 200) -> Refused:
    return Refused(Answer({"code": code, "msg": message, "data": []}, status))


def _kind(symbol: Symbol) -> str:
    return "SWAP" if symbol.settle else "SPOT"


def _id(symbol: Symbol) -> str:
    return f"{symbol.base}-{symbol.quote}" + ("-SWAP" if symbol.settle else "")


def _row(symbol: Symbol, time: int, values: list[str], finished: bool) -> list[str]:
    """Contracts are counted first, then the coin, then the quote currency."""
    volumes = ["1", values[4], "1"] if symbol.settle else [values[4], "1", "1"]
    return [str(time), *values[:4], *volumes, "1" if finished else "0"]


def _instrument(symbol: Symbol) -> dict[str, object]:
    swap = bool(symbol.settle)
    pair = f"{symbol.base}-{symbol.quote}"
    return {
        "instId": _id(symbol),
        "instType": _kind(symbol),
        "baseCcy": "" if swap else symbol.base,
        "quoteCcy": "" if swap else symbol.quote,
        "settleCcy": symbol.settle,
        "uly": pair if swap else "",
        "instFamily": pair if swap else "",
        "ctVal": "0.01" if swap else "",
        "ctType": ("linear" if symbol.settle == symbol.quote else "inverse") if swap else "",
        "lotSz": "0.00000001",
        "minSz": "0.00001",
        "tickSz": "0.1",
        "lever": "10",
        "listTime": "1548133413000",
        "expTime": "",
        "state": "live",
    }
