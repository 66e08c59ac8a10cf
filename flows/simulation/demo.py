"""The demo: the whole pipeline against a recorded exchange in this process, from an empty folder to a forecast.

The replayed clock starts some hours before its last time: the nightly flow loads the history and finds the champions,
then the hourly flow runs for each following hour as in live operation, and the analyses at last. A second demo
continues from the stored state.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from flows.replay import ReplayClock, ReplayServer
from flows.server.flow_runs import run_flow
from flows.simulation.replayed import alone, open_replay, talking_to
from flows.terminal.output import print_records, terminal
from flows.terminal.tables import ForecastLine, forecast_records, leaderboard_records
from flows.warehouse.feature_columns import search_spaces
from flows.warehouse.marts import transforming
from flows.workspace.workspace import Workspace
from ml.errors import ConfigurationError
from ml.timeframes import HOUR_MS, milliseconds


def _parse_now(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--now {text!r} is not a time. Write it like 2024-04-21T15:00.") from None
    return int(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1000)


def _last_stored_ms(workspace: Workspace) -> int:
    """Close time of the newest stored base candle; 0 in a new home."""
    if not workspace.warehouse.path.exists():
        return 0
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        row = connection.execute("select epoch_ms(max(open_time)) from raw.candles").fetchone()
    length = milliseconds(workspace.settings.markets.base_timeframe)
    return int(row[0]) + length if row and row[0] is not None else 0


def run_demo(
    home: Path,
    config: Path | None,
    candles: Path | None,
    symbols: list[str] | None,
    now: str | None,
    hours: int,
) -> None:
    """Run the pipeline and print its tables.

    Raises:
        CandleworksError: bad input, before anything is written.
    """
    console = terminal()
    # Messages about replayed candles would not be true.
    replayed = open_replay(config, candles, symbols, {"notices": {"targets": []}})
    end_ms = _parse_now(now) if now else replayed.end_ms
    replayed.require_history(end_ms - hours * HOUR_MS)
    workspace = Workspace(home, replayed.settings)
    search_spaces(workspace)
    workspace.check_writable()
    length = milliseconds(replayed.settings.markets.base_timeframe)
    clock = ReplayClock(0)
    with alone(home, "demo", console), ReplayServer(replayed.source, clock) as server:
        start_ms = max(end_ms - hours * HOUR_MS, min(_last_stored_ms(workspace), end_ms))
        clock.set(start_ms)
        with talking_to(replayed.settings, server.url) as settings:
            _live(Workspace(home, settings), clock, start_ms, end_ms, max(length, HOUR_MS), console)
    _report(workspace, console)


def _live(workspace: Workspace, clock: ReplayClock, start_ms: int, end_ms: int, step_ms: int, console: Console) -> None:
    """Run the nightly flow, the hourly flow for every hour until the end, and the analyses; dbt is loaded once."""
    with run_flow(workspace, console) as run, transforming(workspace):
        from flows.pipeline import run_analyses, run_hour, run_night  # noqa: PLC0415 - after the environment is set

        run("demo-night", run_night)
        for time_ms in range(start_ms + step_ms, end_ms + 1, step_ms):
            clock.set(time_ms)
            run("demo-hour", run_hour)
        run("demo-analyses", run_analyses)


def _report(workspace: Workspace, console: Console) -> None:
    store = workspace.store
    best = [row for row in leaderboard_records(store) if row["rank"] == 1]
    columns = ("symbol", "timeframe", "model", "rmse_pct", "baseline", "skill", "skill_mean_range", "n_trials")
    print_records(best, as_json=False, title="Best models on validation rows", columns=columns)
    current = [{**row, "interval 80 %": _interval(row)} for row in forecast_records(store) if row["is_current"]]
    shown = ("symbol", "timeframe", "target_open_time", "high", "low", "close", "interval 80 %", "model", "late")
    print_records(current, as_json=False, title="Forecasts of the next candles (UTC)", columns=shown)
    console.print(f"Open the dashboard: candleworks app --home {workspace.home}", soft_wrap=True, highlight=False)


def _interval(row: ForecastLine) -> str:
    return f"{row['band_low']:,.6g} .. {row['band_high']:,.6g}"
