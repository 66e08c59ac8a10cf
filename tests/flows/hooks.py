"""A webhook on this machine that remembers its requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.local_http import QuietHandler, serving

SECRET = "/hooks/very-secret"


@dataclass
class Hook:
    """A webhook: the requests it took, and the status that it answers."""

    url: str = ""
    status: int = 204
    taken: list[dict[str, Any]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    #: Decides the status of a request by its content; None: `status`. An answer of 0 closes the connection.
    answer: Callable[[dict[str, Any]], int] | None = None


@contextmanager
def running_hook() -> Iterator[Hook]:
    """A webhook that runs for the block."""
    hook = Hook()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.methods.append(f"{self.command} {self.path} {self.headers['Content-Type']}")
            hook.keys.append(self.headers["Idempotency-Key"])
            hook.taken.append(content)
            status = hook.answer(content) if hook.answer else hook.status
            if status:
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

        do_GET = do_POST

    with serving(Handler) as address:
        hook.url = f"{address}{SECRET}"
        yield hook
