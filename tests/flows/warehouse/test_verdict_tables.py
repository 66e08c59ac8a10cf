"""Tables that are folded from the loaded verdicts before each run of dbt."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from flows.warehouse.verdict_tables import loaded_verdicts, write_verdict_tables
from flows.workspace.database import Warehouse
from ml.promotion.verdicts import current_champion
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


#: sequence, symbol, decision, case, day, model, skill of the review.
VERDICTS = [
    (1, "A", "promoted", "a", 1, "m1", None),
    (2, "A", "refused", "b", 2, "m9", None),
    (3, "A", "confirmed", "a", 3, "m2", 0.1),
    (4, "A", "confirmed", "a", 4, None, None),  # without a refit: m2 serves on
    (5, "B", "promoted", "z", 4, "m8", None),
    (6, "A", "confirmed", "b", 5, "m7", 0.9),  # of a case that is not the champion's
    (7, "A", "promoted", "c", 6, "m3", None),
    (8, "A", "retired", "a", 7, "m2", -0.9),  # of a champion that was replaced
    (9, "A", "retired", "c", 8, "m3", -0.2),
    (10, "A", "confirmed", "c", 9, "m6", 0.3),  # of a champion that was retired
]


def test_the_reigns_that_dbt_reads_are_those_that_serve(tmp_path: Path) -> None:
    with Warehouse(tmp_path / "w.duckdb").connect() as connection:
        for sequence, symbol, decision, case, day, model, skill in VERDICTS:
            row = {"sequence": sequence, "exchange": "e", "symbol": symbol, "timeframe": "1h", "decision": decision,
                   "case_key": case, "decided_at": datetime(2024, 1, day), "model_id": model,  # noqa: DTZ001
                   "trained_through": None if model is None else datetime(2024, 1, day),  # noqa: DTZ001
                   "review_skill": skill, "model": "ridge", "reason": f"reason {sequence}"}  # fmt: skip
            columns = ", ".join(f"? AS {name}" for name in row)
            connection.execute(f"INSERT INTO raw.verdicts BY NAME SELECT {columns}", list(row.values()))
            write_verdict_tables(connection, {})  # twice the same, each time replaced
        found = connection.execute(
            "select sequence, symbol, ended_by, end_reason, day(ended_at), model_ids, model_id, day(trained_through), "
            "day(reviewed_at), review_skill, is_current from raw.reigns order by sequence"
        ).fetchall()
        verdicts = loaded_verdicts(connection)
    assert found == [
        (1, "A", "replaced", None, 6, ["m1", "m2"], "m2", 3, 4, 0.1, False),
        (5, "B", None, None, None, ["m8"], "m8", 4, None, None, True),
        (7, "A", "retired", "reason 9", 8, ["m3"], "m3", 6, 8, -0.2, False),
    ]
    serving = {symbol: current_champion([one for one in verdicts if one["symbol"] == symbol]) for symbol in "AB"}
    assert serving["A"] is None
    assert serving["B"] is not None and serving["B"]["model_ids"] == ["m8"]
