"""Tables that are folded from the loaded verdicts before each run of dbt."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from flows.warehouse.verdict_tables import write_verdict_tables
from flows.workspace.database import Warehouse
from ml.timeframes import as_utc


def test_marked_machines_are_those_of_promotion_and_replaced_before_each_run(tmp_path: Path) -> None:
    found = [
        ("evil:17:3.50", 2),
        ("evil:18:4.50", 1),
        (None, 1),
        ("rack:2:evil:19:5.00", 3),
        ("a:b", 4),
        ("old:1:2", 1),
    ]
    with Warehouse(tmp_path / "w.duckdb").connect() as connection:
        for sequence, (worker, day) in enumerate(found, 1):
            connection.execute(
                "insert into raw.verdicts (sequence, false_claim_worker, decided_at) "
                "values (?, ?, make_timestamp_ms(?))",
                [sequence, worker, day * 86_400_000],
            )
        # Trusted again from a moment on: what was found at it or later still counts.
        for trusted, machines in (
            ({}, {"evil", "rack:2:evil", "a", "old"}),
            ({"old": "1970-01-02T02:00:01+02:00", "evil": "1970-01-03"}, {"evil", "rack:2:evil", "a"}),
            ({"evil": "1970-01-03T00:00:01", "another": "1970-01-09"}, {"rack:2:evil", "a", "old"}),
        ):
            write_verdict_tables(connection, {name: as_utc(datetime.fromisoformat(at)) for name, at in trusted.items()})
            assert set(connection.execute("select machine from raw.marked_machines").fetchall()) == {
                (machine,) for machine in machines
            }
