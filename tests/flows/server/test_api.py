"""Calls of Prefect's API without Prefect, and the errors of a server that does not require the secret of its home."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.application import application
from flows.processes.ports import free_port
from flows.server.api import PrefectApi, require_home_secret
from flows.server.lend import worker_line
from flows.server.up import UpOptions, check
from flows.workspace.secret import home_secret, secret_path
from ml.errors import ServiceError
from tests.fakes.local_http import QuietHandler, serving
from tests.flows.shared_services import SharedServices

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@contextmanager
def _open_server() -> Iterator[str]:
    """A server that answers everybody, as those of earlier versions did; its API's address."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'"3.8.8"')

    with serving(Handler) as address:
        yield f"{address}/api"


def _remedies(error: ServiceError) -> list[str]:
    return re.findall(r"`candleworks (\w+)`", str(error))


def test_a_server_that_an_earlier_version_started_is_named(tmp_path: Path) -> None:
    with (
        _open_server() as url,
        pytest.raises(ServiceError, match="requires no secret") as caught,
    ):
        require_home_secret(url, tmp_path)
    assert _remedies(caught.value) == ["down", "up"]


def test_a_server_that_does_not_answer_is_left_to_prefect_to_report(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    assert PrefectApi(url, "a:b").status() == 0
    require_home_secret(url, tmp_path)


@pytest.mark.e2e
def test_a_server_whose_secret_was_deleted_is_named(tmp_path: Path, shared_services: SharedServices) -> None:
    home = shared_services.attach(tmp_path / "home")
    words = shlex.split(worker_line(home, "box", "gpu", 3, NOW))
    assert words[0] == f"PREFECT_API_URL={shared_services.server_address}/api"
    assert words[1].startswith("PREFECT_API_AUTH_STRING=box:")
    assert shlex.join(words[-11:]) == "prefect worker start --type process --pool gpu --limit 3 --name box"
    assert home_secret(home) not in shlex.join(words)
    secret_path(home).unlink()

    with pytest.raises(ServiceError, match="another secret than its home") as caught:
        worker_line(home, "another", "gpu", 3, NOW)

    assert _remedies(caught.value) == ["down", "up"]
    assert home_secret(home) not in str(caught.value)


def test_nothing_is_lent_without_a_server(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="Start it with `candleworks up`"):
        worker_line(tmp_path, "", "cpu", 1, NOW)
    assert list(tmp_path.iterdir()) == []
    assert CliRunner().invoke(application, ["lend", "--pool", "coordinator"]).exit_code == 2


def test_a_secret_that_others_may_read_stops_up_before_anything_is_started(tmp_path: Path) -> None:
    home_secret(tmp_path)
    secret_path(tmp_path).chmod(0o644)
    options = UpOptions(tmp_path, tmp_path / "none.toml", server_port=free_port(), app_port=free_port())
    with pytest.raises(ServiceError, match="Other users may read"):
        check(options)
    assert list(tmp_path.iterdir()) == [secret_path(tmp_path)]
