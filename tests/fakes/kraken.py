"""Kraken: the newest 720 candles only, whatever `since` says.

Ascending, those that open after `since` (seconds, excluded; ccxt asks from one candle before) among the newest 720, the
unfinished one always as the last. `last` is the open time of the newest finished one. So a window of the past gives
the newest candles that lie in it, if any are left, and a `since` in the future gives the unfinished candle. Errors come
with status 200. The clock has seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from tests.fakes.exchange import Answer, Fake, Parameters, Refused, Symbol, whole

KEPT = 720
INTERVALS = {"1", "5", "15", "30", "60", "240", "1440"}
#: Kraken's own names of old currencies: code of ours -> (asset, altname).
ASSETS = {
    "BTC": ("XXBT", "XBT"),
    "ETH": ("XETH", "ETH"),
    "LTC": ("XLTC", "LTC"),
    "XRP": ("XXRP", "XRP"),
    "DOGE": ("XXDG", "XDG"),
    "USD": ("ZUSD", "USD"),
    "EUR": ("ZEUR", "EUR"),
}


class KrakenFake(Fake):
    """Kraken with spot markets."""

    exchange_id: ClassVar[str] = "kraken"

    def answer(self, path: str, parameters: Parameters) -> Answer:
        if path == "/0/public/Time":
            seconds = self.now_ms // 1000
            text = datetime.fromtimestamp(seconds, UTC).strftime("%a, %d %b %y %H:%M:%S +0000")
            return _result({"unixtime": seconds, "rfc1123": text})
        if path == "/0/public/Assets":
            codes = {code for symbol in self.symbols for code in (symbol.base, symbol.quote)}
            return _result({_asset(code)[0]: _currency(code) for code in sorted(codes)})
        if path == "/0/public/AssetPairs":
            return _result({_id(symbol): _pair(symbol) for symbol in self.symbols})
        if path == "/0/public/OHLC":
            return _result(self._ohlc(parameters))
        raise _refusal("EGeneral:Unknown method")

    def _ohlc(self, parameters: Parameters) -> dict[str, object]:
        pair, interval = parameters.get("pair", ""), parameters.get("interval", "1")
        markets = {name: symbol for symbol in self.symbols for name in (_id(symbol), _altname(symbol))}
        if pair not in markets:
            raise _refusal("EQuery:Unknown asset pair")
        if interval not in INTERVALS or not self.serves(int(interval) * 60_000):
            raise _refusal("EGeneral:Invalid arguments:interval")
        since = whole(parameters, "since", _refusal("EGeneral:Invalid arguments:since").answer)
        length = int(interval) * 60_000
        rows = self.shown(markets[pair].name, length)[-KEPT:]
        finished = rows[rows.time_ms + length <= self.now_ms]
        if since is not None:
            rows = rows[(rows.time_ms > since * 1000) | (rows.time_ms + length > self.now_ms)]
        entries = [
            [time // 1000, opening, high, low, close, close, volume, 0 if volume == "0" else 7]
            for time, (opening, high, low, close, volume) in rows.texts()
        ]
        return {_id(markets[pair]): entries, "last": int(finished.time_ms[-1]) // 1000 if len(finished) else 0}


def _result(result: dict[str, object]) -> Answer:
    return Answer({"error": [], "result": result})


def _refusal(error: str) -> Refused:
    return Refused(Answer({"error": [error]}))


def _asset(code: str) -> tuple[str, str]:
    return ASSETS.get(code, (code, code))


def _id(symbol: Symbol) -> str:
    """XXBTZUSD between old currencies, ADAUSD otherwise."""
    base, quote = _asset(symbol.base), _asset(symbol.quote)
    old = symbol.base in ASSETS and symbol.quote in ASSETS
    return base[0] + quote[0] if old else base[1] + quote[1]


def _altname(symbol: Symbol) -> str:
    return _asset(symbol.base)[1] + _asset(symbol.quote)[1]


def _currency(code: str) -> dict[str, object]:
    return {
        "aclass": "currency",
        "altname": _asset(code)[1],
        "decimals": 10,
        "display_decimals": 5,
        "status": "enabled",
    }


def _pair(symbol: Symbol) -> dict[str, object]:
    return {
        "altname": _altname(symbol),
        "wsname": f"{_asset(symbol.base)[1]}/{_asset(symbol.quote)[1]}",
        "aclass_base": "currency",
        "base": _asset(symbol.base)[0],
        "aclass_quote": "currency",
        "quote": _asset(symbol.quote)[0],
        "lot": "unit",
        "pair_decimals": 1,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD",
        "ordermin": "0.0001",
        "status": "online",
    }
