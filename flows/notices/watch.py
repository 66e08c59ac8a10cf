"""The flow `watch`: a pipeline that is silent cannot report itself."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow

from flows.notices.send import check
from flows.workspace.workspace import open_workspace


@flow(name="watch")
def watch(home: str | None = None, config: str | None = None) -> int:
    """Every quarter of an hour: alarms from the published snapshot, and messages whose next attempt is due.

    Returns:
        How many messages were sent.
    """
    return check(open_workspace(home, config), datetime.now(UTC)).sent
