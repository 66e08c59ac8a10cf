"""The plan of a rehearsal: its runs and their times, and the injected faults. The same seed gives the same plan."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from flows.replay import Fault
from ml.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, milliseconds

HOURLY, NIGHTLY = "hourly/hourly", "nightly/nightly-sweep"
#: As in the schedules of deployments/prefect.yaml: one minute after a candle's close, and 01:20.
HOURLY_AFTER_MS = MINUTE_MS
NIGHTLY_AFTER_MS = HOUR_MS + 20 * MINUTE_MS

KILL_WORKER, RESTART_SERVER = "worker killed", "server restarted"

#: Each kind of fault strikes one in this many hourly runs.
RUNS_A_FAULT = 14
#: Longer than the rehearsal's exchange time-out, so that the client gives up first.
STALL_SECONDS = 6.0
REVISION_FACTOR = 1.002
#: Age of a revised candle in candles: within the overlap that each load reads again.
REVISED_AGE = 3
ANSWER_KINDS = ("rate_limit", "server_error", "stall", "truncate")
DATA_KINDS = ("gap", "revise", "duplicate")


@dataclass(frozen=True)
class Step:
    """One run of a deployment.

    Attributes:
        number: from 1 on.
        time_ms: the exchange's time, milliseconds since 1970 UTC.
        deployment: the deployment to run, as flow/deployment.
        faults: kinds of faults of the exchange in force at this time.
        blow: the failure of one of our own processes during the run; empty: none.
    """

    number: int
    time_ms: int
    deployment: str
    faults: tuple[str, ...] = ()
    blow: str = ""

    @property
    def is_night(self) -> bool:
        return self.deployment == NIGHTLY

    def __str__(self) -> str:
        """Time and flow, as `05-12 04:01 hourly`."""
        name = self.deployment.partition("/")[0]
        return f"{datetime.fromtimestamp(self.time_ms / 1000, UTC):%m-%d %H:%M} {name}"


@dataclass(frozen=True)
class Plan:
    """Steps in order of time, and all faults of the exchange, each bound to its time."""

    steps: tuple[Step, ...]
    faults: tuple[Fault, ...] = ()


def live_steps(start_ms: int, days: int, timeframes: Sequence[str]) -> tuple[Step, ...]:
    """An hourly run after each candle of the shortest timeframe, and one nightly run per day.

    Args:
        start_ms: midnight of the first day; its first run loads the history.
        days: number of days; the last run scores the last candle.
        timeframes: the timeframes to forecast.
    """
    step_ms = min(milliseconds(timeframe) for timeframe in timeframes)
    end_ms = start_ms + days * DAY_MS
    due = [(time_ms + HOURLY_AFTER_MS, HOURLY) for time_ms in range(start_ms, end_ms + 1, step_ms)]
    due += [(time_ms + NIGHTLY_AFTER_MS, NIGHTLY) for time_ms in range(start_ms, end_ms, DAY_MS)]
    return tuple(Step(number, time_ms, name) for number, (time_ms, name) in enumerate(sorted(due), 1))


def disturbed(steps: Sequence[Step], symbols: Sequence[str], base_timeframe: str, seed: int) -> Plan:
    """Inject faults into some hourly runs, kill a worker in one and restart the server in another.

    The first runs, which load the history and find the first champions, and the last ones, before which the system must
    have recovered, are spared.

    Args:
        steps: as returned by `live_steps`.
        symbols: markets that can be struck.
        base_timeframe: the timeframe of the loaded candles.
        seed: random seed of the choice of runs and markets.
    """
    chooser = random.Random(seed)
    base_ms = milliseconds(base_timeframe)
    hours = [step for step in steps if not step.is_night]
    exposed = hours[1:-2]
    faults: list[Fault] = []
    struck: dict[int, list[str]] = {}
    for kind in (*ANSWER_KINDS, *DATA_KINDS) if exposed else ():
        for step in chooser.sample(exposed, max(1, len(exposed) // RUNS_A_FAULT)):
            next_ms = hours[hours.index(step) + 1].time_ms
            faults.append(_fault(kind, chooser.choice(list(symbols)), base_ms, step.time_ms, next_ms))
            struck.setdefault(step.number, []).append(kind)
    places = chooser.sample(exposed, min(2, len(exposed)))
    blows = dict(zip((step.number for step in places), (KILL_WORKER, RESTART_SERVER), strict=False))
    return Plan(
        tuple(
            replace(step, faults=tuple(struck.get(step.number, ())), blow=blows.get(step.number, "")) for step in steps
        ),
        tuple(faults),
    )


def _fault(kind: str, symbol: str, base_ms: int, time_ms: int, next_ms: int) -> Fault:
    """A fault of one run; data faults strike the newest closed base candle, a revision an older one."""
    common = {"kind": kind, "symbol": symbol, "from_ms": time_ms}
    newest_ms = time_ms - time_ms % base_ms - base_ms
    if kind == "revise":
        # Permanent: an exchange does not undo a correction.
        revised_ms = newest_ms - REVISED_AGE * base_ms
        window = {"start_ms": revised_ms, "end_ms": revised_ms + base_ms}
        return Fault.model_validate({**common, **window, "factor": REVISION_FACTOR})
    if kind in DATA_KINDS:
        # Until the next hourly run, which fills the gap or no longer sees the repeated row.
        window = {"start_ms": newest_ms, "end_ms": newest_ms + base_ms}
        return Fault.model_validate({**common, **window, "until_ms": next_ms})
    return Fault.model_validate({**common, "until_ms": next_ms, "stall_seconds": STALL_SECONDS})
