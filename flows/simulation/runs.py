"""Runs the deployments through Prefect's API until they complete: a run that was lost is triggered again.

Prefect reads its settings when it is imported: import this module within `prefect_settings`.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectHTTPStatusError

from flows.server.fleet import Fleet
from flows.server.up import COORDINATOR_WORKER, SERVER_NAME
from flows.simulation.plan import KILL_WORKER, RESTART_SERVER, Step
from ml.errors import ServiceError

_Answer = TypeVar("_Answer")

POLL_SECONDS = 0.2
#: Longer than the 90 s after which Prefect detects a lost run by its missing heartbeats.
RUN_LIMIT_SECONDS = 1800.0
ATTEMPTS = 5
#: A process failure is injected at most this many seconds after the start of the run.
LATEST_BLOW_SECONDS = 6.0
BUSY = 503


@dataclass(frozen=True)
class Outcome:
    """Outcome of a step: the final states of its runs, the last of them completed, and the injected process failure."""

    states: tuple[str, ...]
    blow: str = ""


class Runs:
    """Triggers runs one after the other, waits for each, and restarts services that exit meanwhile.

    Args:
        client: client of the server in `fleet`.
        fleet: the services.
        say: called with messages.
        seed: random seed of the times at which processes are killed.
    """

    def __init__(self, client: SyncPrefectClient, fleet: Fleet, say: Callable[[str], None], seed: int) -> None:
        self._client = client
        self._fleet = fleet
        self._say = say
        self._random = random.Random(seed)
        self._ids: dict[str, UUID] = {}
        #: Number of triggered runs per final state.
        self.states: Counter[str] = Counter()
        #: Number of all flow runs on the server at the end.
        self.total = 0

    def complete(self, step: Step) -> Outcome:
        """Run a step's deployment until one run has completed.

        Raises:
            ServiceError: no run completed, or a service cannot be kept running.
        """
        if step.deployment not in self._ids:
            self._ids[step.deployment] = self._patiently(
                lambda: self._client.read_deployment_by_name(step.deployment).id
            )
        ends: list[str] = []
        blow = step.blow
        message = ""
        for _ in range(ATTEMPTS):
            state, struck = self._once(self._ids[step.deployment], blow)
            blow = "" if struck else blow
            self.states[state.name or str(state.type)] += 1
            ends.append(state.name or str(state.type))
            if state.is_completed():
                return Outcome(tuple(ends), step.blow if not blow else "")
            message = " ".join((state.message or "").split())
            self._say(f"{step}: the run ended {ends[-1].lower()} ({message}); it is triggered again")
        raise ServiceError(
            f"{step}: {ATTEMPTS} runs did not complete, the last one: {message}. "
            f"The logs are in {self._fleet.home / 'logs'}."
        )

    def count(self) -> int:
        """Number of flow runs on the server, including subflows and chunks of sweeps."""
        return self._patiently(lambda: int(self._client.count_flow_runs()))

    def _once(self, deployment_id: UUID, blow: str) -> tuple[State, bool]:
        run_id = self._patiently(lambda: self._client.create_flow_run_from_deployment(deployment_id).id)
        deadline = time.monotonic() + RUN_LIMIT_SECONDS
        strike_at: float | None = None
        struck = False
        while time.monotonic() < deadline:
            self._fleet.restart_exited(self._say)
            state = self._patiently(lambda: self._client.read_flow_run(run_id).state)
            if state is not None and state.is_final():
                return state, struck
            if blow and not struck and state is not None and state.is_running():
                strike_at = strike_at or time.monotonic() + self._random.uniform(0.0, LATEST_BLOW_SECONDS)
                if time.monotonic() >= strike_at:
                    self._strike(blow)
                    struck = True
            time.sleep(POLL_SECONDS)
        raise ServiceError(
            f"A flow run did not end in {RUN_LIMIT_SECONDS / 60:.0f} minutes. "
            f"The logs are in {self._fleet.home / 'logs'}."
        )

    def _strike(self, blow: str) -> None:
        """Kill the worker of the coordinator pool (SIGKILL), or terminate the server (SIGTERM)."""
        name, number = {
            KILL_WORKER: (COORDINATOR_WORKER, signal.SIGKILL),
            RESTART_SERVER: (SERVER_NAME, signal.SIGTERM),
        }[blow]
        process = self._fleet[name].process
        os.kill(process.pid, number)
        process.wait()

    def _patiently(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask the server until it answers: it may be down, starting, or have its database locked.

        Raises:
            ServiceError: it cannot be restarted.
        """
        while True:
            try:
                return ask()
            except httpx.TransportError:
                self._fleet.restart_exited(self._say)
            except PrefectHTTPStatusError as error:
                if error.response.status_code != BUSY:
                    raise
            time.sleep(POLL_SECONDS)
