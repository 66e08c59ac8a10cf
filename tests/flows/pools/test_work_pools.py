"""Chunks on work pools: where they go, when they count as begun, and what becomes of those that nobody begins."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running, Scheduled

from flows.pools import work_pools
from flows.settings import SweepSettings
from flows.sweep import run
from flows.sweep.dispatch import LOCAL
from ml.errors import ServiceError
from ml.execution.chunks import Chunk, read_chunk
from ml.store import Store
from tests.synthetic import make_case

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def flow_run(state: Any) -> FlowRun:
    return FlowRun(id=uuid4(), flow_id=uuid4(), state=state)


class Server:
    """A Prefect server that has one run, which goes through the given states, and perhaps a worker."""

    def __init__(self, states: list[Any], *, online: bool = True) -> None:
        self.states = iter(states)
        self.online = online
        self.run = flow_run(Scheduled())

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read_flow_run(self, identity: Any) -> FlowRun:
        if not self.run.state.is_final():
            self.run.state = next(self.states)
        return self.run

    def set_flow_run_state(self, identity: Any, state: Any) -> None:
        self.run.state = state

    def read_work_pool(self, name: str) -> None:
        pass

    def read_workers_for_work_pool(self, name: str) -> list[Any]:
        return [SimpleNamespace(status=WorkerStatus.ONLINE if self.online else WorkerStatus.OFFLINE)]


def wait(server: Server, monkeypatch: pytest.MonkeyPatch) -> tuple[StateType, int]:
    """Wait for the run of a server; its last state, and how often it was told to have begun."""
    started: list[int] = []
    monkeypatch.setattr(work_pools, "get_client", lambda sync_client: server)
    monkeypatch.setattr(work_pools, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(work_pools, "ONLINE_SECONDS", 0.0)
    state = work_pools.wait_for_run(flow_run(Scheduled()), "cpu", lambda: started.append(1))
    return state.type, len(started)


def test_a_run_counts_as_begun_once_a_worker_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [Scheduled(), Pending(), Running(), Running(), Completed()]
    assert wait(Server(states), monkeypatch) == (StateType.COMPLETED, 1)


def test_a_run_that_was_over_between_two_looks_was_begun_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wait(Server([Completed()]), monkeypatch) == (StateType.COMPLETED, 1)


def test_a_run_that_crashed_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wait(Server([Running(), Crashed()]), monkeypatch) == (StateType.CRASHED, 1)


def test_a_run_that_no_worker_is_left_for_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server([Scheduled()] * 100, online=False)
    assert wait(server, monkeypatch) == (StateType.CANCELLED, 0)
    assert server.run.state.is_cancelled()


CHUNK = Chunk("d", (make_case(),))


def submissions(monkeypatch: pytest.MonkeyPatch, states: list[Any]) -> list[dict[str, Any]]:
    """The parameters of each submitted run, filled while runs end in the given states; each can read its cases."""
    given: list[dict[str, Any]] = []

    def run_deployment(name: str, parameters: dict[str, Any], timeout: int) -> FlowRun:
        given.append(parameters)
        assert read_chunk(Store(parameters["store_url"]), parameters["dataset_id"], parameters["chunk_id"]) == CHUNK
        return flow_run(states[len(given) - 1])

    monkeypatch.setattr(work_pools, "run_deployment", run_deployment)
    monkeypatch.setattr(work_pools, "get_client", lambda sync_client: Server([]))
    return given


@pytest.mark.parametrize(
    ("states", "submitted"),
    [([Crashed(), Crashed(), Completed()], 3), ([Cancelled(), Completed()], 1), ([Crashed()] * 9, work_pools.ATTEMPTS)],
)
def test_a_run_that_crashed_is_submitted_again_and_one_that_nobody_took_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, states: list[Any], submitted: int
) -> None:
    given = submissions(monkeypatch, states)
    store = Store(tmp_path)
    assert work_pools.run_on_work_pool("cpu", store, CHUNK, 60.0, {"seconds": 5.0}) == []  # without any result
    assert len(given) == submitted
    assert all(parameters["limits"] == {"seconds": 5.0} for parameters in given)
    assert store.list("chunks") == []


def test_the_error_of_a_run_that_failed_is_reported_and_it_is_not_submitted_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = submissions(monkeypatch, [Failed(message="no parameter 'chunk_id'"), Completed()])
    with pytest.raises(ServiceError, match="A chunk failed on the work pool cpu: no parameter 'chunk_id'"):
        work_pools.run_on_work_pool("cpu", Store(tmp_path), CHUNK, 60.0, {})
    assert len(given) == 1
    assert Store(tmp_path).list("chunks") == []


class Plan:
    """A round with neural and other cases."""

    def kinds(self) -> set[str]:
        return {"neural", "linear", "tree"}

    def chunks(self, kinds: set[str]) -> Any:
        return iter(sorted(kinds))


@pytest.mark.parametrize(
    ("online", "expected"),
    [
        (set(), {LOCAL: ["linear", "neural", "tree"]}),
        ({"cpu"}, {"cpu": ["linear", "neural", "tree"]}),
        ({"gpu"}, {"gpu": ["neural"], LOCAL: ["linear", "tree"]}),
        ({"cpu", "gpu"}, {"gpu": ["neural"], "cpu": ["linear", "tree"]}),
    ],
)
def test_neural_cases_go_to_gpus_where_there_are_some(
    monkeypatch: pytest.MonkeyPatch, online: set[str], expected: dict[str, list[str]]
) -> None:
    monkeypatch.setattr(run, "has_online_worker", lambda name: name in online)
    pool: Any = SimpleNamespace(size=2)
    plan: Any = Plan()
    lanes = run.lanes_of(pool, plan, SweepSettings(in_flight=7))
    assert {lane.name: list(lane.chunks) for lane in lanes} == expected
    assert {lane.limit for lane in lanes} <= {4, 7}
    assert all((lane.limit == 4) == (lane.name == LOCAL) for lane in lanes)
