"""Everything for real: server, pools, deployments, workers and app; a scheduled run; kill -9 and Ctrl-C."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from flows.processes.children import child_environment
from flows.processes.ports import answers, free_port, port_is_free
from flows.server.api import PrefectApi
from flows.server.down import down
from flows.server.prefect_server import api_url, prefect_environment, prefect_settings
from flows.server.process_records import read_records, record_path
from flows.server.up import UpOptions, check
from flows.workspace.secret import home_secret, secret_path
from ml.errors import ServiceError
from tests.flows.shared_services import SharedServices

pytestmark = pytest.mark.e2e

DEPLOYMENTS = Path(__file__).resolve().parents[3] / "deployments"
LOCAL = Path(__file__).parent


def wait_for(what: str, condition: Callable[[], Any], limit_seconds: float) -> Any:
    deadline = time.monotonic() + limit_seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {limit_seconds:.0f} s for {what}"
        time.sleep(0.1)
    return value


def write_test_deployments(folder: Path) -> None:
    """The real files, with flows of this test in the place of the real ones, the hourly run every 15 s."""
    shutil.copytree(DEPLOYMENTS, folder)
    content = yaml.safe_load((folder / "prefect.yaml").read_text())
    for entry in content["deployments"]:
        entry["entrypoint"] = f"tiny_pipeline.{entry['entrypoint'].rpartition('.')[2]}"
        entry.pop("schedules", None)
        if entry["name"] == "hourly":
            entry["schedules"] = [{"interval": 15, "timezone": "UTC", "active": True}]
    (folder / "prefect.yaml").write_text(yaml.safe_dump(content))


class Workspace:
    """A home with its own ports, whose `up` runs in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.server_port, self.app_port = free_port(), free_port()
        self.deployments = folder / "deployments"
        self.config_path = folder / "candleworks.toml"
        self.folder, self.output = folder, folder
        self.processes: list[subprocess.Popen[bytes]] = []
        write_test_deployments(self.deployments)
        (folder / "spaces").mkdir()
        (folder / "spaces" / "mine.toml").write_text('[[space]]\nname = "mine"\nmodel = "ridge"\n')
        self.config_path.write_text('[sweep]\nsearch_spaces = ["spaces/mine.toml"]\n')

    def start(self) -> subprocess.Popen[bytes]:
        """Start `up`."""
        code = f"""
            import sys
            from pathlib import Path
            from flows.server.up import UpOptions, up
            from ml.errors import CandleworksError
            try:
                up(UpOptions(Path({str(self.home)!r}), Path({str(self.config_path)!r}),
                             server_port={self.server_port}, app_port={self.app_port},
                             deployments=Path({str(self.deployments)!r})))
            except CandleworksError as error:
                print(error)
                sys.exit(error.exit_code)
        """
        environment = child_environment()
        environment["PYTHONPATH"] += f":{LOCAL}"
        command = [sys.executable, "-c", textwrap.dedent(code)]
        self.output = self.folder / f"up-{len(self.processes)}.log"
        with self.output.open("wb") as output:
            self.processes.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
        return self.processes[-1]

    def wait_until_up(self, process: subprocess.Popen[bytes]) -> str:
        wait_for("up", lambda: process.poll() is not None or "Logs are in" in self.output.read_text(), 120)
        assert process.poll() is None, self.output.read_text()
        return self.output.read_text()

    def api(self, path: str, body: dict[str, Any] | None = None) -> Any:
        server = PrefectApi(f"http://127.0.0.1:{self.server_port}/api", home_secret(self.home))
        for _ in range(20):
            try:
                return server.get(path) if body is None else server.post(path, body)
            except urllib.error.HTTPError as error:
                # A busy SQLite ("database is locked"); Prefect's own clients try again as well.
                error.close()
                assert error.code == 503
                time.sleep(0.5)
        raise AssertionError(f"{path} was never answered")

    def runs(self, deployment: str, state: str) -> list[dict[str, Any]]:
        body = {
            "deployments": {"name": {"any_": [deployment]}},
            "flow_runs": {"state": {"name": {"any_": [state]}}},
        }
        found: list[dict[str, Any]] = self.api("/flow_runs/filter", body)
        return found


