"""Options that the Prefect tasks of the flows share, and tables on the page of a flow run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import Task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext

from ml.errors import StoreIOError

#: No cache and no stored result: finished work is found in the store, and a cache would skip due work.
UNCACHED: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


def store_failed(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a task may be tried again: a read or write of the store failed. Other errors would only come again."""
    return isinstance(state.data, StoreIOError)


#: For idempotent tasks that read or write the store; an object store refuses a request now and then.
RETRIED: dict[str, Any] = {
    **UNCACHED,
    "retries": 2,
    "retry_delay_seconds": [2, 10],
    "retry_condition_fn": store_failed,
}


def show_table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """Show rows on the page of the flow run; does nothing outside of one."""
    if rows and FlowRunContext.get() is not None:
        create_table_artifact(key=key, table=[dict(row) for row in rows], description=description)
