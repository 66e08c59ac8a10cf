"""Neither a deployment nor a flow run says what a worker executes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.schema_tools import ValidationError, validate
from prefect.workers.process import ProcessJobConfiguration

from flows.server.deploy import DEPLOYMENTS
from flows.server.job_templates import FIXED, closed

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FILES = sorted(DEPLOYMENTS.rglob("*.json"))
HOSTILE = {
    "command": "touch /tmp/owned",
    "env": {"LD_PRELOAD": "/tmp/owned.so"},
    "env.PYTHONPATH": "/tmp",
    "working_dir": "/tmp",
}
#: As of a pool that an earlier version made, or Prefect's own template.
OPEN = {
    "job_configuration": {
        "command": "{{ command }}",
        "env": "{{ env }}",
        "image": "{{ image }}",
        "name": "{{ name }}",
        "job_manifest": {"args": "{{ command }}", "memory": "{{ memory }}"},
    },
    "variables": {
        "type": "object",
        "properties": {
            "command": {"type": "string", "default": "python -m prefect.engine"},
            "env": {"type": "object", "default": {"STORE_KEY": "abc"}},
            "image": {"type": "string"},
            "name": {"type": "string"},
            "memory": {"type": "string", "default": "4Gi"},
        },
    },
}


def job_of_a_worker(template: dict[str, Any], values: dict[str, Any]) -> ProcessJobConfiguration:
    """What Prefect's process worker makes of a template and of the job variables of a run. No server is asked."""
    made = ProcessJobConfiguration.from_template_and_values(template, values, client=object())  # type: ignore[arg-type]
    return asyncio.run(made)


def _read(path: Path) -> dict[str, Any]:
    template: dict[str, Any] = json.loads(path.read_text())
    return template


def test_the_templates_in_the_files_are_closed() -> None:
    assert len(FILES) == 7
    for path in FILES:
        template = _read(path)
        assert closed(template) == template, path
        assert not set(FIXED) & template["variables"]["properties"].keys()
        assert "env" not in template["job_configuration"], "a worker merges `env` of a run into one that is there"


@pytest.mark.parametrize("pool", ["coordinator", "cpu", "gpu"])
def test_a_worker_executes_what_the_pool_says_whatever_a_run_asks_for(pool: str) -> None:
    template = _read(DEPLOYMENTS / "work-pools" / f"{pool}.json")

    job = job_of_a_worker(template, {**HOSTILE, "stream_output": False})

    assert job.command == template["job_configuration"]["command"]
    assert job.command.endswith("python -m flows.processes.launcher -- python -m prefect.engine")
    assert job.env == {}
    assert job.working_dir is None
    assert job.stream_output is False  # what is harmless can be said


@pytest.mark.parametrize("name", ["command", "env", "working_dir", "env.PYTHONPATH"])
def test_a_server_refuses_a_run_that_sets_a_closed_variable(name: str) -> None:
    for path in FILES:
        with pytest.raises(ValidationError):
            validate({name: HOSTILE[name]}, _read(path)["variables"], raise_on_error=True)


def test_an_open_template_is_closed_with_the_values_that_it_had() -> None:
    template = closed(OPEN)

    assert template["job_configuration"] == {
        "command": "python -m prefect.engine",
        "env": {"STORE_KEY": "abc"},
        # No image: the worker's own default.
        "name": "{{ name }}",
        "job_manifest": {"args": "python -m prefect.engine", "memory": "{{ memory }}"},
    }
    assert template["variables"]["properties"].keys() == {"name", "memory"}
    assert template["variables"]["additionalProperties"] is False
    assert closed(template) == template
    assert closed({})["job_configuration"] == {}
