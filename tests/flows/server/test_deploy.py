"""Work pools on the server: our templates, and what people have set by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.exceptions import ObjectNotFound

from flows.server.deploy import DEPLOYMENTS, create_pools

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Server:
    """A Prefect server with some pools."""

    def __init__(self, **pools: Any) -> None:
        self.pools = pools
        self.written: dict[str, Any] = {}
        self.updated: dict[str, Any] = {}

    def read_work_pool(self, name: str) -> Any:
        if name not in self.pools:
            raise ObjectNotFound(http_exc=KeyError(name))
        return self.pools[name]

    def create_work_pool(self, pool: Any, overwrite: bool) -> None:
        assert overwrite
        self.written[pool.name] = pool

    def update_work_pool(self, name: str, update: Any) -> None:
        self.updated[name] = update.base_job_template


def create(server: Any, folder: Path = DEPLOYMENTS / "work-pools") -> dict[str, Any]:
    create_pools(server, folder)
    written: dict[str, Any] = server.written
    return written


def test_a_new_server_gets_every_pool_with_its_template() -> None:
    written = create(Server())
    assert set(written) == {"coordinator", "cpu", "gpu"}
    assert {pool.type for pool in written.values()} == {"process"}
    assert written["cpu"].base_job_template == json.loads((DEPLOYMENTS / "work-pools" / "cpu.json").read_text())
    assert written["cpu"].concurrency_limit is None


def test_a_limit_and_a_pause_that_were_set_by_hand_stay() -> None:
    by_hand = SimpleNamespace(type="process", concurrency_limit=8, is_paused=True)
    pool = create(Server(cpu=by_hand))["cpu"]
    assert (pool.concurrency_limit, pool.is_paused) == (8, True)


def test_a_pool_of_containers_keeps_its_template_but_not_what_lets_a_run_say_what_is_executed() -> None:
    template = {
        "job_configuration": {"command": "{{ command }}", "image": "{{ image }}", "memory": "{{ memory }}"},
        "variables": {"properties": {"command": {}, "image": {"default": "mine:1"}, "memory": {"default": "4Gi"}}},
    }
    by_hand = SimpleNamespace(type="kubernetes", concurrency_limit=None, is_paused=False, base_job_template=template)
    server = Server(gpu=by_hand)

    assert set(create(server)) == {"coordinator", "cpu"}
    assert server.updated["gpu"] == {
        "job_configuration": {"image": "mine:1", "memory": "{{ memory }}"},
        "variables": {
            "type": "object",
            "properties": {"memory": {"default": "4Gi"}},
            "additionalProperties": False,
        },
    }
