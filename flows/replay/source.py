"""The candle sources of the recorded exchange: a folder of Parquet files, or simulated markets.

A source knows its markets and timeframes from the start and loads a series on first access.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.data.simulation import simulate
from ml.errors import CandleDataError
from ml.symbols import of_folder
from ml.texts import one_line
from ml.timeframes import TIMEFRAMES

PRICE_COLUMNS = ("open", "high", "low", "close")
COLUMNS = ("open_time", *PRICE_COLUMNS, "volume")


@dataclass(frozen=True)
class Candles:
    """Candles of a series in ascending order of open time (repeated open times are kept as recorded).

    Attributes:
        open_time_ms: (n,) milliseconds since 1970 UTC.
        values: (n, 5) open, high, low, close in quote units and volume in base units.
        extras: (n, 3) quote volume, number of trades, taker buy volume in base units. Where not recorded, quote volume
            is volume x mean of open, high, low and close, the others are 0.
    """

    open_time_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    extras: NDArray[np.float64]

    @staticmethod
    def from_frame(frame: pd.DataFrame) -> Candles:
        """Candles of a frame with the columns `COLUMNS` and optionally quote_volume, trades, taker_buy_volume."""
        open_time = pd.DatetimeIndex(pd.to_datetime(frame["open_time"], utc=True)).as_unit("ms")
        values = frame.loc[:, [*PRICE_COLUMNS, "volume"]].to_numpy(dtype=np.float64)
        extras = np.zeros((len(frame), 3))
        extras[:, 0] = values[:, 4] * values[:, :4].mean(axis=1)
        for column, name in enumerate(("quote_volume", "trades", "taker_buy_volume")):
            if name in frame:
                recorded = frame[name].to_numpy(dtype=np.float64)
                extras[:, column] = np.where(np.isnan(recorded), extras[:, column], recorded)
        return Candles(np.asarray(open_time.asi8, dtype=np.int64), values, extras)

    def __len__(self) -> int:
        return len(self.open_time_ms)

    def take(self, rows: NDArray[np.int64]) -> Candles:
        """A copy of the given rows, in the given order."""
        return Candles(self.open_time_ms[rows], self.values[rows], self.extras[rows])


class CandleSource(Protocol):
    """The interface of a source."""

    def markets(self) -> dict[str, tuple[str, ...]]:
        """Market such as "BTC/USDT" -> its timeframes."""

    def candles(self, symbol: str, timeframe: str) -> Candles:
        """All candles of a series, before and after the clock's time.

        Raises:
            CandleDataError: there is no such series, or its file is broken.
        """


class RecordedCandles:
    """Candles of `{folder}/{exchange}/{BASE-QUOTE}/{timeframe}.parquet`.

    Folders of perpetuals are named BTC-USDT:USDT, or BTC-USDT%3AUSDT where the file system does not allow a colon.

    Args:
        folder: holds one folder per exchange.
        exchange: the exchange's folder.

    Raises:
        CandleDataError: the folder is missing or holds no candles of the exchange.
    """

    def __init__(self, folder: Path, exchange: str) -> None:
        self._folder = Path(folder) / exchange
        self._lock = threading.Lock()
        self._loaded: dict[tuple[str, str], Candles] = {}
        self._files = self._find_files()
        if not self._files:
            raise CandleDataError(self._nothing_found(Path(folder), exchange))

    def markets(self) -> dict[str, tuple[str, ...]]:
        """Market such as "BTC/USDT" -> its recorded timeframes, shortest first."""
        found: dict[str, tuple[str, ...]] = {}
        for symbol, timeframe in sorted(self._files, key=lambda key: (key[0], TIMEFRAMES[key[1]])):
            found[symbol] = (*found.get(symbol, ()), timeframe)
        return found

    def candles(self, symbol: str, timeframe: str) -> Candles:
        """All candles of a series; its file is read once.

        Raises:
            CandleDataError: there is no such file, or it is broken.
        """
        path = self._files.get((symbol, timeframe))
        if path is None:
            recorded = ", ".join(f"{name} ({' '.join(frames)})" for name, frames in self.markets().items())
            raise CandleDataError(f"No {timeframe} candles of {symbol} in {self._folder}. Recorded: {recorded}.")
        with self._lock:
            if (symbol, timeframe) not in self._loaded:
                self._loaded[symbol, timeframe] = _read(path)
            return self._loaded[symbol, timeframe]

    def _find_files(self) -> dict[tuple[str, str], Path]:
        return {
            (symbol, path.stem): path
            for path in sorted(self._folder.glob("*/*.parquet"))
            if path.stem in TIMEFRAMES and (symbol := of_folder(path.parent.name)) is not None
        }

    def _nothing_found(self, folder: Path, exchange: str) -> str:
        layout = f"expected {self._folder}/BASE-QUOTE/TIMEFRAME.parquet"
        if not folder.is_dir():
            return f"The folder of candles {folder} does not exist ({layout}). Give one that does with --candles."
        others = " ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())) or "no folder"
        return f"No candles of {exchange} in {folder} ({layout}); it holds: {others}. Choose one with --exchange."


class SimulatedCandles:
    """Simulated markets of one timeframe; arguments as for `ml.data.simulation.simulate`."""

    def __init__(self, symbols: Sequence[str], timeframe: str, start_ms: int, n: int, seed: int) -> None:
        self._symbols = tuple(symbols)
        self._timeframe = timeframe
        frames = simulate(self._symbols, timeframe, start_ms, n, seed)
        self._candles = {symbol: Candles.from_frame(frame) for symbol, frame in frames.items()}

    def markets(self) -> dict[str, tuple[str, ...]]:
        """Market -> the simulated timeframe."""
        return {symbol: (self._timeframe,) for symbol in self._symbols}

    def candles(self, symbol: str, timeframe: str) -> Candles:
        """All candles of a market.

        Raises:
            CandleDataError: the market or timeframe is not simulated.
        """
        if symbol not in self._candles or timeframe != self._timeframe:
            known = f"{' '.join(self._symbols)} at {self._timeframe}"
            raise CandleDataError(f"{symbol} at {timeframe} is not simulated. Simulated: {known}.")
        return self._candles[symbol]


def _read(path: Path) -> Candles:
    try:
        frame = pd.read_parquet(path)
    except Exception as error:  # pyarrow raises OSError, ArrowInvalid and others for an unreadable file
        reason = one_line(error)
        raise CandleDataError(f"{path} is not a readable Parquet file ({reason}). Replace or remove it.") from error
    try:
        missing = [name for name in COLUMNS if name not in frame]
        if missing:
            raise CandleDataError(f"{path} lacks the columns {' '.join(missing)}. It needs {' '.join(COLUMNS)}.")
        if not pd.api.types.is_datetime64_any_dtype(frame["open_time"]):
            # pandas would silently read numbers as nanoseconds.
            raise CandleDataError(f"{path} has an open_time that is not a timestamp. Store it as timestamps in UTC.")
        candles = Candles.from_frame(frame)
    except (TypeError, ValueError) as error:
        reason = one_line(error)
        raise CandleDataError(f"{path} holds values that are not candles ({reason}). Replace it.") from error
    _check(path, frame, candles)
    return candles


def _check(path: Path, frame: pd.DataFrame, candles: Candles) -> None:
    """Reject files that cannot be served at all; gaps, repeated rows and odd values are served as recorded."""
    if not len(candles):
        raise CandleDataError(f"{path} holds no candle. Replace or remove it.")
    empty = int((~np.isfinite(candles.values)).any(axis=1).sum() + frame["open_time"].isna().sum())
    if empty:
        raise CandleDataError(f"{path} holds {empty} rows with empty cells. Remove those rows.")
    if (np.diff(candles.open_time_ms) < 0).any():
        raise CandleDataError(f"{path} is not in ascending order of open_time. Sort it.")
