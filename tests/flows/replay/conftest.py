"""A recorded exchange over simulated hours, and the real ccxt client pointed at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import ccxt
import pytest

from flows.replay import ReplayClock, ReplayServer, SimulatedCandles
from ml.timeframes import HOUR_MS

START_MS = 1_600_041_600_000  # 2020-09-14 00:00 UTC
ROWS = 3_000
NOW_ROW = 2_500  # the unfinished candle
NOW_MS = START_MS + NOW_ROW * HOUR_MS + HOUR_MS // 2


@pytest.fixture(scope="session")
def source() -> SimulatedCandles:
    return SimulatedCandles(["BTC/USDT", "ETH/USDT"], "1h", START_MS, ROWS, seed=1)


@pytest.fixture
def server(source: SimulatedCandles) -> Iterator[ReplayServer]:
    with ReplayServer(source, ReplayClock(NOW_MS)) as running:
        yield running


@pytest.fixture
def connect() -> Iterator[Callable[..., Any]]:
    """Makes ccxt clients of a base URL, of spot markets or of the given kinds; closes them."""
    clients = []

    def make(url: str, *kinds: str) -> Any:
        client = ccxt.binance(
            {
                "options": {"fetchMarkets": {"types": list(kinds or ("spot",))}},
                "enableRateLimit": False,
                "timeout": 5_000,
            }
        )
        client.urls["api"] = {
            name: url + urlsplit(address).path
            for name, address in client.urls["api"].items()
            if isinstance(address, str)
        }
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.session.close()


@pytest.fixture
def client(server: ReplayServer, connect: Callable[[str], Any]) -> Any:
    return connect(server.url)
