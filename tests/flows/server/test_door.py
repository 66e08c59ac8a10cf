"""The server that `up` starts, asked over HTTP by strangers, by pages of a browser, and by its own people."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from flows.server.deploy import DEPLOYMENTS
from flows.workspace.secret import home_secret
from flows.workspace.worker_keys import lend, revoke
from tests.flows.shared_services import SharedServices

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SOCKETS = (
    "/events/in",
    "/events/out",
    "/logs/out",
    "/task_runs/subscriptions/scheduled",
    "/work_pools/cpu/workers/connect",
)
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Server:
    """The server under test, with what its own people know."""

    def __init__(self, services: SharedServices) -> None:
        self.host = urlsplit(services.server_address).netloc
        self.port = urlsplit(services.server_address).port
        self.secret = home_secret(services.own)
        self.basic = basic(self.secret)
        client = str(uuid.uuid4())
        token = self.ask("GET", f"/csrf-token?client={client}", {"Authorization": self.basic}).json["token"]
        self.good = {
            "Authorization": self.basic,
            "Prefect-Csrf-Client": client,
            "Prefect-Csrf-Token": token,
            "Content-Type": "application/json",
        }

    def ask(self, method: str, path: str, headers: Mapping[str, str | None], body: Any = None) -> Answer:
        """Send exactly these headers (with the right Host, unless they name one; None: not this one)."""
        for _ in range(20):
            answer = self._ask(method, path, {"Host": self.host, **headers}, json.dumps(body) if body else "")
            if answer.status != 503:  # a busy SQLite; Prefect's own clients try again as well
                break
            time.sleep(0.5)
        return answer

    def _ask(self, method: str, path: str, headers: Mapping[str, str | None], body: str) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        with contextlib.closing(connection):
            connection.putrequest(method, f"/api{path}", skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body.encode())
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode())

    def post(self, path: str, body: Any) -> Answer:
        return self.ask("POST", path, self.good, body)


def basic(secret: str) -> str:
    return f"Basic {base64.b64encode(secret.encode()).decode()}"


@pytest.fixture(scope="module")
def server(shared_services: SharedServices) -> Server:
    return Server(shared_services)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        # Pages of a browser, with all else right: it may add what it knows by itself.
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),  # another program of this machine
        ({"Origin": "http://127.0.0.1.evil.example:{port}"}, 403),
        ({"Origin": "http://evil.example:{port}"}, 403),
        ({"Origin": "file://"}, 403),
        ({"Origin": ""}, 403),
        # Another name that leads to this machine (DNS rebinding), from a page of that name.
        ({"Host": "evil.example"}, 400),
        ({"Host": "evil.example:{port}"}, 400),
        ({"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"}, 400),
        ({"Host": "127.0.0.1.evil.example:{port}"}, 400),
        ({"Host": "127.0.0.1:{port}@evil.example"}, 400),
        # Strangers.
        ({"Authorization": None}, 401),
        ({"Authorization": basic("candleworks:wrong")}, 401),
        ({"Authorization": basic("")}, 401),
        ({"Authorization": "Bearer {secret}"}, 401),
        ({"Authorization": "{secret}"}, 401),
        # A form of a page: the secret may come along, the token does not.
        ({"Prefect-Csrf-Token": None}, 403),
        ({"Prefect-Csrf-Client": None}, 403),
        ({"Prefect-Csrf-Token": "0" * 64}, 403),
        ({"Prefect-Csrf-Client": "stranger"}, 403),
    ],
)
def test_a_post_that_is_not_ours_is_refused_and_changes_nothing(
    server: Server, change: dict[str, str | None], status: int
) -> None:
    known = {"port": str(server.port), "secret": server.secret}
    headers = {**server.good, **{name: value and value.format_map(known) for name, value in change.items()}}
    pool = f"owned-{uuid.uuid4()}"

    answer = server.ask("POST", "/work_pools/", headers, {"name": pool, "type": "process"})

    assert answer.status == status, answer.text
    assert "access-control-allow-credentials" not in answer.headers
    assert server.secret not in answer.text
    assert server.ask("GET", f"/work_pools/{pool}", server.good).status == 404


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "http://localhost:{port}"},  # Prefect's pages name 127.0.0.1 whatever they were opened as
        {"Host": "localhost:{port}"},
        {"Host": "LOCALHOST:{port}"},
        {"Host": "[::1]:{port}", "Origin": "http://[::1]:{port}"},
        # Through a tunnel that begins at another port.
        {"Host": "127.0.0.1:9", "Origin": "http://127.0.0.1:9"},
        {"Host": "localhost", "Origin": "https://localhost"},
    ],
)
def test_a_post_of_ours_is_carried_out(server: Server, change: dict[str, str]) -> None:
    headers = {**server.good, **{name: value.format(port=server.port) for name, value in change.items()}}
    pool = f"ours-{uuid.uuid4()}"

    answer = server.ask("POST", "/work_pools/", headers, {"name": pool, "type": "process"})

    assert answer.status == 201, answer.text
    assert server.ask("GET", f"/work_pools/{pool}", server.good).json["name"] == pool


def test_the_preflight_of_another_page_is_refused_and_that_of_prefects_own_is_not(server: Server) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}

    foreign = server.ask("OPTIONS", "/flow_runs/", {**asked, "Origin": "http://evil.example"})
    own = server.ask("OPTIONS", "/flow_runs/", {**asked, "Origin": f"http://localhost:{server.port}"})

    assert foreign.status == 403
    assert "access-control-allow-origin" not in foreign.headers
    assert own.status == 200
    assert own.headers["access-control-allow-origin"] == f"http://localhost:{server.port}"


def test_without_the_secret_nothing_but_the_servers_health_can_be_read(server: Server) -> None:
    assert server.ask("GET", "/health", {}).status == 200
    assert server.ask("GET", "/health", {"Host": "evil.example"}).status == 400
    assert server.ask("GET", "/health", {"Host": None}).status == 400
    for path in ("/admin/settings", "/flows/count", "/csrf-token?client=x", "/docs", "/variables/name/health"):
        assert server.ask("GET", path, {}).status == 401, path


def _token_that_is_accepted(server: Server, path: str, token: str | None, **options: Any) -> bool:
    """Open a web socket as Prefect's clients do, and say who we are."""
    first: dict[str, Any] = {"type": "auth"} if token is None else {"type": "auth", "token": token}
    with connect(f"ws://{server.host}/api{path}", subprotocols=[Subprotocol("prefect")], **options) as socket:
        try:
            socket.send(json.dumps(first))
            return bool(json.loads(socket.recv(timeout=20))["type"] == "auth_success")
        except ConnectionClosed as closed:
            assert closed.rcvd
            assert closed.rcvd.code == 1008  # a violation of policy
            return False


