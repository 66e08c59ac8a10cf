"""The families of exchanges that are played, and how each writes a page of candles.

A page is a list of rows; a row is a list or an object, so a column is an index or a name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ml.timeframes import DAY_MS
from tests.fakes import (
    BinanceFake,
    BinanceUsdmFake,
    BitstampFake,
    BybitFake,
    CoinbaseFake,
    Fake,
    KrakenFake,
    OkxFake,
)

Row = Any
MINUTES = ("1m", "5m", "15m", "30m")


@dataclass(frozen=True)
class Family:
    """One way to answer.

    Attributes:
        make: the fake.
        symbol: the market that is asked for.
        rows: the page in an answer's body, to be changed in place.
        columns: open time, open, high, low, close, volume.
        unit_ms: what its stamps count.
        interval: the parameter that says how long the candles are.
        timeframes: those that are played, as the exchange has them.
        options: arguments of the fake.
    """

    make: Callable[..., Fake]
    symbol: str
    rows: Callable[[Any], list[Row]]
    columns: tuple[Any, ...]
    unit_ms: int = 1
    interval: str = "interval"
    timeframes: tuple[str, ...] = (*MINUTES, "1h", "4h", "1d")
    options: Mapping[str, Any] = field(default_factory=dict)

    def fake(self, frame: pd.DataFrame, now_ms: int, timeframe: str) -> Fake:
        return self.make({self.symbol: frame}, now_ms, timeframe=timeframe, **self.options)

    @property
    def exchange(self) -> str:
        return str(getattr(self.make, "exchange_id", ""))

    def page(self, body: Any) -> list[Row] | None:
        """The page of an answer; None where it holds none (an error, something that was spoiled before)."""
        try:
            page = self.rows(body)
        except (KeyError, IndexError, TypeError, AttributeError, StopIteration):
            return None
        return page if isinstance(page, list) and all(isinstance(row, list | dict) for row in page) else None

    def row_like(self, template: Row, open_ms: int, values: list[str]) -> Row:
        """A row of another time and other values."""
        row = template.copy()
        for column, value in zip(self.columns, [open_ms // self.unit_ms, *values], strict=True):
            row[column] = str(value) if isinstance(row[column], str) else value
        return row


def kind_of(path: str) -> str:
    """What a request is for: candles, time or markets."""
    lower = path.lower().rstrip("/")
    if any(word in lower for word in ("kline", "candles", "ohlc")):
        return "candles"
    return "time" if lower.endswith("/time") else "markets"


def length_asked(family: Family, parameters: Mapping[str, str], base_name: str, base_ms: int) -> int:
    """How long the asked candles are: the loads ask for those of the base timeframe, and for days."""
    return base_ms if parameters.get(family.interval, "").removesuffix("utc") == base_name else DAY_MS


def _result_of_kraken(body: Any) -> list[Row]:
    result = body["result"]
    found: list[Row] = next(value for name, value in result.items() if name != "last")
    return found


_BINANCE = {"rows": lambda body: body, "columns": (0, 1, 2, 3, 4, 5)}
_OKX = {"rows": lambda body: body["data"], "interval": "bar"}
_BYBIT = {"rows": lambda body: body["result"]["list"], "columns": (0, 1, 2, 3, 4, 5)}

FAMILIES = {
    "binance": Family(BinanceFake, "BTC/USDT", **_BINANCE),
    "binance perpetual": Family(BinanceFake, "BTC/USDT:USDT", **_BINANCE),
    "binanceusdm": Family(BinanceUsdmFake, "BTC/USDT:USDT", **_BINANCE),
    "coinbase": Family(
        CoinbaseFake,
        "BTC/USD",
        lambda body: body["candles"],
        ("start", "open", "high", "low", "close", "volume"),
        unit_ms=1000,
        interval="granularity",
        timeframes=(*MINUTES, "1h", "2h", "1d"),
    ),
    "kraken": Family(KrakenFake, "BTC/USD", _result_of_kraken, (0, 1, 2, 3, 4, 6), unit_ms=1000),
    "bitstamp": Family(
        BitstampFake,
        "BTC/USD",
        lambda body: body["data"]["ohlc"],
        ("timestamp", "open", "high", "low", "close", "volume"),
        unit_ms=1000,
        interval="step",
    ),
    "okx": Family(OkxFake, "BTC/USDT", columns=(0, 1, 2, 3, 4, 5), **_OKX),
    "okx long pages": Family(OkxFake, "BTC/USDT", columns=(0, 1, 2, 3, 4, 5), options={"history_limit": 300}, **_OKX),
    "okx swap": Family(OkxFake, "BTC/USDT:USDT", columns=(0, 1, 2, 3, 4, 6), **_OKX),
    "bybit": Family(BybitFake, "BTC/USDT", **_BYBIT),
    "bybit forward": Family(BybitFake, "BTC/USDT", options={"forward_window": False}, **_BYBIT),
    "bybit swap": Family(BybitFake, "BTC/USDT:USDT", **_BYBIT),
}
