"""Exchanges as they really answer, one small HTTP server a family: paths, rows, order, page limits, error bodies.

    with CoinbaseFake({"BTC/USD": frame}, now_ms) as fake:
        client = connected(fake)          # a ccxt client pointed at it
        client.fetch_ohlcv("BTC/USD", "1h", since, 300)
        fake.requests                     # paths asked, with their parameters

Frames have the columns open_time (UTC), open, high, low, close, volume; their candles are `timeframe` long, and longer
intervals are put together from them. Nothing that opens after `now_ms` is shown; the candle that contains it is
shown unfinished.
"""

from tests.fakes.binance import BinanceFake, BinanceUsdmFake
from tests.fakes.bitstamp import BitstampFake
from tests.fakes.bybit import BybitFake
from tests.fakes.coinbase import CoinbaseFake
from tests.fakes.exchange import Answer, Fake, Hook, Rows, connected
from tests.fakes.kraken import KrakenFake
from tests.fakes.okx import OkxFake

__all__ = [
    "Answer",
    "BinanceFake",
    "BinanceUsdmFake",
    "BitstampFake",
    "BybitFake",
    "CoinbaseFake",
    "Fake",
    "Hook",
    "KrakenFake",
    "OkxFake",
    "Rows",
    "connected",
]
