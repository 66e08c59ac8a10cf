"""The deployment files fit each other, the code and any machine."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOYMENTS = Path(__file__).resolve().parents[2] / "deployments"
POOLS = {path.stem: json.loads(path.read_text()) for path in (DEPLOYMENTS / "work-pools").glob("*.json")}
BY_NAME: dict[str, dict[str, Any]] = {
    entry["name"]: entry for entry in yaml.safe_load((DEPLOYMENTS / "prefect.yaml").read_text())["deployments"]
}


SCHEDULED = ("hourly", "nightly-sweep", "weekly-review", "daily-analyses", "monthly-report", "watch")


def test_there_are_the_scheduled_runs_and_chunks_for_cpu_and_gpu() -> None:
    assert set(BY_NAME) == {*SCHEDULED, "sweep-chunk-cpu", "sweep-chunk-gpu"}
    assert set(POOLS) == {"coordinator", "cpu", "gpu"}
    assert {entry["work_pool"]["name"] for entry in BY_NAME.values()} == set(POOLS)
    assert BY_NAME["sweep-chunk-cpu"]["work_pool"]["name"] == "cpu"
    assert BY_NAME["sweep-chunk-gpu"]["work_pool"]["name"] == "gpu"


@pytest.mark.parametrize("name", SCHEDULED)
def test_scheduled_runs_are_in_utc_and_one_at_a_time(name: str) -> None:
    assert [schedule["timezone"] for schedule in BY_NAME[name]["schedules"]] == ["UTC"]
    assert BY_NAME[name]["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


def test_the_hourly_run_starts_within_the_grace_of_an_hourly_forecast() -> None:
    # 10 % of an hour is 6 minutes; the run needs some of them itself.
    minute, *rest = BY_NAME["hourly"]["schedules"][0]["cron"].split()
    assert rest == ["*"] * 4
    assert 0 < int(minute) <= 2


def _command(template: dict[str, Any]) -> tuple[dict[str, str], str]:
    """The environment and the command proper of `env NAME=VALUE ... COMMAND`."""
    words = template["job_configuration"]["command"].split()
    assert words[0] == "env"
    settings = [word for word in words[1:] if "=" in word]
    return dict(word.split("=", 1) for word in settings), " ".join(words[1 + len(settings) :])


@pytest.mark.parametrize("name", sorted(POOLS))
def test_flow_runs_of_every_pool_die_with_their_worker(name: str) -> None:
    _, command = _command(POOLS[name])
    assert command == "python -m flows.processes.launcher -- python -m prefect.engine"


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_container_templates_use_exactly_the_variables_that_they_declare(kind: str, name: str) -> None:
    text = (DEPLOYMENTS / kind / f"{name}.json").read_text()
    template = json.loads(text)
    used = set(re.findall(r"{{ (\w+) }}", json.dumps(template["job_configuration"])))
    assert used == set(template["variables"]["properties"])
    # The same libraries on the same number of threads as in a process.
    environment, command = _command(template)
    assert environment == _command(POOLS[name])[0]
    assert command == "python -m prefect.engine"
    if kind == "kubernetes":
        [container] = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]["containers"]
        assert container["args"] == template["job_configuration"]["command"]


def test_no_file_holds_a_path_of_a_machine_or_an_address() -> None:
    for path in [DEPLOYMENTS / "prefect.yaml", *DEPLOYMENTS.rglob("*.json")]:
        assert not re.search(r"(^|[\s\"'=])/\w|://", path.read_text()), path


@pytest.mark.parametrize("name", sorted(BY_NAME))
# Prefect and what it imports warn about each other's ageing calls while loading; none of it is ours to change.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_entry_point_is_a_flow_that_takes_the_given_parameters(name: str) -> None:
    module, _, function = BY_NAME[name]["entrypoint"].rpartition(".")
    flow = getattr(importlib.import_module(module), function)

    assert type(flow).__name__ == "Flow"
    assert set(BY_NAME[name].get("parameters", {})) <= set(inspect.signature(flow.fn).parameters)
