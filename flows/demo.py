"""The demo: the whole loop against a recorded exchange in this process, from an empty folder to a forecast.

The replayed clock first stands some hours before its last time: history is loaded, a night's work finds the
champions, and each hour that follows is lived through as a live system would. A demo that is run again goes on from
what is stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from flows.installation import Installation
from flows.output import print_records, terminal
from flows.replay import CandleSource, RecordedCandles, ReplayClock, ReplayServer, SimulatedCandles
from flows.running import run_flow
from flows.services.server import prefect_settings
from flows.tables import forecast_records, leaderboard_records
from ml.config import Settings, load_settings
from ml.errors import CandleDataError, ConfigurationError
from ml.timeframes import DAY_MS, HOUR_MS, milliseconds

SIMULATED_NAME = "simulated"
SIMULATED_SYMBOLS = ["BTC/USDT", "ETH/USDT"]
SIMULATED_SEED = 7
SIMULATED_START_MS = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
SIMULATED_DAYS = 730


def _parse_now(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--now {text!r} is no time. Write it like 2024-04-21T15:00.") from None
    return int(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1000)


def _simulated(symbols: list[str] | None, timeframe: str) -> tuple[CandleSource, list[str], int]:
    symbols = symbols or SIMULATED_SYMBOLS
    # Some days beyond the clock's last time, so that the candle in the making exists too.
    n = (SIMULATED_DAYS + 5) * DAY_MS // milliseconds(timeframe)
    source = SimulatedCandles(symbols, timeframe, SIMULATED_START_MS, n, SIMULATED_SEED)
    return source, symbols, SIMULATED_START_MS + SIMULATED_DAYS * DAY_MS


def _recorded(
    folder: Path, exchange: str, symbols: list[str] | None, settings: Settings
) -> tuple[CandleSource, list[str], int]:
    """Recorded candles, and as last time the earliest last candle among the markets."""
    source = RecordedCandles(folder, exchange)
    timeframe = settings.markets.base_timeframe
    symbols = symbols or list(settings.markets.symbols)
    length = milliseconds(timeframe)
    ends = [int(source.candles(symbol, timeframe).open_time_ms[-1]) for symbol in symbols]
    return source, symbols, min(ends) + length


def _settings(config: Path | None, name: str, symbols: list[str], history_start_ms: int | None) -> Settings:
    # The recorded exchange is one: nothing is combined, and nobody else is asked.
    overrides: dict[str, Any] = {
        "exchange": {"name": name},
        "combine": {"sources": []},
        "markets": {"symbols": symbols},
    }
    if history_start_ms is not None:
        overrides["markets"]["history_start"] = datetime.fromtimestamp(history_start_ms / 1000, UTC)
    return load_settings(config, overrides)


def _require_history(source: CandleSource, symbols: list[str], timeframe: str, time_ms: int) -> None:
    """Refuse a clock at which a market has no history yet.

    Raises:
        CandleDataError: naming the market and when its candles begin.
    """
    for symbol in symbols:
        first_ms = int(source.candles(symbol, timeframe).open_time_ms[0])
        if first_ms + milliseconds(timeframe) > time_ms:
            begin = datetime.fromtimestamp(first_ms / 1000, UTC)
            raise CandleDataError(
                f"{symbol} has no candle yet at the time asked for: its candles begin at {begin:%Y-%m-%dT%H:%M}. "
                "Give a later --now, or other --markets."
            )


@contextmanager
def _alone(home: Path, console: Console) -> Iterator[None]:
    """One demo at a time in a home; a second one waits, and then finds most of its work done."""
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / "demo.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print(f"Another demo is running in {home}; waiting for it to end (Ctrl-C to give up) ...")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _last_stored_ms(installation: Installation) -> int:
    """Close time of the newest stored base candle; 0 in a new home."""
    if not installation.warehouse.path.exists():
        return 0
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        row = connection.execute("select epoch_ms(max(open_time)) from raw.candles").fetchone()
    length = milliseconds(installation.settings.markets.base_timeframe)
    return int(row[0]) + length if row and row[0] is not None else 0


def run_demo(
    home: Path,
    config: Path | None,
    candles: Path | None,
    symbols: list[str] | None,
    now: str | None,
    hours: int,
) -> None:
    """Run the loop and print its tables.

    Raises:
        CandleworksError: bad input, before anything is written.
    """
    console = terminal()
    settings = load_settings(config)
    timeframe = settings.markets.base_timeframe
    if candles is None:
        source, symbols, end_ms = _simulated(symbols, timeframe)
        settings = _settings(config, SIMULATED_NAME, symbols, SIMULATED_START_MS)
    else:
        source, symbols, end_ms = _recorded(candles, settings.exchange.id, symbols, settings)
        settings = _settings(config, settings.exchange.called, symbols, None)
    end_ms = _parse_now(now) if now else end_ms
    _require_history(source, symbols, timeframe, end_ms - hours * HOUR_MS)
    installation = Installation(home, settings)
    installation.check_writable()
    length = milliseconds(timeframe)
    clock = ReplayClock(0)
    with _alone(home, console), ReplayServer(source, clock) as server:
        start_ms = max(end_ms - hours * HOUR_MS, min(_last_stored_ms(installation), end_ms))
        clock.set(start_ms)
        with prefect_settings({"CANDLEWORKS_EXCHANGE__BASE_URL": server.url}):
            settings = load_settings(None, json.loads(settings.model_dump_json()))
        _live(Installation(home, settings), clock, start_ms, end_ms, max(length, HOUR_MS), console)
    _report(installation, console)


def _live(
    installation: Installation, clock: ReplayClock, start_ms: int, end_ms: int, step_ms: int, console: Console
) -> None:
    """One night at the start, then hour after hour until the end."""
    with run_flow(installation, console) as run:
        from flows.pipeline import run_hour, run_night  # noqa: PLC0415 - after the environment is set

        run("demo-night", run_night)
        for time_ms in range(start_ms + step_ms, end_ms + 1, step_ms):
            clock.set(time_ms)
            run("demo-hour", run_hour)


def _report(installation: Installation, console: Console) -> None:
    store = installation.store
    best = [row for row in leaderboard_records(store) if row["rank"] == 1]
    columns = ("symbol", "timeframe", "model", "rmse_pct", "baseline", "skill", "skill_mean_range", "n_trials")
    print_records(best, as_json=False, title="Best models on validation rows", columns=columns)
    current = [row | {"band 80 %": _band(row)} for row in forecast_records(store) if row["is_current"]]
    shown = ("symbol", "timeframe", "target_open_time", "high", "low", "close", "band 80 %", "model", "late")
    print_records(current, as_json=False, title="Forecasts of the next candles (UTC)", columns=shown)
    console.print(f"Open the dashboard: candleworks app --home {installation.home}", soft_wrap=True, highlight=False)


def _band(row: dict[str, Any]) -> str:
    return f"{row['band_low']:,.6g} .. {row['band_high']:,.6g}"
