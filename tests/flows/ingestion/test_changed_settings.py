"""What the README says of settings that change in a home with history: at the loads, each candle once, nothing lost.

What dbt makes of such changes is in tests/dbt/test_origins.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.ingestion.ingest import LoadReport, ingest_market
from flows.ingestion.stored import stored_candles
from flows.settings import load_settings
from flows.workspace.workspace import Workspace
from ml.timeframes import HOUR_MS, milliseconds, utc_ms
from tests.fakes import BinanceFake
from tests.flows.ingestion.walks import walk

pytestmark = pytest.mark.usefixtures("plain_gate", "warehouses_kept_open")

START_MS = utc_ms("2024-01-01")
#: Half hours of the exchange's history.
ROWS = 2 * 24 * 30
SYMBOLS = ("BTC/USDT", "ETH/USDT")


@dataclass
class Home:
    """A home whose settings change from load to load."""

    fake: BinanceFake
    folder: Path
    exchange: str = "binance"

    def opened(self, **changes: Any) -> Workspace:
        markets = {
            "symbols": list(SYMBOLS),
            "base_timeframe": "1h",
            "timeframes": ["4h"],
            "history_start": "2024-01-05",
        }
        exchange = {"id": "binance", "base_url": self.fake.url, "retries": 1, "name": changes.pop("name", "")}
        return Workspace(self.folder, load_settings(None, {"exchange": exchange, "markets": {**markets, **changes}}))

    def load(self, day: float, **changes: Any) -> dict[str, LoadReport]:
        """Load all markets at a time of the exchange, days after the start."""
        now_ms = START_MS + round(day * 24 * HOUR_MS)
        self.fake.now_ms = now_ms
        home = self.opened(**changes)
        return {symbol: ingest_market(home, symbol, now_ms) for symbol in home.settings.markets.symbols}

    def hours(self, symbol: str = "BTC/USDT", **changes: Any) -> list[float]:
        """Hours after the start at which the stored candles of the base timeframe open."""
        home = self.opened(**changes)
        candles = stored_candles(home, home.settings.sources(symbol)[0])
        return [(value - START_MS) / HOUR_MS for value in candles["open_time"].astype("int64").tolist()]

    def copies(self) -> int:
        with self.opened().warehouse.connect() as connection:
            row = connection.execute(
                "select max(n) from (select count(*) as n from raw.candles "
                "group by exchange, symbol, timeframe, open_time)"
            ).fetchone()
        return int(row[0]) if row else 0


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    frames = {symbol: walk("2024-01-01", ROWS, "30m", seed) for seed, symbol in enumerate(SYMBOLS)}
    with BinanceFake(frames, START_MS, timeframe="30m") as fake:
        yield Home(fake, tmp_path)


def every(first_day: float, until_day: float, timeframe: str = "1h") -> list[float]:
    step = milliseconds(timeframe) / HOUR_MS
    return np.arange(first_day * 24, until_day * 24, step).tolist()


def test_an_earlier_start_is_loaded_and_a_later_one_takes_nothing_away(home: Home) -> None:
    home.load(10)
    assert home.hours() == every(4, 10)
    home.load(11, history_start="2024-01-02")
    assert home.hours() == every(1, 11)
    home.load(12, history_start="2024-01-08")
    assert home.hours() == every(1, 12)
    home.load(13, history_start="2024-01-02")
    assert home.hours() == every(1, 13)
    assert home.copies() == 1


def test_a_market_that_is_taken_out_stays_and_put_back_is_made_up_for(home: Home) -> None:
    home.load(10)
    home.load(12, symbols=["BTC/USDT"])
    assert home.hours("ETH/USDT") == every(4, 10)
    assert home.load(14)["ETH/USDT"].status == "ok"
    assert home.hours("ETH/USDT") == home.hours("BTC/USDT") == every(4, 14)
    assert home.copies() == 1


@pytest.mark.parametrize("other", ["30m", "2h"])
def test_another_base_timeframe_is_loaded_from_the_start_and_the_old_one_waits_for_its_return(
    home: Home, other: str
) -> None:
    home.load(10)
    home.load(12, base_timeframe=other)
    assert home.hours(base_timeframe=other) == every(4, 12, other)
    assert home.hours() == every(4, 10)
    home.load(14)
    assert home.hours() == every(4, 14)
    home.load(15, base_timeframe=other)
    assert home.hours(base_timeframe=other) == every(4, 15, other)
    assert home.copies() == 1


def test_another_name_of_the_exchange_is_a_history_of_its_own(home: Home) -> None:
    home.load(10)
    home.load(11, name="second")
    assert home.hours() == every(4, 10)
    assert home.hours(name="second") == every(4, 11)
    home.load(12)
    assert home.hours() == every(4, 12)
    assert home.hours(name="second") == every(4, 11)
