"""The Prefect tasks of the flows: what is retried, and what a flow run shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect import task
from prefect.client.orchestration import get_client
from rich.console import Console

from flows import pipeline
from flows.ingestion import markets
from flows.promotion import steps
from flows.reporting import Reporter
from flows.server.flow_runs import run_flow
from flows.settings import load_settings
from flows.sweep.run import evaluate_chunk
from flows.tasks import RETRIED, show_table
from flows.workspace.workspace import Workspace
from ml.errors import StoreError, StoreIOError
from tests.flows.shared_services import SharedServices

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

IDEMPOTENT = {
    "load store": steps.load_results,
    "score": pipeline.score,
    "forecast": pipeline.forecast,
    "publish": pipeline.publish_marts,
    "export": pipeline.export,
}
OTHERS = {
    "ingest-market": markets.load_market,
    "withdraw-outages": markets.withdraw,
    "transform candles": pipeline.transform_candles,
    "transform store": pipeline.transform_store,
    "weigh rounds": pipeline.weigh,
    "evaluate-chunk": evaluate_chunk,
    "significance": steps.measure,
    "promote": steps.promote,
    "review": steps.review,
}


def test_tasks_keep_their_stored_names_and_only_idempotent_ones_on_the_store_are_retried() -> None:
    assert {name: one.name for name, one in (IDEMPOTENT | OTHERS).items()} == {
        name: name for name in IDEMPOTENT | OTHERS
    }
    assert {one.retries for one in IDEMPOTENT.values()} == {2}
    assert {one.retries for one in OTHERS.values()} == {0}


@pytest.mark.e2e
def test_a_failed_read_of_the_store_is_retried_and_another_error_is_not(
    tmp_path: Path, shared_services: SharedServices
) -> None:
    workspace = Workspace(shared_services.attach(tmp_path), load_settings(None))
    tried: list[str] = []

    @task(name="read", **{**RETRIED, "retry_delay_seconds": 0})
    def read(errors: list[StoreError]) -> int:
        tried.append("")
        if len(tried) <= len(errors):
            raise errors[len(tried) - 1]
        return len(tried)

    def work(workspace: Workspace, errors: list[StoreError], reporter: Reporter) -> int:
        tried.clear()
        show_table("retried", [{"symbol": "BTC/USDT", "inserted": 3}], "of this test")
        return read(errors)

    with run_flow(workspace, Console(quiet=True), quiet=True) as run:
        assert run("twice", work, [StoreIOError("no connection"), StoreIOError("no connection")]) == 3
        with pytest.raises(StoreError, match="not built yet"):
            run("never", work, [StoreError("not built yet")])
        assert len(tried) == 1
        with get_client(sync_client=True) as client:
            artifacts: Any = client.read_artifacts()
    tables = [artifact.data for artifact in artifacts if artifact.key == "retried"]
    assert len(tables) == 2
    assert all('"inserted": 3' in table for table in tables)


def test_a_table_outside_of_a_flow_run_is_not_shown() -> None:
    show_table("loads", [{"symbol": "BTC/USDT"}], "loads")  # needs no server
