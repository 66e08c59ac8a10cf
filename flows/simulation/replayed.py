"""Shared by demo and rehearsal: candles to replay, settings that use them, and a lock on the home."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from flows.replay import CandleSource, RecordedCandles, SimulatedCandles
from flows.server.prefect_server import prefect_settings
from flows.settings import Overrides, Settings, load_settings
from ml.errors import CandleDataError
from ml.timeframes import DAY_MS, milliseconds

SIMULATED_NAME = "simulated"
SIMULATED_SYMBOLS = ["BTC/USDT", "ETH/USDT"]
SIMULATED_SEED = 7
SIMULATED_START_MS = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
SIMULATED_DAYS = 730


@dataclass(frozen=True)
class Replayed:
    """Candles to replay, their markets and settings, and the last time that can be replayed."""

    source: CandleSource
    symbols: list[str]
    settings: Settings
    end_ms: int

    def require_history(self, time_ms: int) -> None:
        """Refuse a replay time at which a market has no history yet.

        Raises:
            CandleDataError: naming the market and when its candles begin.
        """
        timeframe = self.settings.markets.base_timeframe
        for symbol in self.symbols:
            first_ms = int(self.source.candles(symbol, timeframe).open_time_ms[0])
            if first_ms + milliseconds(timeframe) > time_ms:
                begin = datetime.fromtimestamp(first_ms / 1000, UTC)
                raise CandleDataError(
                    f"{symbol} has no candle yet at the requested time: its candles begin at {begin:%Y-%m-%dT%H:%M}. "
                    "Replay a later time (--now, or fewer --days), or other --markets."
                )


def open_replay(
    config: Path | None, candles: Path | None, symbols: list[str] | None, overrides: Overrides | None = None
) -> Replayed:
    """Open recorded candles, or simulate two years of two markets.

    Args:
        config: the settings file, as in `load_settings`.
        candles: folder of recorded candles; None: simulated ones.
        symbols: the markets; None: those of the settings, or the simulated ones.
        overrides: sections and keys that override the file.

    Raises:
        CandleworksError: the settings or the candles are wrong.
    """
    overrides = overrides or {}
    begins: dict[str, datetime] = {}
    settings = load_settings(config, overrides)
    timeframe = settings.markets.base_timeframe
    source: CandleSource
    if candles is None:
        name, start_ms = SIMULATED_NAME, SIMULATED_START_MS
        symbols = symbols or SIMULATED_SYMBOLS
        # Some days beyond the clock's last time, so that the current candle exists too.
        n = (SIMULATED_DAYS + 5) * DAY_MS // milliseconds(timeframe)
        source = SimulatedCandles(symbols, timeframe, start_ms, n, SIMULATED_SEED)
        end_ms = start_ms + SIMULATED_DAYS * DAY_MS
        begins = {"history_start": datetime.fromtimestamp(start_ms / 1000, UTC)}
    else:
        name = settings.exchange.called
        symbols = symbols or list(settings.markets.symbols)
        source = RecordedCandles(candles, settings.exchange.id)
        # The earliest last candle among the markets.
        last_ms = min(int(source.candles(symbol, timeframe).open_time_ms[-1]) for symbol in symbols)
        end_ms = last_ms + milliseconds(timeframe)
    # There is only one recorded exchange, so nothing is combined.
    fixed: Overrides = {
        "exchange": {"name": name},
        "combine": {"sources": []},
        # Some of the markets and timeframes may be left out.
        "sweep": {"unused_spaces": "skip"},
        "markets": {"symbols": symbols, **begins},
    }
    merged = {section: {**overrides.get(section, {}), **fixed.get(section, {})} for section in {**overrides, **fixed}}
    return Replayed(source, symbols, load_settings(config, merged), end_ms)


@contextmanager
def talking_to(settings: Settings, url: str) -> Iterator[Settings]:
    """The settings with a recorded exchange at `url`, also used by child processes started within the block."""
    # Through the environment, which overrides every settings file.
    with prefect_settings({"CANDLEWORKS_EXCHANGE__BASE_URL": url}):
        yield load_settings(None, json.loads(settings.model_dump_json()))


@contextmanager
def alone(home: Path, what: str, console: Console) -> Iterator[None]:
    """One replay at a time in a home; a second one waits."""
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / f"{what}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print(f"Another {what} is running in {home}; waiting for it to end (Ctrl-C to give up) ...")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
