"""Numbers come out of the recorded exchange as they were recorded, however small or large."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.replay import ReplayClock, ReplayServer
from flows.replay.binance import _text
from flows.replay.source import Candles
from ml.timeframes import HOUR_MS

START_MS = 1_600_041_600_000
POSITIVE = st.floats(1e-12, 1e12)


class OneMarket:
    """A source of one hourly market."""

    def __init__(self, symbol: str, frame: pd.DataFrame) -> None:
        self._symbol = symbol
        self._candles = Candles.from_frame(frame)

    def markets(self) -> dict[str, tuple[str, ...]]:
        return {self._symbol: ("1h",)}

    def candles(self, symbol: str, timeframe: str) -> Candles:
        return self._candles


def frame_of(values: np.ndarray) -> pd.DataFrame:
    """Candles of rows (open, high, low, close, volume, quote volume, taker buy volume)."""
    names = ["open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume"]
    times = pd.to_datetime(START_MS + HOUR_MS * np.arange(len(values)), unit="ms", utc=True)
    return pd.DataFrame(values, columns=names).assign(open_time=times, trades=5)


@given(POSITIVE | st.floats(2.3e-308, 1.7e308) | st.just(0.0))
def test_text_reads_back_as_the_same_number(number: float) -> None:
    text = _text(number)
    assert struct.pack("d", float(text)) == struct.pack("d", number)
    assert re.fullmatch(r"\d+(\.\d+)?", text)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (30_000.0, "30000.00000000"),
        (0.00000812, "0.00000812"),
        (2.5e-8, "0.000000025"),
        (3.1e-11, "0.000000000031"),
        (1e-12, "0.000000000001"),
        (1.6e9, "1600000000.00000000"),
        (1 / 3, "0.3333333333333333"),
    ],
)
def test_eight_decimals_as_the_exchange_writes_them_and_more_where_needed(number: float, text: str) -> None:
    assert _text(number) == text


@pytest.mark.parametrize(
    ("symbol", "endpoint", "volume", "quote_volume"),
    [
        ("PEPE/BTC", "publicGetKlines", 5, 7),
        ("PEPE/BTC:BTC", "fapiPublicGetKlines", 5, 7),
        ("PEPE/USD:PEPE", "dapiPublicGetKlines", 7, 5),
    ],
)
def test_candles_arrive_through_ccxt_as_they_are(
    connect: Callable[..., Any], symbol: str, endpoint: str, volume: int, quote_volume: int
) -> None:
    rng = np.random.default_rng(1)
    values = 10 ** rng.uniform(-12, 12, (700, 7))
    values[:7] = np.array([1e-12, 8.12e-6, 2.5e-8, 3.1e-11, 1.6e9, 0.1 + 0.2, 1e12])[:, None]
    source = OneMarket(symbol, frame_of(values))
    with ReplayServer(source, ReplayClock(START_MS + 700 * HOUR_MS)) as server:
        client = connect(server.url, "spot", "linear", "inverse")
        page = client.fetch_ohlcv(symbol, "1h", START_MS, 700)
        name = client.market(symbol)["id"]
        raw = getattr(client, endpoint)({"symbol": name, "interval": "1h", "startTime": START_MS, "limit": 700})
    assert np.array_equal(np.array(page)[:, 1:], values[:, :5])
    assert [float(row[volume]) for row in raw] == values[:, 4].tolist()
    assert [float(row[quote_volume]) for row in raw] == values[:, 5].tolist()
    assert [float(row[10 if symbol == "PEPE/USD:PEPE" else 9]) for row in raw] == values[:, 6].tolist()


def test_no_precision_of_the_market_rounds_the_prices_of_case_05(connect: Callable[..., Any]) -> None:
    source = OneMarket("PEPE/BTC", frame_of(np.full((3, 7), 3.1e-11)))
    with ReplayServer(source, ReplayClock(START_MS + 3 * HOUR_MS)) as server:
        client = connect(server.url)
        client.load_markets()
        assert client.price_to_precision("PEPE/BTC", 3.1e-11) == "0.000000000031"
        assert float(client.price_to_precision("PEPE/BTC", 1.6e9)) == 1.6e9
        assert float(client.amount_to_precision("PEPE/BTC", 2.5e-8)) == 2.5e-8


def test_the_unfinished_candle_of_a_tiny_price_is_within_its_range(connect: Callable[..., Any]) -> None:
    values = np.array([[3.0e-11, 3.4e-11, 2.9e-11, 3.2e-11, 1e9, 0.03, 5e8]] * 3)
    source = OneMarket("PEPE/BTC", frame_of(values))
    with ReplayServer(source, ReplayClock(START_MS + 2 * HOUR_MS + HOUR_MS // 2)) as server:
        _, opening, high, low, close, _ = connect(server.url).fetch_ohlcv("PEPE/BTC", "1h", START_MS, 10)[-1]
    assert opening == 3.0e-11
    assert 2.9e-11 <= low <= min(opening, close) <= max(opening, close) <= high <= 3.4e-11
