"""A local Prefect server comes up for a block, flows find it, and nothing of it stays."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flows.processes.children import child_environment
from flows.processes.ports import answers, free_port
from flows.server.api import PrefectApi
from flows.server.prefect_server import (
    local_prefect_server,
    prefect_environment,
    prefect_settings,
    start_prefect_server,
)
from flows.workspace.secret import home_secret
from ml.errors import ServiceError

pytestmark = pytest.mark.e2e

FLOW = """
from prefect import flow, get_client, task

@task
def double(number):
    return 2 * number

@flow
def six():
    return sum(future.result() for future in double.map([1, 2]))

print(six())
with get_client(sync_client=True) as client:
    print([run.state_name for run in client.read_flow_runs()], client.api_url)
"""


def test_a_flow_in_the_block_runs_on_the_server_and_the_server_ends_with_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Variables of a shell for another server give no access to ours.
    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"):
        monkeypatch.setenv(name, "shell:of-another-server")
    monkeypatch.setenv("PREFECT_SERVER_CSRF_PROTECTION_ENABLED", "false")
    monkeypatch.setenv("PREFECT_CLIENT_CSRF_SUPPORT_ENABLED", "false")
    monkeypatch.setenv("CANDLEWORKS_SERVER_NAMES", "*")
    with local_prefect_server(tmp_path) as url:
        assert os.environ["PREFECT_API_URL"] == url
        api = PrefectApi(url, home_secret(tmp_path))
        assert (api.status(), PrefectApi(url, "shell:of-another-server").status()) == (200, 401)
        assert api.post("/flows/count", {}) == 0  # with a token
        # In a process of its own: Prefect reads its settings when it is imported.
        result = subprocess.run([sys.executable, "-c", FLOW], capture_output=True, text=True, check=True, timeout=60)
        assert answers(f"{url}/health")

    # double(1) + double(2) = 2 + 4
    assert result.stdout.splitlines() == ["6", f"['Completed'] {url}/"]
    assert not answers(f"{url}/health")
    assert (tmp_path / "prefect" / "prefect.db").exists()


def test_a_server_that_cannot_start_is_reported_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "nonsense")

    with (
        pytest.raises(ServiceError, match=r"(?s)The Prefect server ended .*prefect-server\.log ends with:\n.+"),
        local_prefect_server(tmp_path),
    ):
        pass


def test_a_port_in_use_is_found_before_anything_is_written(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServiceError, match="--server-port"):
            start_prefect_server(tmp_path, taken.getsockname()[1])

    assert list(tmp_path.iterdir()) == []


def test_settings_of_the_shell_are_put_aside_for_the_block_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_PROFILE", "work")
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "shell:of-another-server")
    monkeypatch.setenv("NO_PROXY", "intranet")
    url = f"http://127.0.0.1:{free_port()}/api"

    with prefect_settings(prefect_environment(tmp_path, url)):
        assert "PREFECT_PROFILE" not in os.environ
        assert os.environ["PREFECT_API_URL"] == url
        assert os.environ["NO_PROXY"] == "127.0.0.1,localhost,intranet"
        with prefect_settings({"PREFECT_LOGGING_LEVEL": "CRITICAL"}):  # the secret stays
            assert os.environ["PREFECT_API_AUTH_STRING"] == home_secret(tmp_path)

    assert os.environ["PREFECT_API_AUTH_STRING"] == "shell:of-another-server"
    assert os.environ["PREFECT_PROFILE"] == "work"
    assert os.environ["PREFECT_API_URL"] == "http://elsewhere/api"


def test_a_prefect_that_is_loaded_already_gets_the_settings_of_the_block(tmp_path: Path) -> None:
    code = f"""
import prefect
from pathlib import Path
from flows.server.prefect_server import prefect_environment, prefect_settings
with prefect_settings(prefect_environment(Path({str(tmp_path)!r}), "http://127.0.0.1:9/api")):
    print(prefect.settings.PREFECT_API_URL.value(), prefect.settings.get_current_settings().home)
print(prefect.settings.PREFECT_API_URL.value())
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=child_environment({"PREFECT_API_URL": "http://elsewhere/api"}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert result.stdout.splitlines() == [f"http://127.0.0.1:9/api {tmp_path / 'prefect'}", "http://elsewhere/api"]
