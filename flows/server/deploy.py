"""Register our work pools and deployments on a Prefect server; idempotent.

    python -m flows.server.deploy DEPLOYMENTS_FOLDER

The files are the source of truth: `work-pools/NAME.json` becomes the base job template of the process pool NAME (again
after an upgrade), and all of `prefect.yaml` is deployed by Prefect's own command. Values that differ between workspaces
(home, configuration, address of the server) come from the environment.

Two states are corrected as well. A flow run whose process was killed together with its worker stays "Running" for
ever, so an automation marks runs that miss their heartbeats as crashed. And when the server restarts, runs of the
coordinator pool that it still lists as running have died with their worker: they are marked at once, which also frees
their slot under the concurrency limit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from flows.processes.children import child_environment, log_tail, start_child, stop_child
from flows.workspace.product_files import product_file
from ml.errors import ServiceError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import WorkPool

DEPLOYMENTS = product_file("deployments")
COORDINATOR_POOL = "coordinator"
POOL_TYPE = "process"
POOL_DESCRIPTIONS = {
    COORDINATOR_POOL: "Flows that open the warehouse. Its worker runs on the machine that has the home.",
    "cpu": "Chunks of test cases on CPUs. A worker needs this server's address and the store.",
    "gpu": "Chunks of test cases on GPUs. A worker needs this server's address and the store.",
}
HEARTBEAT_AUTOMATION = "candleworks: runs without a heartbeat have crashed"
HEARTBEAT_LIMIT = timedelta(seconds=90)


def workspace_environment(home: Path, config_path: Path) -> dict[str, str]:
    """The variables that prefect.yaml reads from the environment."""
    return {"CANDLEWORKS_HOME": str(home.resolve()), "CANDLEWORKS_CONFIG": str(config_path.resolve())}


def deploy(
    environment: Mapping[str, str],
    log_path: Path,
    deployments: Path = DEPLOYMENTS,
    limit_seconds: float = 180.0,
) -> None:
    """Create pools, automation and deployments on a running server, in a child: this process does not load Prefect.

    Args:
        environment: `prefect_environment` of the server and `workspace_environment`.
        log_path: Where the child writes.
        deployments: The folder that holds prefect.yaml and work-pools/.
        limit_seconds: How long it may take.

    Raises:
        ServiceError: it failed; with the tail of its log.
    """
    command = [sys.executable, "-m", "flows.server.deploy", str(deployments)]
    child = start_child(command, child_environment(environment), log_path)
    try:
        code = child.wait(limit_seconds)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        stop_child(child)
    if code != 0:
        how = f"did not end in {limit_seconds:.0f} s" if code is None else f"failed with exit code {code}"
        raise ServiceError(
            f"Deploying {deployments / 'prefect.yaml'} {how}. {log_path} ends with:\n{log_tail(log_path)}"
        )


def create_pools(client: SyncPrefectClient, folder: Path) -> None:
    """Create the pool of each template in a folder, or update the template of an existing one.

    All templates fix the command that starts a flow run: no flow run may choose what a worker executes.
    """
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate  # noqa: PLC0415 - see `deploy`

    from flows.server.job_templates import closed  # noqa: PLC0415 - loads Prefect

    for template_path in sorted(folder.glob("*.json")):
        name = template_path.stem
        existing = _pool(client, name)
        if existing is not None and existing.type != POOL_TYPE:
            # Its chunks run in containers, with a template of that type; its variables may allow too much.
            client.update_work_pool(name, WorkPoolUpdate(base_job_template=closed(existing.base_job_template)))
            continue
        pool = WorkPoolCreate(
            name=name,
            type=POOL_TYPE,
            description=POOL_DESCRIPTIONS.get(name),
            base_job_template=json.loads(template_path.read_text(encoding="utf-8")),
            # Values that were set by hand stay.
            concurrency_limit=existing.concurrency_limit if existing else None,
            is_paused=existing.is_paused if existing else False,
        )
        client.create_work_pool(pool, overwrite=True)


def _pool(client: SyncPrefectClient, name: str) -> WorkPool | None:
    from prefect.exceptions import ObjectNotFound  # noqa: PLC0415 - see `deploy`

    try:
        return client.read_work_pool(name)
    except ObjectNotFound:
        return None


def close_abandoned_runs(client: SyncPrefectClient) -> int:
    """Mark runs that the server lists as running on the coordinator pool as crashed. Call before its worker starts.

    Returns:
        How many runs were marked.
    """
    from prefect.client.schemas import filters  # noqa: PLC0415 - see `deploy`
    from prefect.client.schemas.objects import StateType  # noqa: PLC0415
    from prefect.states import Crashed  # noqa: PLC0415

    unfinished = filters.FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
    runs = client.read_flow_runs(
        flow_run_filter=filters.FlowRunFilter(state=filters.FlowRunFilterState(type=unfinished)),
        work_pool_filter=filters.WorkPoolFilter(name=filters.WorkPoolFilterName(any_=[COORDINATOR_POOL])),
    )
    for run in runs:
        client.set_flow_run_state(run.id, Crashed(message="Its worker ended; found when the server started again."))
    return len(runs)


def create_heartbeat_automation(client: SyncPrefectClient) -> None:
    """Have the server mark a run as crashed that sends no heartbeat for 90 s (three of them)."""
    from prefect.client.schemas.objects import StateType  # noqa: PLC0415 - see `deploy`
    from prefect.events.actions import ChangeFlowRunState  # noqa: PLC0415
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture  # noqa: PLC0415
    from prefect.events.schemas.events import ResourceSpecification  # noqa: PLC0415

    heartbeat = "prefect.flow-run.heartbeat"
    ends = [f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")]
    automation = AutomationCore(
        name=HEARTBEAT_AUTOMATION,
        description="kill -9 of a worker takes its flow runs with it and leaves them 'Running' here.",
        trigger=EventTrigger(
            # A run that dies within its first seconds never sends a heartbeat.
            after={"prefect.flow-run.Running", heartbeat},
            expect={heartbeat, *ends},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=HEARTBEAT_LIMIT,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="No heartbeat for 90 s.")],
    )
    known = client.request("POST", "/automations/filter", json={"automations": {"name": {"any_": [automation.name]}}})
    if not known.json():
        client.request("POST", "/automations/", json=automation.model_dump(mode="json"))


def main(arguments: list[str]) -> int:
    """The child's main function; returns the exit code of `prefect deploy`."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - see `deploy`

    deployments = Path(arguments[0])
    with get_client(sync_client=True) as client:
        create_pools(client, deployments / "work-pools")
        close_abandoned_runs(client)
        create_heartbeat_automation(client)
    command = ["--no-prompt", "deploy", "--all", "--prefect-file", str(deployments / "prefect.yaml")]
    # Not in the folder of the caller: `prefect deploy` looks for files in the current one.
    return subprocess.run([sys.executable, "-m", "prefect", *command], check=False, cwd=deployments).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