def arguments_of(process: psutil.Process) -> list[str]:
    """The command line of a process; none where it has just exited."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # a zombie too
        return []


def require_closed_door(workspace: Workspace, secret: str) -> None:
    """Strangers, other pages and other names are refused (more of them in test_door.py)."""
    address = f"http://127.0.0.1:{workspace.server_port}/api"
    assert PrefectApi(address, secret).status() == 200
    assert PrefectApi(address, "").status() == 401
    assert PrefectApi(address, "candleworks:wrong").status() == 401
    for name, value, code in (("Origin", "http://evil.example", 403), ("Host", "evil.example", 400)):
        request = urllib.request.Request(f"{address}/flow_runs/", data=b"{}", headers={name: value})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == code
        refused.value.close()


def require_right_installation(workspace: Workspace) -> None:
    """A deployed run knew home and settings, and found their search space, whose path is relative, from elsewhere."""
    mark = json.loads((workspace.home / "mark.json").read_text())
    assert mark["home"] == str(workspace.home)
    assert mark["config"] == str(workspace.config_path)
    assert Path(mark["folder"]) != workspace.config_path.parent
    assert mark["spaces"] == ["mine"]


#: What earlier versions let a flow run say.
OPEN_TEMPLATE = {
    "job_configuration": {"command": "{{ command }}", "env": {"A": "1"}, "working_dir": "{{ working_dir }}"},
    "variables": {
        "type": "object",
        "properties": {
            "command": {"type": "string", "default": "python -m flows.processes.launcher -- python -m prefect.engine"},
            "env": {"type": "object"},
            "working_dir": {"type": "string"},
        },
    },
}


def as_an_earlier_version(workspace: Workspace) -> None:
    """Open the pools, and let the deployment bring its environment along."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - reads its settings when imported
    from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolUpdate  # noqa: PLC0415

    environment = prefect_environment(workspace.home, api_url(workspace.server_port))
    with prefect_settings(environment), get_client(sync_client=True) as client:
        for pool in ("coordinator", "cpu"):
            update = WorkPoolUpdate(base_job_template=OPEN_TEMPLATE, concurrency_limit=7)
            client.update_work_pool(pool, update)
        hourly = client.read_deployment_by_name("hourly/hourly")
        client.update_deployment(hourly.id, DeploymentUpdate(job_variables={"env": {"CANDLEWORKS_HOME": "/old"}}))


def require_closed_pools(workspace: Workspace) -> None:
    """Pools and deployments are as the files say; what was set by hand has stayed."""
    for pool in ("coordinator", "cpu"):
        found = workspace.api(f"/work_pools/{pool}")
        expected = json.loads((DEPLOYMENTS / "work-pools" / f"{pool}.json").read_text())
        assert found["base_job_template"] == expected
        assert found["concurrency_limit"] == 7
    assert workspace.api("/deployments/name/hourly/hourly")["job_variables"] == {}


def require_restart_of_the_app(workspace: Workspace) -> None:
    """A child that ends later is named and started again."""

    def app() -> int:
        return next(record.pid for record in read_records(workspace.home) if record.name == "app")

    killed = app()
    psutil.Process(killed).kill()
    wait_for("the app", lambda: app() != killed and answers(f"http://127.0.0.1:{workspace.app_port}"), 60)
    assert "The app ended with exit code -9; restarting it." in workspace.output.read_text()


@pytest.fixture
def workspace(tmp_path: Path, shared_services: SharedServices) -> Iterator[Workspace]:
    made = Workspace(tmp_path)
    shared_services.with_migrated_prefect(made.home)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


