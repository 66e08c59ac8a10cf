"""The progress of a sweep: every state visible at any time, and the last word at the end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from flows.sweep import progress
from flows.sweep.progress import Tracker
from flows.sweep.sweep import Round, build_sweep
from ml.data.datasets import read_manifest, write_dataset
from ml.execution.chunks import Chunk
from ml.forecasting.published import read_progress
from ml.store import Store
from tests.synthetic import FEATURES, SERIES, make_dataset, make_space

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
COLUMNS = dict(zip(FEATURES, ("range", "range", "returns"), strict=True))


def plan_of(store: Store) -> Round:
    """A round of three cases in one chunk each."""
    manifest = read_manifest(store, write_dataset(store, make_dataset(800), "code"))
    space = make_space(groups={"range": "on"}, lags=(1, 2, 3))
    return build_sweep(store, [space], {SERIES: manifest}, COLUMNS, chunk_seconds=0.001, processes=1).round()


def lines(chunk: Chunk, status: str) -> list[dict[str, Any]]:
    return [{"case_key": case.key, "status": status, "seconds": 2.0, "worker": "host"} for case in chunk.cases]


def states(record: dict[str, Any]) -> tuple[int, ...]:
    return tuple(record[f"cases_{name}"] for name in ("never_tested", "in_work", "tested", "failed"))


def test_every_case_is_in_one_state_at_any_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    told: list[tuple[int, int]] = []
    plan = plan_of(store)
    with Tracker(store, lambda done, total: told.append((done, total))) as tracker:
        tracker.follow(plan)
        assert states(read_progress(store) or {}) == (3, 0, 0, 0)
        first, second, third = plan.chunks({"linear"})
        tracker.begin(first)
        tracker.begin(second)
        assert states(tracker.totals()) == (1, 2, 0, 0)
        tracker.end(first, lines(first, "tested"), begun=True)
        tracker.end(second, lines(second, "failed"), begun=True)
        assert states(tracker.totals()) == (1, 0, 1, 1)
        # Held by somebody else: neither begun nor done here.
        tracker.end(third, [], begun=False)
        assert states(tracker.totals()) == (1, 0, 1, 1)
    last = read_progress(store) or {}
    assert (last["status"], states(last), states(last["series"][0])) == ("done", (1, 0, 1, 1), (1, 0, 1, 1))
    assert (last["mean_seconds"], last["workers"]) == (2.0, [{"worker": "host", "cases": 2, "share": 1.0}])
    assert told[-1] == (2, 3)


def test_a_sweep_that_ends_with_an_error_is_not_done(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), Tracker(store) as tracker:
        tracker.follow(plan_of(store))
        raise KeyboardInterrupt
    assert (read_progress(store) or {})["status"] == "stopped"


def test_a_flow_run_shows_it_in_one_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    made: list[tuple[float, str]] = []
    updated: list[float] = []

    def create(progress: float, key: str, description: str) -> UUID:
        made.append((progress, key))
        return uuid4()

    monkeypatch.setattr(progress, "create_progress_artifact", create)
    monkeypatch.setattr(progress, "update_progress_artifact", lambda _, progress, description: updated.append(progress))
    plan = plan_of(store)
    with Tracker(store) as tracker:
        tracker.follow(plan)
        tracker.show()  # no flow run: nothing
        assert made == []
        monkeypatch.setattr(progress, "FlowRunContext", SimpleNamespace(get=lambda: "a flow run"))
        tracker.show()
        tracker.show()  # too soon
        for chunk in plan.chunks({"linear"}):
            tracker.end(chunk, lines(chunk, "tested"), begun=False)
    assert made == [(0.0, f"sweep-{plan.sweep_id}")]
    assert updated == [100.0]
