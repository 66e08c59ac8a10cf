"""The gateway for lent machines: an allow-list in front of the Prefect API.

A lent worker presents the name and the password of its machine. It may do what a process worker of its pool and the
runs that it executes do (recorded with Prefect 3.8.8), and nothing else: see its pool, fetch the due runs of it, take
one, report the states of the runs that it has taken, and their logs and heartbeats. So it can neither make a run, a
deployment, a block or a variable, nor touch a run of another pool or of another worker. All else is answered with 403,
and requests that are passed on carry the secret of the home, which the worker never sees.

A run is taken by the worker whose step to "Pending" the server accepts. That is kept in a file of the home, so that it
outlives a restart of the server.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from flows.workspace.secret import USER
from flows.workspace.worker_keys import LentMachine, lent_machines
from ml.errors import ServiceError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: A body or an event of Prefect's API.
Json = dict[str, Any]
#: The environment variable with the home whose machines are let in.
HOME_VARIABLE = "CANDLEWORKS_GATEWAY_HOME"
#: Largest body of a request; runs and logs are far smaller.
MOST_BYTES = 2_000_000
_ID = r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
_FREE = {("GET", "/api/csrf-token"), ("GET", "/api/admin/version"), ("GET", "/api/admin/storage")}
_RUN = re.compile(rf"/api/flow_runs/{_ID}(/set_state|/labels|)")
_PARTS = re.compile(rf"/api/(?:deployments|flows|work_queues)/{_ID}")
#: What a worker or a run may change of a run.
_CHANGES = frozenset(("infrastructure_pid", "flow_version", "empirical_policy"))
_SOCKETS = ("/api/events/in", "/api/events/out")
_FLOW_RUN, _WORKER = "prefect.flow-run.", "prefect.worker.process."
_LENT_EVENTS = ("prefect.flow-run.heartbeat", *(f"prefect.worker.{word}" for word in (
    "started", "stopped", "submitted-flow-run", "executed-flow-run", "cancelled-flow-run",
)))  # fmt: skip


class Refused(Exception):
    """A request that is not in the list."""


@dataclass
class TakenRuns:
    """Flow run -> the machine that has taken it, in a file of the home."""

    path: Path

    def owner(self, run: str) -> str | None:
        """The machine that has taken a run."""
        with closing(self._connect()) as connection:
            row = connection.execute("select machine from taken where run = ?", [run]).fetchone()
        return str(row[0]) if row else None

    def take(self, run: str, machine: str) -> None:
        """Record the owner of a run, once."""
        with closing(self._connect()) as connection, connection:
            connection.execute("insert or ignore into taken values (?, ?)", [run, machine])

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path)
        connection.execute("create table if not exists taken (run text primary key, machine text not null)")
        return connection


@dataclass
class _Seen:
    """What the server has offered to a machine: its due runs, and the ids that belong to them."""

    runs: set[str] = field(default_factory=set)
    parts: set[str] = field(default_factory=set)

    def add(self, answer: object) -> None:
        """Note an answer with due runs."""
        for entry in answer if isinstance(answer, list) else []:
            run = entry.get("flow_run", {})
            self.runs.add(str(run.get("id")))
            self.parts.update(str(run.get(name)) for name in ("deployment_id", "flow_id", "work_queue_id"))
            self.parts.add(str(entry.get("work_queue_id")))

    def add_run(self, answer: object) -> None:
        """Note an answer with one run: after a restart of the server, a worker continues the runs that it has."""
        if isinstance(answer, dict):
            self.parts.update(str(answer.get(name)) for name in ("deployment_id", "flow_id", "work_queue_id"))


class Gateway:
    """Lets lent machines make the requests of the list; others pass unchanged, and Prefect checks them.

    Args:
        application: Prefect's.
        home: of the machines.
        secret: of the home.
    """

    def __init__(self, application: ASGIApp, home: Path, secret: str) -> None:
        self.application = application
        self.home = home
        self.secret = secret
        self.taken = TakenRuns(home / "lent-runs.sqlite")
        self.seen: dict[str, _Seen] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, restricted if it is one of a lent machine."""
        if scope["type"] == "websocket" and scope["path"] in _SOCKETS:
            await _Socket(self, scope["path"], receive, send).run(scope)
            return
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        name, _, password = credentials(Headers(scope=scope).get("authorization", "")).partition(":")
        if name in ("", USER):
            await self.application(scope, receive, send)
            return
        machine = self.machine(name, password)
        if machine is None:
            await _refuse(scope, receive, send, 401, f"{name!r} is not lent, or was revoked, or this is another key.")
            return
        await self._restricted(machine, scope, receive, send)

    def machine(self, name: str, password: str) -> LentMachine | None:
        """The lent machine of a name and password; None if it has none, or was revoked."""
        try:
            machines = lent_machines(self.home)
        except ServiceError:  # a broken list lets no machine in
            return None
        return next((one for one in machines if one.name == name and one.has_password(password)), None)

    async def _restricted(self, machine: LentMachine, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _body(receive)
            passed = self.permitted(machine, scope["method"], scope["path"], body)
        except Refused as error:
            await _refuse(scope, receive, send, 403, f"A lent machine may not do this: {error}.")
            return
        headers = MutableHeaders(raw=list(scope["headers"]))
        headers["authorization"] = f"Basic {base64.b64encode(self.secret.encode()).decode()}"
        headers["accept-encoding"] = "identity"  # the answer is read here
        headers["content-length"] = str(len(passed))
        answer = _Answer()
        await self.application({**scope, "headers": headers.raw}, _sends(passed, receive), answer.keep)
        self._note(machine, scope["method"], scope["path"], answer)  # before the worker's next request
        for message in answer.messages:
            await send(message)

    def permitted(self, machine: LentMachine, method: str, path: str, body: bytes) -> bytes:
        """The body of a request to pass on.

        Raises:
            Refused: it is not in the list.
        """
        pool = f"/api/work_pools/{machine.pool}"
        if (method, path) in {*_FREE, ("GET", pool)}:
            return body
        if method == "POST" and path in (f"{pool}/queues/filter", f"{pool}/get_scheduled_flow_runs"):
            return body
        if (method, path) == ("POST", f"{pool}/workers/heartbeat"):
            content = _json(body)
            if content.get("name") != machine.name:
                raise Refused("a heartbeat of another worker")
            return json.dumps(content).encode()
        if (method, path) == ("POST", "/api/logs/"):
            return self._own_logs(machine, body)
        if method == "GET" and (part := _PARTS.fullmatch(path)):
            if part[1] not in self._seen(machine).parts:
                raise Refused(f"{path} does not belong to a run of its pool")
            return body
        if run := _RUN.fullmatch(path):
            return self._of_run(machine, method, run[1], run[2], body)
        raise Refused(f"{method} {path} is not in the list")

    def _of_run(self, machine: LentMachine, method: str, run: str, action: str, body: bytes) -> bytes:
        owner = self.taken.owner(run)
        if owner is not None and owner != machine.name:
            raise Refused("the run is that of another worker")
        offered = run in self._seen(machine).runs
        if owner is None and not offered:
            raise Refused("the run is none of its pool that is due")
        if (method, action) == ("GET", ""):
            return body
        content = _json(body)
        if (method, action) == ("POST", "/set_state"):
            state = content.get("state")
            kind = state.get("type") if isinstance(state, dict) else None
            if owner is None and (kind != "PENDING" or content.get("force")):
                raise Refused("it has not taken the run")
            return json.dumps(content).encode()  # as it was read here, without names that occur twice
        if owner is None:
            raise Refused("it has not taken the run")
        if (method, action) == ("PATCH", "/labels") or (
            (method, action) == ("PATCH", "") and content.keys() <= _CHANGES
        ):
            return json.dumps(content).encode()
        raise Refused(f"{method} of a run with {', '.join(sorted(content)) or 'nothing'}")

    def _own_logs(self, machine: LentMachine, body: bytes) -> bytes:
        lines = _json_list(body)
        own = [line for line in lines if self.owns(machine, str(line.get("flow_run_id")))]
        return json.dumps([{**line, "task_run_id": None} for line in own]).encode()

    def owns(self, machine: LentMachine, run: str) -> bool:
        """Whether a machine has taken a run."""
        return self.taken.owner(run) == machine.name

    def _seen(self, machine: LentMachine) -> _Seen:
        return self.seen.setdefault(machine.name, _Seen())

    def _note(self, machine: LentMachine, method: str, path: str, answer: _Answer) -> None:
        """Learn from an answer what the machine may ask for next."""
        if not 200 <= answer.status < 300:
            return
        if path.endswith("/get_scheduled_flow_runs"):
            self._seen(machine).add(answer.json())
        elif run := _RUN.fullmatch(path):
            if method == "GET":
                self._seen(machine).add_run(answer.json())
            elif run[2] == "/set_state" and self.taken.owner(run[1]) is None:
                found = answer.json()
                state = found.get("state") if isinstance(found, dict) else None
                if isinstance(found, dict) and found.get("status") == "ACCEPT" and isinstance(state, dict):
                    self.taken.take(run[1], machine.name)


@dataclass
class _Answer:
    """An answer of the server, kept until it has been read here."""

    messages: list[Message] = field(default_factory=list)
    status: int = 0
    content: bytes = b""

    async def keep(self, message: Message) -> None:
        """Keep a part of the answer."""
        self.messages.append(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.content += message.get("body", b"")

    def json(self) -> object:
        """The answer; None if it is no JSON."""
        try:
            return json.loads(self.content)
        except ValueError:
            return None


@dataclass
class _Socket:
    """The web socket of events: a worker sends those of its runs, and hears of those only."""

    gateway: Gateway
    path: str
    receive: Receive
    send: Send
    machine: tuple[str, str] | None = None

    async def run(self, scope: Scope) -> None:
        """Serve the socket; Prefect's first message from the client says who it is."""
        await self.gateway.application(scope, self._received, self._sent)

    def _lent(self) -> LentMachine | None:
        """The machine, if it still is lent."""
        return self.gateway.machine(*self.machine) if self.machine else None

    async def _received(self) -> Message:
        while True:
            message = await self.receive()
            if message["type"] != "websocket.receive":
                return message
            text = message.get("text") or ""  # Prefect's clients send text only
            content = _json_or_none(text)
            if self.machine is None and isinstance(content, dict) and content.get("type") == "auth":
                return {**message, "text": json.dumps({**content, "token": self._token(content.get("token"))})}
            if self.machine is None:
                return message
            machine = self._lent()
            if machine is None:
                return {"type": "websocket.disconnect", "code": 1008}
            if self.path.endswith("/out") or self._is_own(machine, content):
                return {"type": message["type"], "text": json.dumps(content)}

    def _token(self, token: object) -> object:
        """The secret of the home for a lent machine; any other token as it is."""
        name, _, password = str(token).partition(":")
        if name in ("", USER) or self.gateway.machine(name, password) is None:
            return token
        self.machine = (name, password)
        return self.gateway.secret

    async def _sent(self, message: Message) -> None:
        if self.machine is not None and message["type"] == "websocket.send":
            machine, content = self._lent(), _json_or_none(message.get("text") or "")
            event = content.get("event") if isinstance(content, dict) else None
            if isinstance(event, dict) and (machine is None or not self._is_of_own_run(machine, event)):
                return
        await self.send(message)

    def _is_of_own_run(self, machine: LentMachine, event: Json) -> bool:
        resource = event.get("resource")
        name = str(resource.get("prefect.resource.id")) if isinstance(resource, dict) else ""
        return name.startswith(_FLOW_RUN) and self.gateway.owns(machine, name.removeprefix(_FLOW_RUN))

    def _is_own(self, machine: LentMachine, event: object) -> bool:
        """Whether a worker may send an event: of itself, or the heartbeat of a run that it has taken."""
        if not isinstance(event, dict) or event.get("event") not in _LENT_EVENTS:
            return False
        resource = event.get("resource")
        name = str(resource.get("prefect.resource.id")) if isinstance(resource, dict) else ""
        return name == f"{_WORKER}{machine.name}" or self._is_of_own_run(machine, event)


def credentials(header: str) -> str:
    """The text ``user:password`` of HTTP basic authentication; "" of any other header."""
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def with_gateway(application: ASGIApp) -> ASGIApp:
    """The application behind a gateway, if the environment names a home."""
    home, secret = os.environ.get(HOME_VARIABLE), os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    return Gateway(application, Path(home), secret) if home and secret else application


async def _body(receive: Receive) -> bytes:
    content: bytes = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if len(content) > MOST_BYTES:
            raise Refused(f"a body of more than {MOST_BYTES:,} bytes")
        if message["type"] != "http.request" or not message.get("more_body", False):
            return content


def _sends(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    parts: Iterable[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def send() -> Message:
        for message in parts:
            return message
        return await receive()

    return send


def _json(body: bytes) -> Json:
    content = _json_or_none(body)
    if not isinstance(content, dict):
        raise Refused("a body that is no JSON object")
    return content


def _json_list(body: bytes) -> list[Json]:
    content = _json_or_none(body)
    if not isinstance(content, list) or not all(isinstance(line, dict) for line in content):
        raise Refused("a body that is no list of JSON objects")
    return content


def _json_or_none(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, reason: str) -> None:
    await PlainTextResponse(reason, status_code=status)(scope, receive, send)