@pytest.mark.timeout(400)
def test_up_runs_a_schedule_survives_kill_9_restarts_its_app_and_stops_on_ctrl_c(workspace: Workspace) -> None:
    process = workspace.start()
    shown = workspace.wait_until_up(process)

    # All addresses are printed, and answer.
    for address in (f"http://127.0.0.1:{workspace.server_port}", f"http://127.0.0.1:{workspace.app_port}"):
        assert address in shown
        assert answers(address)

    # A scheduled run completes, in the right workspace.
    wait_for("a scheduled run", lambda: workspace.runs("hourly", "Completed"), 60)
    assert workspace.runs("hourly", "Completed")[0]["auto_scheduled"]
    require_right_installation(workspace)

    # A second one is refused in one line, and changes nothing.
    record_before = record_path(workspace.home).read_bytes()
    assert workspace.start().wait(30) == 2
    assert workspace.output.read_text().count("\n") == 1
    assert "candleworks down" in workspace.output.read_text()
    assert record_path(workspace.home).read_bytes() == record_before

    # Neither a stranger nor a page of another server gets in; nobody finds the secret who may not read its file.
    secret = home_secret(workspace.home)
    require_closed_door(workspace, secret)
    family = psutil.Process(process.pid).children(recursive=True)
    assert secret not in " ".join(word for each in family for word in arguments_of(each))

    # As an earlier version left it.
    as_an_earlier_version(workspace)

    # kill -9 in the middle of a run takes everything along, the flow run too.
    nightly = workspace.api("/deployments/name/nightly/nightly-sweep")["id"]
    workspace.api(f"/deployments/{nightly}/create_flow_run", {})
    wait_for("a running sweep", lambda: workspace.runs("nightly-sweep", "Running"), 60)
    family = psutil.Process(process.pid).children(recursive=True)
    # server, app, two workers, flow run
    assert len(family) >= 5
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(family, 5)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
    assert port_is_free(workspace.server_port)
    assert port_is_free(workspace.app_port)
    assert read_records(workspace.home) != []

    # The next start needs no repair: the dead run is closed and does not block its deployment. It has a new secret,
    # because the old one was deleted, and closes what was open.
    secret_path(workspace.home).unlink()
    process = workspace.start()
    workspace.wait_until_up(process)
    assert home_secret(workspace.home) != secret
    require_closed_door(workspace, home_secret(workspace.home))
    require_closed_pools(workspace)
    assert len(workspace.runs("nightly-sweep", "Crashed")) == 1
    require_restart_of_the_app(workspace)
    workspace.api(f"/deployments/{nightly}/create_flow_run", {})
    wait_for("the next sweep", lambda: workspace.runs("nightly-sweep", "Running"), 60)

    # Ctrl-C, still in the middle of a run, stops all within seconds.
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0
    assert workspace.output.read_text().splitlines()[-2:] == ["Stopping ...", "Stopped."]
    assert port_is_free(workspace.server_port)
    assert port_is_free(workspace.app_port)
    assert not record_path(workspace.home).exists()
    assert down(workspace.home) == []
    for path in filter(Path.is_file, workspace.folder.rglob("*")):
        for each_secret in (secret, home_secret(workspace.home)):
            token = each_secret.partition(":")[2].encode()
            assert path == secret_path(workspace.home) or token not in path.read_bytes(), path
    assert [each for each in psutil.wait_procs(family, 5)[1] if each.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.timeout(120)
def test_a_start_that_fails_stops_what_it_has_started(workspace: Workspace) -> None:
    (workspace.deployments / "prefect.yaml").write_text("deployments: [{name: broken, entrypoint: no.such}]")

    process = workspace.start()

    assert process.wait(100) == 2
    assert "prefect.yaml failed with exit code 1" in workspace.output.read_text()
    assert port_is_free(workspace.server_port)
    assert port_is_free(workspace.app_port)
    assert not record_path(workspace.home).exists()


def test_server_and_app_cannot_share_a_port(tmp_path: Path) -> None:
    port = free_port()

    with pytest.raises(ServiceError, match=f"cannot share port {port}: choose another with --app-port"):
        check(UpOptions(tmp_path / "home", tmp_path / "candleworks.toml", server_port=port, app_port=port))

    assert not (tmp_path / "home").exists()
