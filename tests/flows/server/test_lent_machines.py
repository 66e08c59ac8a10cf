"""What a lent machine may do at the gateway of the Prefect server, and what an attacker with its keys may not."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from flows.cli.application import application
from flows.server.gateway import Gateway
from flows.workspace.worker_keys import lend, lent_machines, machines_path, revoke
from ml.errors import ConfigurationError, ServiceError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "candleworks:the-secret-of-the-home"
RUN, OTHER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
FLOW, DEPLOYMENT = "33333333-3333-3333-3333-333333333333", "44444444-4444-4444-4444-444444444444"
PENDING = {"state": {"type": "PENDING"}, "force": False}
DONE = {"state": {"type": "COMPLETED"}}


class Prefect:
    """A server that does everything for who has the secret, and notes it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.heard: list[Any] = []
        self.accepts = True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self.socket(receive, send)
            return
        headers = dict(scope["headers"])
        good = base64.b64encode(SECRET.encode()) in headers.get(b"authorization", b"")
        body = (await receive())["body"]
        answer: Any = {}
        if good:
            self.calls.append((scope["method"], scope["path"], json.loads(body or b"null")))
            if scope["path"].endswith("get_scheduled_flow_runs"):
                answer = [{"flow_run": {"id": RUN, "flow_id": FLOW, "deployment_id": DEPLOYMENT}}]
            elif scope["path"].endswith("set_state"):
                answer = {"status": "ACCEPT" if self.accepts else "ABORT", "state": {"type": "PENDING"}}
        await send({"type": "http.response.start", "status": 200 if good else 401, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    async def socket(self, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            self.heard.append(json.loads(message["text"]))
        for run in (RUN, OTHER):
            event = {"type": "event", "event": {"resource": {"prefect.resource.id": f"prefect.flow-run.{run}"}}}
            await send({"type": "websocket.send", "text": json.dumps(event)})


class Place:
    """A home with two lent machines of the pool cpu, its gateway, and the server behind it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.prefect = Prefect()
        self.passwords = {name: lend(home, name, "cpu", NOW).password for name in ("anna", "ben")}
        self.passwords["gina"] = lend(home, "gina", "gpu", NOW).password
        self.gateway = Gateway(self.prefect, home, SECRET)

    def ask(self, name: str, method: str, path: str, body: Any = None, password: str = "") -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.gateway)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                login = (name, password or self.passwords[name])
                content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
                return await client.request(method, f"/api{path}", auth=login, content=content)

        return asyncio.run(send())

    def status(self, name: str, method: str, path: str, body: Any = None, password: str = "") -> int:
        return self.ask(name, method, path, body, password).status_code

    def take(self, name: str) -> None:
        assert self.status(name, "POST", "/work_pools/cpu/get_scheduled_flow_runs", {}) == 200
        assert self.status(name, "POST", f"/flow_runs/{RUN}/set_state", PENDING) == 200

    def talk(self, path: str, messages: list[Any]) -> list[Any]:
        """Send messages over a web socket; returns those that come back."""
        left = [{"type": "websocket.receive", "text": json.dumps(one)} for one in messages]
        back: list[Any] = []

        async def receive() -> Any:
            return left.pop(0) if left else {"type": "websocket.disconnect", "code": 1000}

        async def send(message: Any) -> None:
            back.append(json.loads(message["text"]))

        asyncio.run(self.gateway({"type": "websocket", "path": path, "headers": []}, receive, send))
        return back


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_lent_worker_takes_a_run_of_its_pool_and_reports_it(place: Place) -> None:
    place.take("anna")
    for method, path, body in (
        ("GET", "/work_pools/cpu", None),
        ("GET", f"/flow_runs/{RUN}", None),
        ("GET", f"/deployments/{DEPLOYMENT}", None),
        ("GET", f"/flows/{FLOW}", None),
        ("PATCH", f"/flow_runs/{RUN}", {"infrastructure_pid": "7"}),
        ("PATCH", f"/flow_runs/{RUN}/labels", {"a": "b"}),
        ("POST", f"/flow_runs/{RUN}/set_state", DONE),
        ("POST", "/work_pools/cpu/workers/heartbeat", {"name": "anna"}),
        ("GET", "/csrf-token", None),
    ):
        assert place.status("anna", method, path, body) == 200, path
    # After a restart of the server it goes on with its run.
    place.gateway = Gateway(place.prefect, place.home, SECRET)
    assert place.status("anna", "POST", f"/flow_runs/{RUN}/set_state", DONE) == 200


def test_nothing_else_is_let_through(place: Place) -> None:
    place.take("anna")
    before = list(place.prefect.calls)
    for method, path, body in (
        ("POST", "/deployments/", {}),
        ("POST", f"/deployments/{DEPLOYMENT}/create_flow_run", {}),
        ("DELETE", f"/flow_runs/{RUN}", None),
        ("DELETE", "/work_pools/cpu", None),
        ("PATCH", "/work_pools/cpu", {"base_job_template": {}}),
        ("POST", "/flow_runs/", {}),
        ("POST", "/flow_runs/filter", {}),
        ("GET", f"/flow_runs/{OTHER}", None),
        ("POST", f"/flow_runs/{OTHER}/set_state", PENDING),
        ("PATCH", f"/flow_runs/{RUN}", {"job_variables": {"command": "sh"}}),
        ("PATCH", f"/flow_runs/{RUN}", {"infrastructure_pid": "7", "parameters": {}}),
        ("GET", f"/deployments/{OTHER}", None),
        ("GET", "/block_documents/filter", None),
        ("POST", "/variables/", {}),
        ("POST", "/automations/", {}),
        ("GET", "/admin/settings", None),
        ("DELETE", "/admin/database/clear", None),
        ("POST", "/work_pools/coordinator/get_scheduled_flow_runs", {}),
        ("POST", "/work_pools/gpu/get_scheduled_flow_runs", {}),
        ("POST", "/work_pools/cpu/workers/heartbeat", {"name": "ben"}),
        ("POST", "/work_pools/cpu/workers/heartbeat", b'{"name": "anna", "name": "ben"}'),
        ("POST", "/events", []),
        ("GET", "/work_pools/cpu/../coordinator", None),
        ("POST", "/logs/", b"x" * 2_000_001),
    ):
        assert place.status("anna", method, path, body) == 403, path
    assert place.prefect.calls == before


def test_a_run_that_another_worker_has_taken_is_out_of_reach(place: Place) -> None:
    place.take("anna")
    assert place.status("ben", "POST", "/work_pools/cpu/get_scheduled_flow_runs", {}) == 200
    for method, path, body in (
        ("POST", f"/flow_runs/{RUN}/set_state", DONE),
        ("POST", f"/flow_runs/{RUN}/set_state", PENDING),
        ("GET", f"/flow_runs/{RUN}", None),
        ("PATCH", f"/flow_runs/{RUN}/labels", {}),
    ):
        assert "that of another worker" in place.ask("ben", method, path, body).text
    assert place.status("gina", "POST", f"/flow_runs/{RUN}/set_state", PENDING) == 403  # of another pool


def test_a_run_is_not_taken_by_force_nor_where_the_server_says_no(place: Place) -> None:
    assert place.status("ben", "POST", "/work_pools/cpu/get_scheduled_flow_runs", {}) == 200
    take = f"/flow_runs/{RUN}/set_state"
    for body in ({**PENDING, "force": True}, DONE, {"state": "PENDING"}, [], b"{"):
        assert place.status("ben", "POST", take, body) == 403
    assert place.status("ben", "PATCH", f"/flow_runs/{RUN}/labels", {}) == 403
    place.prefect.accepts = False  # a worker of the home was first
    assert place.status("ben", "POST", take, PENDING) == 200
    assert place.status("ben", "POST", take, DONE) == 403


def test_lines_for_the_log_of_another_run_are_left_out(place: Place) -> None:
    place.take("anna")
    lines = [{"flow_run_id": run, "message": "x", "task_run_id": OTHER} for run in (RUN, OTHER, None)]
    assert place.status("anna", "POST", "/logs/", lines) == 200
    assert place.prefect.calls[-1][2] == [{"flow_run_id": RUN, "message": "x", "task_run_id": None}]


def test_events_of_other_runs_are_neither_sent_nor_heard(place: Place) -> None:
    """A forged "Running" of another run would make the automation of heartbeats end it after 90 s."""
    place.take("anna")
    login = {"type": "auth", "token": f"anna:{place.passwords['anna']}"}

    def event(name: str, resource: str) -> dict[str, Any]:
        return {"event": name, "resource": {"prefect.resource.id": resource}}

    own = [
        event("prefect.flow-run.heartbeat", f"prefect.flow-run.{RUN}"),
        event("prefect.worker.started", "prefect.worker.process.anna"),
    ]
    forged = [
        event("prefect.flow-run.heartbeat", f"prefect.flow-run.{OTHER}"),
        event("prefect.flow-run.Running", f"prefect.flow-run.{RUN}"),
        event("prefect.worker.started", "prefect.worker.process.ben"),
    ]
    heard = place.talk("/api/events/in", [login, *forged, *own])
    assert place.prefect.heard == [{"type": "auth", "token": SECRET}, *own]
    assert [one["event"]["resource"]["prefect.resource.id"] for one in heard] == [f"prefect.flow-run.{RUN}"]
    place.prefect.heard.clear()
    place.talk("/api/events/in", [{"type": "auth", "token": "anna:wrong"}])
    assert place.prefect.heard == [{"type": "auth", "token": "anna:wrong"}]  # which Prefect refuses


def test_a_revoked_or_unknown_machine_is_not_let_in_and_the_others_stay(place: Place) -> None:
    place.take("anna")
    assert place.status("anna", "GET", "/work_pools/cpu", password="wrong") == 401
    assert place.status("nobody", "GET", "/work_pools/cpu", password="wrong") == 401
    assert place.status("anna", "GET", "/work_pools/cpu", password=place.passwords["ben"]) == 401
    done = CliRunner().invoke(application, ["lend", "anna", "--revoke", "--home", str(place.home)])
    assert (done.exit_code, "no longer let in" in done.output) == (0, True)
    assert place.status("anna", "POST", f"/flow_runs/{RUN}/set_state", DONE) == 401
    place.talk("/api/events/in", [{"type": "auth", "token": f"anna:{place.passwords['anna']}"}])
    assert SECRET not in json.dumps(place.prefect.heard)
    assert place.status("ben", "GET", "/work_pools/cpu") == 200
    shown = CliRunner().invoke(application, ["lend", "--list", "--home", str(place.home)]).output
    assert all(name in shown for name in place.passwords)
    assert not any(password in shown for password in place.passwords.values())
    machines_path(place.home).write_text("{")
    assert place.status("ben", "GET", "/work_pools/cpu") == 401


def test_the_home_keeps_no_key_of_a_machine_and_lets_nobody_read_the_rest(place: Place) -> None:
    path = machines_path(place.home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not any(password in path.read_text() for password in place.passwords.values())
    path.chmod(0o644)
    with pytest.raises(ServiceError, match="Other users may read"):
        lent_machines(place.home)


def test_names_are_given_once_and_chosen_where_none_is_given(tmp_path: Path) -> None:
    assert [lend(tmp_path, "", "cpu", NOW).machine.name for _ in range(2)] == ["cpu-1", "cpu-2"]
    revoke(tmp_path, "cpu-1", NOW)
    assert lend(tmp_path, "", "cpu", NOW).machine.name == "cpu-3"
    for name, problem in (("cpu-1", "was lent before"), ("candleworks", "is no name"), ("[/x]", "is no name")):
        with pytest.raises(ConfigurationError, match=problem):
            lend(tmp_path, name, "cpu", NOW)
    with pytest.raises(ConfigurationError, match="Lent are: cpu-2, cpu-3"):
        revoke(tmp_path, "cpu-1", NOW)
