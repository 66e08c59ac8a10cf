"""The driver's runs for real: a server, a worker, a killed worker and a restarted server, with tiny flows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from flows.processes.ports import free_port
from flows.server.deploy import DEPLOYMENTS
from flows.server.prefect_server import api_url, prefect_environment, prefect_settings
from flows.server.up import UpOptions, everything
from flows.simulation.plan import HOURLY, KILL_WORKER, RESTART_SERVER, Step
from flows.workspace.secret import secret_path
from tests.flows.shared_services import SharedServices

pytestmark = pytest.mark.e2e

FLOWS = """
import time
from prefect import flow

@flow
def hourly(home: str | None = None, config: str | None = None) -> None:
    time.sleep(8)  # longer than the latest moment of a blow

@flow
def nightly(home: str | None = None, config: str | None = None) -> None:
    pass

@flow
def review(home: str | None = None, config: str | None = None) -> None:
    pass

@flow
def analyses(home: str | None = None, config: str | None = None) -> None:
    pass

@flow
def monthly(home: str | None = None, config: str | None = None, month: str | None = None) -> None:
    pass

@flow
def watch(home: str | None = None, config: str | None = None) -> None:
    pass

@flow
def run_chunk(store_url: str, dataset_id: str, chunk_id: str) -> None:
    pass
"""


def _options(folder: Path) -> UpOptions:
    (folder / "brief_pipeline.py").write_text(FLOWS)
    deployments = folder / "deployments"
    shutil.copytree(DEPLOYMENTS, deployments)
    content = yaml.safe_load((deployments / "prefect.yaml").read_text())
    for entry in content["deployments"]:
        entry["entrypoint"] = f"brief_pipeline.{entry['entrypoint'].rpartition('.')[2]}"
        entry.pop("schedules", None)
    (deployments / "prefect.yaml").write_text(yaml.safe_dump(content))
    ports = {"server_port": free_port(), "app_port": free_port()}
    return UpOptions(
        folder / "home",
        folder / "candleworks.toml",
        cpu_workers=0,
        deployments=deployments,
        poll_seconds=1.0,
        **ports,
    )


@pytest.mark.timeout(400)
def test_runs_survive_a_killed_worker_and_a_restarted_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_services: SharedServices
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    options = _options(tmp_path)
    shared_services.with_migrated_prefect(options.home)
    said: list[str] = []
    with (
        everything(options, Console()) as fleet,
        prefect_settings(prefect_environment(options.home, api_url(options.server_port))),
    ):
        from prefect.client.orchestration import get_client  # noqa: PLC0415 - reads its settings when imported

        from flows.simulation.runs import Runs  # noqa: PLC0415

        with get_client(sync_client=True) as client:
            runs = Runs(client, fleet, said.append, seed=0)
            killed = runs.complete(Step(1, 0, HOURLY, blow=KILL_WORKER))
            # A server that is started again asks for what its workers know, not for a new secret.
            secret_path(options.home).unlink()
            restarted = runs.complete(Step(2, 0, HOURLY, blow=RESTART_SERVER))
            known = runs.count()

    # The run died with its worker, and would have blocked the deployment had it not been closed.
    assert killed.states == ("Crashed", "Completed")
    assert killed.blow == KILL_WORKER
    assert restarted.states[-1] == "Completed"
    assert restarted.blow == RESTART_SERVER
    assert known == sum(runs.states.values()) == len(killed.states) + len(restarted.states)
    assert fleet.restarts == 2
    assert [line for line in said if line.startswith("The coordinator worker ended with exit code -9")]
    assert [line for line in said if line.startswith("The Prefect server ended with exit code")]
