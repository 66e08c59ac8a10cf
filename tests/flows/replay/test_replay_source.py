"""Folders of recorded candles: what they list, and what is said about broken ones; the candle of now."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.replay import RecordedCandles, SimulatedCandles
from flows.replay.unfinished import unfinished_candle
from ml.data.simulation import simulate
from ml.errors import CandleDataError


def write(folder: Path, frame: pd.DataFrame, market: str = "BTC-USDT", timeframe: str = "1h") -> Path:
    path = folder / "binance" / market / f"{timeframe}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path)
    return path


@pytest.fixture
def frame() -> pd.DataFrame:
    return simulate(["BTC/USDT"], "1h", 0, 10, seed=0)["BTC/USDT"]


def test_markets_and_timeframes_are_listed_without_reading_the_files(tmp_path: Path, frame: pd.DataFrame) -> None:
    for timeframe in ("1d", "1m", "1h"):
        write(tmp_path, frame, timeframe=timeframe)
    write(tmp_path, frame, market="ETH-BTC").write_bytes(b"broken")
    write(tmp_path, frame, timeframe="notes")
    assert RecordedCandles(tmp_path, "binance").markets() == {"BTC/USDT": ("1m", "1h", "1d"), "ETH/BTC": ("1h",)}


def test_columns_that_were_not_recorded_are_made_up_as_documented(tmp_path: Path, frame: pd.DataFrame) -> None:
    write(tmp_path, frame.assign(trades=[np.nan] + [7.0] * 9))
    candles = RecordedCandles(tmp_path, "binance").candles("BTC/USDT", "1h")
    mean = frame[["open", "high", "low", "close"]].mean(axis=1)
    assert np.allclose(candles.extras[:, 0], frame["volume"] * mean)
    assert candles.extras[:2, 1].tolist() == [0.0, 7.0]
    assert np.array_equal(candles.values[:, 3], frame["close"])


def test_repeated_rows_are_served_as_recorded(tmp_path: Path, frame: pd.DataFrame) -> None:
    write(tmp_path, frame.iloc[[0, 1, 1, 2]])
    assert RecordedCandles(tmp_path, "binance").candles("BTC/USDT", "1h").open_time_ms.tolist() == [
        0, 3_600_000, 3_600_000, 7_200_000,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frame: frame.drop(columns=["low", "volume"]), "lacks the columns low volume"),
        (lambda frame: frame.assign(close=np.nan), "holds 10 rows with empty cells"),
        (lambda frame: frame.iloc[::-1], "is not in ascending order"),
        (lambda frame: frame.assign(close="dear"), "holds values that are not candles"),
        (lambda frame: frame.assign(open_time=range(10)), "has an open_time that is not a timestamp"),
    ],
)
def test_a_broken_file_is_named_with_its_remedy(
    tmp_path: Path, frame: pd.DataFrame, spoil: object, message: str
) -> None:
    assert callable(spoil)
    path = write(tmp_path, spoil(frame))
    with pytest.raises(CandleDataError) as caught:
        RecordedCandles(tmp_path, "binance").candles("BTC/USDT", "1h")
    assert str(path) in str(caught.value) and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_cut_short_is_named(tmp_path: Path, frame: pd.DataFrame) -> None:
    path = write(tmp_path, frame)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CandleDataError, match=r"1h\.parquet is not a readable Parquet file"):
        RecordedCandles(tmp_path, "binance").candles("BTC/USDT", "1h")


def test_what_is_missing_is_said_with_what_is_there(tmp_path: Path, frame: pd.DataFrame) -> None:
    with pytest.raises(CandleDataError, match="does not exist"):
        RecordedCandles(tmp_path / "none", "binance")
    write(tmp_path, frame)
    with pytest.raises(CandleDataError, match="it holds: binance"):
        RecordedCandles(tmp_path, "kraken")
    with pytest.raises(CandleDataError, match=r"No 5m candles of BTC/USDT .* BTC/USDT \(1h\)"):
        RecordedCandles(tmp_path, "binance").candles("BTC/USDT", "5m")
    with pytest.raises(CandleDataError, match="not simulated"):
        SimulatedCandles(["BTC/USDT"], "1h", 0, 5, seed=0).candles("BTC/USDT", "5m")


FINAL = np.array([100.0, 110.0, 95.0, 104.0, 50.0])
EXTRAS = np.array([5_000.0, 60.0, 20.0])


@given(st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=2, max_size=6), st.integers(0, 2**41))
def test_the_candle_of_now_grows_and_stays_within_what_it_will_be(parts: list[float], open_time_ms: int) -> None:
    shown = [unfinished_candle("BTC/USDT", open_time_ms, part, FINAL, EXTRAS) for part in sorted(parts)]
    for values, extras in shown:
        opening, high, low, close, volume = values
        assert opening == 100.0
        assert 95.0 <= low <= min(opening, close) <= max(opening, close) <= high <= 110.0
        assert 0.0 <= volume < 50.0
        assert (extras <= EXTRAS).all()
    for (early, _), (late, _) in pairwise(shown):
        assert late[1] >= early[1] and late[2] <= early[2] and late[4] >= early[4]


def test_the_candle_of_now_does_not_tell_its_close() -> None:
    # Half way, 1,000 paths that all end at 104 (open 100): if the price shown were on a line to the close, they would
    # all show 102.
    prices = [unfinished_candle("BTC/USDT", row, 0.5, FINAL, EXTRAS)[0][3] for row in range(1_000)]
    assert np.std(prices) > 2.0
    assert np.mean(prices) == pytest.approx(102.0, abs=0.5)