@pytest.mark.parametrize("path", SOCKETS)
def test_a_web_socket_opens_with_the_secret_and_from_no_other_page(server: Server, path: str) -> None:
    assert _token_that_is_accepted(server, path, server.secret)
    assert _token_that_is_accepted(server, path, server.secret, origin=Origin(f"http://{server.host}"))
    assert not _token_that_is_accepted(server, path, None)
    assert not _token_that_is_accepted(server, path, "candleworks:wrong")
    with pytest.raises(InvalidStatus, match="403"):
        _token_that_is_accepted(server, path, server.secret, origin=Origin("http://evil.example"))
    assert server.ask("GET", path, {**UPGRADE, "Host": f"evil.example:{server.port}"}).status == 400
    # Without the protocol in which the secret is asked for.
    with pytest.raises(InvalidStatus, match="403"), connect(f"ws://{server.host}/api{path}"):
        pass


@pytest.fixture(scope="module")
def deployment(server: Server) -> str:
    """Id of a deployment on a pool with the coordinator's template."""
    template = json.loads((DEPLOYMENTS / "work-pools" / "coordinator.json").read_text())
    pool = {"name": "door", "type": "process", "base_job_template": template}
    assert server.post("/work_pools/", pool).status == 201
    return _deployment(server, "door", "door")["id"]


def _deployment(server: Server, pool: str, name: str, variables: dict[str, Any] | None = None) -> Any:
    flow = server.post("/flows/", {"name": name}).json["id"]
    body = {"name": name, "flow_id": flow, "work_pool_name": pool, "job_variables": variables or {}}
    return server.post("/deployments/", body).json


@pytest.mark.parametrize(
    "variables",
    [
        {"command": "touch /tmp/owned"},
        {"env": {"LD_PRELOAD": "x.so"}},
        {"env.PYTHONPATH": "x"},
        {"working_dir": "/tmp"},
    ],
)
def test_a_run_cannot_say_what_its_worker_executes(server: Server, deployment: str, variables: dict[str, Any]) -> None:
    create = f"/deployments/{deployment}/create_flow_run"
    planned = {"state": {"type": "SCHEDULED"}}

    run = server.post(create, planned)
    assert run.status == 201, run.text
    assert server.post(create, {**planned, "job_variables": {"stream_output": False}}).status == 201

    assert server.post(create, {**planned, "job_variables": variables}).status == 422
    changed = server.ask("PATCH", f"/flow_runs/{run.json['id']}", server.good, {"job_variables": variables})
    assert changed.status == 422
    flow = server.ask("GET", f"/deployments/{deployment}", server.good).json["flow_id"]
    other = {"name": "other", "flow_id": flow, "work_pool_name": "door", "job_variables": variables}
    assert server.post("/deployments/", other).status == 422


def test_the_keys_of_a_lent_machine_open_its_own_way_and_no_other(
    server: Server, shared_services: SharedServices
) -> None:
    lent = lend(shared_services.own, "box", "cpu", datetime(2026, 1, 1, tzinfo=UTC))
    keys = f"box:{lent.password}"
    theirs = {**server.good, "Authorization": basic(keys)}
    pool = f"owned-{uuid.uuid4()}"

    assert server.ask("GET", "/csrf-token?client=box", theirs).status == 200
    for method, path, body in (
        ("POST", "/work_pools/", {"name": pool, "type": "process"}),
        ("POST", "/flows/", {"name": "x"}),
        ("POST", "/flow_runs/filter", {}),
        ("GET", "/admin/settings", None),
        ("GET", "/work_pools/coordinator", None),
    ):
        refused = server.ask(method, path, theirs, body)
        assert (refused.status, server.secret in refused.text) == (403, False), path
    assert server.ask("GET", f"/work_pools/{pool}", server.good).status == 404
    assert {path for path in SOCKETS if _token_that_is_accepted(server, path, keys)} == {"/events/in", "/events/out"}
    revoke(shared_services.own, "box", datetime(2026, 1, 2, tzinfo=UTC))
    assert server.ask("GET", "/csrf-token?client=box", theirs).status == 401
    assert not any(_token_that_is_accepted(server, path, keys) for path in SOCKETS)
