"""The record of loads, and the exchange's time as of the newest one."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from flows.promotion.promote import decision_time_ms
from flows.settings import Settings
from flows.workspace.loads import Load, last_load_ms, write_load
from flows.workspace.workspace import Workspace
from ml.timeframes import naive_utc


def test_the_present_is_that_of_the_newest_load_of_any_series(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, Settings())
    assert workspace.last_load_ms() is None
    times: list[datetime | None] = [naive_utc(2_000), naive_utc(5_000), None, naive_utc(3_000)]
    with workspace.warehouse.connect() as connection:
        for load_id, started_at in enumerate(times, 1):
            write_load(connection, Load(load_id, ["test", f"{load_id}/USDT", "1h"], started_at))
        assert last_load_ms(connection) == 5_000
    assert workspace.last_load_ms() == decision_time_ms(workspace) == 5_000
