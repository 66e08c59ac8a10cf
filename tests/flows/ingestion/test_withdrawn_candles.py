"""What fills an outage of the exchange is withdrawn once all markets are loaded; where nobody traded, it stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.ingestion.ingest import LoadReport, ingest_market
from flows.ingestion.outages import RULE, after_outages, withdraw_outages
from flows.ingestion.stored import missing_candles, stored_candles
from flows.settings import load_settings
from flows.workspace.workspace import Workspace
from ml.timeframes import HOUR_MS, utc_ms
from tests.fakes import BinanceFake
from tests.flows.ingestion.walks import walk

pytestmark = pytest.mark.usefixtures("plain_gate", "warehouses_kept_open")

START_MS = utc_ms("2024-01-01")
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
HOURS = 600
OUTAGE, ALONE = 300, 400


def at(hour: int) -> int:
    return START_MS + hour * HOUR_MS


def quiet(frame: pd.DataFrame, *hours: int) -> pd.DataFrame:
    """The market with hours without a trade, each at the close before."""
    for hour in hours:
        frame.loc[hour, ["open", "high", "low", "close"]] = frame.loc[hour - 1, "close"]
        frame.loc[hour, "volume"] = 0.0
        frame.loc[hour + 1, "open"] = frame.loc[hour, "close"]
    return frame


def hours(seed: int) -> pd.DataFrame:
    frame = walk("2024-01-01", HOURS, seed=seed)
    return frame.assign(high=frame["high"] * 1.02, low=frame["low"] * 0.98)


@dataclass
class World:
    """An exchange with three markets, and the home that loads them."""

    fake: BinanceFake
    folder: Path

    def home(self, *symbols: str, **markets: Any) -> Workspace:
        settings = {
            "exchange": {"id": "binance", "base_url": self.fake.url, "retries": 1},
            "markets": {"symbols": list(symbols or SYMBOLS), "timeframes": ["1h"], "history_start": "2024-01-01"},
        }
        settings["markets"] |= markets
        return Workspace(self.folder, load_settings(None, settings))

    def load(self, *symbols: str, now: int = HOURS) -> dict[str, LoadReport]:
        self.fake.now_ms = at(now)
        home = self.home(*symbols)
        reports = [ingest_market(home, symbol, at(now)) for symbol in home.settings.markets.symbols]
        return {report.symbol: report for report in after_outages(reports, withdraw_outages(home, at(now)))}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    frames = {symbol: quiet(hours(seed), OUTAGE, OUTAGE + 1) for seed, symbol in enumerate(SYMBOLS)}
    quiet(frames["SOL/USDT"], ALONE)
    with BinanceFake(frames, at(HOURS)) as fake:
        yield World(fake, tmp_path)


def stored(home: Workspace, symbol: str) -> list[int]:
    candles = stored_candles(home, home.settings.sources(symbol)[0])
    return [int(value - START_MS) // HOUR_MS for value in candles["open_time"].astype("int64")]


def absent(home: Workspace, symbol: str, until: int = HOURS) -> list[int]:
    return sorted(set(range(until)) - set(stored(home, symbol)))


def rows(home: Workspace, query: str) -> list[tuple[Any, ...]]:
    with home.warehouse.locked(), home.warehouse.connect() as connection:
        return connection.execute(query).fetchall()


def test_hours_without_trades_in_all_markets_are_withdrawn_and_those_of_one_market_are_kept(world: World) -> None:
    reports = world.load()
    home = world.home()
    for symbol in SYMBOLS:
        assert absent(home, symbol) == [OUTAGE, OUTAGE + 1]
        assert (reports[symbol].status, reports[symbol].withdrawn, reports[symbol].missing) == ("ok", 2, 2)
        assert missing_candles(home, home.settings.sources(symbol)[0]) == 2
    refused = "select symbol, epoch_ms(open_time), rule, volume from raw.quarantine order by all"
    assert rows(home, refused) == [(symbol, at(hour), RULE, 0.0) for symbol in SYMBOLS for hour in (OUTAGE, OUTAGE + 1)]
    checks = (
        f"select symbol, success, rows_checked, rows_failed from raw.quality_checks where rule = '{RULE}' order by 1"
    )
    assert rows(home, checks) == [(symbol, False, HOURS, 2) for symbol in SYMBOLS]
    recorded = "select symbol, status, rows_quarantined, run_id from raw.loads order by load_id"
    loads = rows(home, recorded)
    for symbol in SYMBOLS:
        own = [row for row in loads if row[0] == symbol]
        assert {row[3] for row in own} == {own[0][3]}, "a withdrawal belongs to the run of its load"
        assert sum(row[2] for row in own) == 2


def test_withdrawn_candles_stay_so_until_the_exchange_gives_trades(world: World) -> None:
    world.load()
    home = world.home()
    world.load(now=HOURS + 1)
    world.load(now=HOURS + 24 * 30)  # asked again by now, and still without trades
    assert absent(home, "BTC/USDT") == [OUTAGE, OUTAGE + 1]
    truth = hours(seed=0)
    world.fake.put("BTC/USDT", truth)
    world.load(now=HOURS + 24 * 60)
    assert absent(home, "BTC/USDT") == []
    assert absent(home, "ETH/USDT") == [OUTAGE, OUTAGE + 1]
    candles = stored_candles(home, home.settings.sources("BTC/USDT")[0])
    assert candles["volume"].tolist() == truth["volume"].tolist()


def test_a_run_that_was_killed_before_the_comparison_is_made_up_for(world: World) -> None:
    home = world.home()
    for symbol in SYMBOLS:
        ingest_market(home, symbol, at(HOURS))
    assert absent(home, "BTC/USDT") == []
    world.load(now=HOURS)
    assert absent(home, "BTC/USDT") == [OUTAGE, OUTAGE + 1]


def test_a_market_that_comes_later_is_compared_as_well(world: World) -> None:
    world.load("SOL/USDT")
    assert absent(world.home(), "SOL/USDT") == [], "one market alone cannot tell"
    world.load()
    for symbol in SYMBOLS:
        assert absent(world.home(), symbol) == [OUTAGE, OUTAGE + 1]


def test_an_outage_that_begins_in_one_load_and_ends_in_the_next(world: World) -> None:
    home = world.home()
    world.load(now=OUTAGE + 1)
    assert absent(home, "BTC/USDT", OUTAGE + 1) == [OUTAGE]
    world.load(now=OUTAGE + 2)
    world.load(now=OUTAGE + 3)
    for symbol in SYMBOLS:
        assert absent(home, symbol, OUTAGE + 3) == [OUTAGE, OUTAGE + 1]


def test_nothing_new_is_compared_twice(world: World) -> None:
    world.load()
    home = world.home()
    checks = f"select count(*) from raw.quality_checks where rule = '{RULE}'"
    before = rows(home, checks)
    assert withdraw_outages(home, at(HOURS)) == {}
    assert rows(home, checks) == before
