"""Markets under the exchange's own codes, perpetuals and odd names, from the recorded folder to ccxt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ccxt
import numpy as np
import pandas as pd
import pytest

from flows.replay import Fault, RecordedCandles, ReplayClock, ReplayServer
from ml.data.simulation import simulate
from ml.errors import CandleDataError
from ml.timeframes import HOUR_MS

START_MS = 1_600_041_600_000
ROWS = 50


def record(folder: Path, *names: str) -> dict[str, pd.DataFrame]:
    """Hourly candles, other ones in each folder."""
    frames = {}
    for seed, name in enumerate(names):
        frames[name] = simulate(["BTC/USDT"], "1h", START_MS, ROWS, seed)["BTC/USDT"]
        target = folder / "binance" / name
        target.mkdir(parents=True)
        frames[name].to_parquet(target / "1h.parquet")
    return frames


def serve(folder: Path) -> ReplayServer:
    return ReplayServer(RecordedCandles(folder, "binance"), ReplayClock(START_MS + ROWS * HOUR_MS))


def loaded(client: Any, symbol: str) -> list[float]:
    return [row[4] for row in client.fetch_ohlcv(symbol, "1h", START_MS, ROWS)]


@pytest.mark.parametrize(
    ("folder", "symbol"),
    [("XBT-USD", "BTC/USD"), ("BCC-USDT", "BCC/USDT"), ("YOYO-BTC", "YOYOW/BTC"), ("BCHSV-USDT", "BSV/USDT")],
)
def test_a_market_is_listed_as_recorded_and_loads_as_ccxt_calls_it(
    tmp_path: Path, connect: Callable[..., Any], folder: str, symbol: str
) -> None:
    frames = record(tmp_path, folder, "ETH-USD")
    with serve(tmp_path) as server:
        client = connect(server.url)
        assert sorted(client.load_markets()) == sorted([symbol, "ETH/USD"])
        market = client.market(symbol)
        assert f"{market['baseId']}-{market['quoteId']}" == folder
        assert loaded(client, symbol) == frames[folder]["close"].tolist()
        assert loaded(client, "ETH/USD") == frames["ETH-USD"]["close"].tolist()


def test_spot_and_perpetuals_of_the_same_pair_are_three_markets(tmp_path: Path, connect: Callable[..., Any]) -> None:
    folders = {"BTC-USDT": "BTC/USDT", "BTC-USDT:USDT": "BTC/USDT:USDT", "BTC-USD%3ABTC": "BTC/USD:BTC"}
    frames = record(tmp_path, *folders)
    with serve(tmp_path) as server:
        client = connect(server.url, "spot", "linear", "inverse")
        markets = client.load_markets()
        assert sorted(markets) == sorted(folders.values())
        assert [markets[name]["type"] for name in folders.values()] == ["spot", "swap", "swap"]
        assert [markets[name]["id"] for name in folders.values()] == ["BTCUSDT", "BTCUSDT", "BTCUSD_PERP"]
        assert markets["BTC/USDT:USDT"]["linear"] and markets["BTC/USD:BTC"]["inverse"]
        for folder, symbol in folders.items():
            page = client.fetch_ohlcv(symbol, "1h", START_MS, ROWS)
            assert np.array_equal(
                np.array(page)[:, 1:], frames[folder][["open", "high", "low", "close", "volume"]].to_numpy()
            )
        assert connect(server.url).load_markets().keys() == {"BTC/USDT"}


def test_binanceusdm_loads_perpetuals_and_has_the_clock(tmp_path: Path, connect: Callable[..., Any]) -> None:
    frames = record(tmp_path, "1000SHIB-USDT%3AUSDT")
    with serve(tmp_path) as server:
        client = ccxt.binanceusdm({"enableRateLimit": False})
        client.urls["api"] = connect(server.url).urls["api"]
        assert client.fetch_time() == START_MS + ROWS * HOUR_MS
        assert loaded(client, "1000SHIB/USDT:USDT") == frames["1000SHIB-USDT%3AUSDT"]["close"].tolist()
        with pytest.raises(ccxt.BadRequest, match="-1130"):
            client.fapiPublicGetKlines({"symbol": "1000SHIBUSDT", "interval": "1h", "limit": 1501})
        with pytest.raises(ccxt.BadSymbol):
            client.publicGetKlines({"symbol": "1000SHIBUSDT", "interval": "1h"})
        client.session.close()


@pytest.mark.parametrize(
    ("folder", "symbol"),
    [
        ("$MYRO-USDT", "$MYRO/USDT"),
        ("%24MYRO-USDT", "$MYRO/USDT"),
        ("1000SHIB-USDT", "1000SHIB/USDT"),
        ("BRK.B-USD", "BRK.B/USD"),
        ("币安人生-USDT", "币安人生/USDT"),
        ("æther-USDT", "ÆTHER/USDT"),
        ("kPEPE-USDT", "KPEPE/USDT"),
    ],
)
def test_odd_names_load(tmp_path: Path, connect: Callable[..., Any], folder: str, symbol: str) -> None:
    frames = record(tmp_path, folder)
    with serve(tmp_path) as server:
        assert loaded(connect(server.url), symbol) == frames[folder]["close"].tolist()


def test_pairs_with_the_same_letters_stay_apart(tmp_path: Path, connect: Callable[..., Any]) -> None:
    frames = record(tmp_path, "A-BC", "AB-C")
    with serve(tmp_path) as server:
        client = connect(server.url)
        assert loaded(client, "A/BC") == frames["A-BC"]["close"].tolist()
        assert loaded(client, "AB/C") == frames["AB-C"]["close"].tolist()


def test_a_fault_strikes_the_perpetual_and_not_the_spot_market(tmp_path: Path, connect: Callable[..., Any]) -> None:
    record(tmp_path, "BTC-USDT", "BTC-USDT:USDT")
    with serve(tmp_path) as server:
        client = connect(server.url, "spot", "linear")
        server.faults.add(
            Fault(kind="server_error", symbol="BTC/USDT:USDT", count=1),
            Fault(kind="gap", symbol="BTC/USDT:USDT", start_ms=START_MS, end_ms=START_MS + 10 * HOUR_MS),
        )
        assert len(loaded(client, "BTC/USDT")) == ROWS
        with pytest.raises(ccxt.ExchangeNotAvailable):
            loaded(client, "BTC/USDT:USDT")
        assert len(loaded(client, "BTC/USDT:USDT")) == ROWS - 10


def test_what_is_neither_spot_nor_perpetual_is_refused_by_name(tmp_path: Path) -> None:
    record(tmp_path, "BTC-USDT:USDT-240329")
    with pytest.raises(CandleDataError, match="BTC/USDT:USDT-240329 is neither a spot market nor a perpetual"):
        serve(tmp_path)


def test_folders_that_are_no_symbols_are_not_served(tmp_path: Path) -> None:
    record(tmp_path, "BTC-USDT", "notes", "-USDT", "BTC-", "BTC-US DT")
    assert list(RecordedCandles(tmp_path, "binance").markets()) == ["BTC/USDT"]
