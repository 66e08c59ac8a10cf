"""The driver of a rehearsal: starts all services, steps the clock, runs due deployments, and checks the records."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from rich.console import Console

from flows.notices.send import notice_records
from flows.processes.ports import free_port
from flows.replay import ReplayClock, ReplayServer
from flows.server.fleet import Fleet
from flows.server.prefect_server import api_url, prefect_environment, prefect_settings
from flows.server.up import UpOptions, everything
from flows.simulation.checks import Candles, Check, check_notices, check_rehearsal
from flows.simulation.plan import Plan, Step, disturbed, live_steps
from flows.simulation.preparation import NOTICES_FILE, overrides_for, require_unused, write_deployments, write_settings
from flows.simulation.replayed import Replayed, open_replay, talking_to
from flows.simulation.trading_checks import check_trading
from flows.warehouse.feature_columns import search_spaces
from flows.workspace.workspace import Workspace
from ml.timeframes import DAY_MS

if TYPE_CHECKING:
    from flows.simulation.runs import Outcome, Runs

#: How often workers poll. The driver waits for each run; more frequent polling makes database writers wait.
POLL_SECONDS = 1.0
#: Pause between two steps: the server is still storing events of the last run, and a run that starts meanwhile may
#: find its database locked for a minute.
SETTLE_SECONDS = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Rehearsal:
    """The options of `candleworks rehearse`."""

    home: Path
    config: Path | None = None
    candles: Path | None = None
    symbols: list[str] | None = None
    timeframes: tuple[str, ...] = ("4h",)
    days: int = 7
    faults: bool = True
    seed: int = 0


@dataclass(frozen=True)
class StepTime:
    """A finished step: its wall time, and the states in which its runs ended."""

    step: Step
    seconds: float
    outcome: Outcome


class StepTimes(TypedDict, total=False):
    """Wall times of the steps; without the keys of a kind of run that there was none of."""

    hourly_median_seconds: float
    hourly_longest_seconds: float
    nightly_median_seconds: float
    nightly_longest_seconds: float


class Figures(StepTimes):
    """Counts of a rehearsal: runs (`triggered`: those of the driver by state), faults, blows to processes, restarts."""

    flow_runs: int
    triggered: dict[str, int]
    faults: int
    faults_struck: int
    blows: list[str]
    restarts: int
    wall_seconds: float


@dataclass(frozen=True)
class Report:
    """The outcome of a rehearsal."""

    checks: list[Check]
    figures: Figures

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)

    def document(self) -> object:
        """All of it, for JSON."""
        return {"holds": self.holds, **asdict(self)}


def rehearse(rehearsal: Rehearsal, console: Console) -> Report:
    """Replay the days and check the sealed records.

    Must run in the main thread, as `up`.

    Args:
        rehearsal: the options.
        console: gets one line per step and per restarted service.

    Raises:
        CandleworksError: bad input, before anything is written; a service that cannot be kept running; or a deployment
            that does not complete.
    """
    began = time.monotonic()
    home = rehearsal.home.resolve()
    require_unused(home)
    overrides = overrides_for(rehearsal.config, list(rehearsal.timeframes), home)
    replayed = open_replay(rehearsal.config, rehearsal.candles, rehearsal.symbols, overrides)
    plan, start_ms = _plan(rehearsal, replayed)
    server = ReplayServer(replayed.source, ReplayClock(start_ms))
    server.faults.add(*plan.faults)

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, highlight=False, markup=False)

    with server, talking_to(replayed.settings, server.url) as settings:
        workspace = Workspace(home, settings)
        search_spaces(workspace)
        workspace.check_writable()
        options = UpOptions(
            home=home,
            config_path=write_settings(settings, home),
            server_port=free_port(),
            app_port=free_port(),
            cpu_workers=settings.services.cpu_workers,
            gpu_workers=settings.services.gpu_workers,
            deployments=write_deployments(home),
            poll_seconds=POLL_SECONDS,
        )
        say(f"{len(plan.steps)} runs, {len(plan.faults)} faults of the exchange, seed {rehearsal.seed}. Starting ...")
        with ExitStack() as stack:
            # A store set in the shell's environment is not used.
            stack.enter_context(prefect_settings({"CANDLEWORKS_STORAGE__URL": ""}))
            fleet = stack.enter_context(everything(options, console))
            seconds = time.monotonic() - began
            say(f"Up after {seconds:.0f} s. Dashboard: {fleet['app'].address}, logs: {workspace.logs}")
            stack.enter_context(prefect_settings(prefect_environment(home, api_url(options.server_port))))
            steps, runs = _live(plan, server.clock, fleet, say, rehearsal.seed)
            figures = _figures(steps, runs, fleet, server, time.monotonic() - began)
    span_ms = (start_ms, start_ms + rehearsal.days * DAY_MS)
    candles = Candles(replayed.source, plan, settings.markets.base_timeframe)
    last_ms = plan.steps[-1].time_ms
    checks = check_rehearsal(workspace.store, settings.series(), span_ms, last_ms, candles)
    return Report([*checks, *check_trading(workspace), _check_notices(workspace)], figures)


def _check_notices(workspace: Workspace) -> Check:
    path = workspace.home / NOTICES_FILE
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return check_notices(notice_records(workspace, datetime.now(UTC)), lines)


def _plan(rehearsal: Rehearsal, replayed: Replayed) -> tuple[Plan, int]:
    """The plan of the last whole days of the candles, and the midnight at which they begin."""
    last = live_steps(0, rehearsal.days, rehearsal.timeframes)[-1].time_ms
    start_ms = (replayed.end_ms - last) // DAY_MS * DAY_MS
    replayed.require_history(start_ms)
    steps = live_steps(start_ms, rehearsal.days, rehearsal.timeframes)
    if not rehearsal.faults:
        return Plan(steps), start_ms
    return disturbed(steps, replayed.symbols, replayed.settings.markets.base_timeframe, rehearsal.seed), start_ms


def _live(plan: Plan, clock: ReplayClock, fleet: Fleet, say: Say, seed: int) -> tuple[list[StepTime], Runs]:
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - reads its settings when it is imported

    from flows.simulation.runs import Runs  # noqa: PLC0415

    done: list[StepTime] = []
    with get_client(sync_client=True) as client:
        runs = Runs(client, fleet, say, seed)
        for step in plan.steps:
            clock.set(step.time_ms)
            began = time.monotonic()
            outcome = runs.complete(step)
            done.append(StepTime(step, time.monotonic() - began, outcome))
            say(_line(done[-1], len(plan.steps)))
            time.sleep(SETTLE_SECONDS)
        runs.total = runs.count()
    return done, runs


def _line(done: StepTime, total: int) -> str:
    step, states = done.step, ", ".join(state.lower() for state in done.outcome.states)
    injected = ", ".join([*step.faults, *([done.outcome.blow] if done.outcome.blow else [])])
    line = f"{step.number:4d} of {total}  {step!s:<27} {done.seconds:6.1f} s  {states}"
    return f"{line} despite: {injected}" if injected else line


def _figures(steps: list[StepTime], runs: Runs, fleet: Fleet, server: ReplayServer, seconds: float) -> Figures:
    reports = server.faults.report()
    return {
        "flow_runs": runs.total,
        "triggered": dict(runs.states),
        "faults": len(reports),
        "faults_struck": sum(report.struck > 0 for report in reports),
        "blows": [done.outcome.blow for done in steps if done.outcome.blow],
        "restarts": fleet.restarts,
        "wall_seconds": round(seconds, 1),
        **_times("hourly", [done.seconds for done in steps if not done.step.is_night]),
        **_times("nightly", [done.seconds for done in steps if done.step.is_night]),
    }


def _times(name: str, seconds: list[float]) -> StepTimes:
    if not seconds:
        return {}
    median, longest = statistics.median(seconds), max(seconds)
    times = {f"{name}_median_seconds": round(median, 1), f"{name}_longest_seconds": round(longest, 1)}
    return cast(StepTimes, times)
