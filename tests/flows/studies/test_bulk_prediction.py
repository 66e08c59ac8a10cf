"""`candleworks predict`: odd requests are refused before any work, and charts of a folder are predicted in jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.reporting import SILENT
from flows.studies import predict as bulk
from flows.workspace.workspace import Workspace
from ml.errors import CandleDataError, StoreError
from ml.forecasting.model_store import card_path
from ml.series import Series
from tests.flows.conftest import installation_at
from tests.synthetic import make_case

LAGS = 5


class Closes:
    """An ensemble that predicts the last close of each window three times."""

    def predict(self, inputs: Any) -> Any:
        return np.repeat(inputs[:, -1, 3:4].astype(np.float64), 3, axis=1)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A home with the card of a model of charts."""
    workspace = installation_at(tmp_path, "http://127.0.0.1:9")
    series = Series(exchange="binance", symbol="BTC/USDT", timeframe="1h")
    case = make_case(series=series, model="chart_cnn", lags=LAGS, target="horizon_summary_30")
    card = {"model_id": "abc123", "case_key": case.key, "case": case.model_dump(mode="json")}
    workspace.store.replace(card_path("abc123"), json.dumps(card).encode())
    return workspace


def record(folder: Path, symbol: str, timeframe: str, hours: list[int]) -> None:
    times = pd.to_datetime(np.array(hours) * 3_600_000, unit="ms", utc=True)
    prices = np.array(hours, dtype=float) + 100
    frame = pd.DataFrame({"open_time": times, "open": prices, "high": prices + 1, "low": prices - 1, "close": prices,
                          "volume": 1.0})  # fmt: skip
    path = folder / "binance" / symbol.replace("/", "-") / f"{timeframe}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path)


def test_odd_requests_are_refused_with_what_there_is(place: Workspace, tmp_path: Path) -> None:
    candles = tmp_path / "candles"
    record(candles, "BTC/USDT", "4h", list(range(0, 40, 4)))
    with pytest.raises(StoreError, match=r"No model xyz in .*; there are: abc123. `candleworks models` lists them."):
        bulk.predict(place, "xyz", candles, (), None, SILENT)
    with pytest.raises(CandleDataError, match=r"does not exist .* Give one that does with --candles"):
        bulk.predict(place, "abc", tmp_path / "none", (), None, SILENT)
    with pytest.raises(CandleDataError, match=r"No 1h candles of any market in .* there are: none"):
        bulk.predict(place, "abc", candles, (), None, SILENT)
    record(candles, "BTC/USDT", "1h", [0, 1, 2, 3, 5, 6])
    with pytest.raises(CandleDataError, match=r"No 1h candles of ETH/USDT in .* there are: BTC/USDT. Choose one"):
        bulk.predict(place, "abc", candles, ("ETH/USDT",), None, SILENT)
    with pytest.raises(CandleDataError, match="No row of BTC/USDT has the 5 gapless rows that model abc123 needs"):
        bulk.predict(place, "abc", candles, (), None, SILENT)


def test_every_whole_window_of_every_market_is_predicted(
    place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class InProcess:
        size = 2

        def __enter__(self) -> InProcess:
            return self

        def __exit__(self, *_: object) -> None: ...

        def run(self, function: Any, *arguments: Any) -> Any:
            return function(*arguments)

    case = make_case(model="chart_cnn", lags=LAGS, target="horizon_summary_30")
    monkeypatch.setattr(Workspace, "local_pool", lambda _: InProcess())
    monkeypatch.setattr(bulk, "_loaded", lambda *_: (case, Closes()))
    monkeypatch.setattr(bulk, "ROWS_OF_JOB", 3)
    candles = tmp_path / "candles"
    record(candles, "BTC/USDT", "1h", [*range(12), *range(13, 20)])
    record(candles, "ETH/USDT", "1h", list(range(7)))
    found = bulk.predict(place, "abc", candles, (), None, SILENT)
    hours = {
        symbol: [int(time.timestamp()) // 3600 for time in rows.open_time] for symbol, rows in found.groupby("symbol")
    }
    assert hours == {"BTC/USDT": [*range(4, 12), 17, 18, 19], "ETH/USDT": [4, 5, 6]}
    assert list(found.max_rise_pct) == list(found.last_close), "each row has the prediction of its own window"
