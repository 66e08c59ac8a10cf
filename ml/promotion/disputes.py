"""Disputes: results of one case on one dataset that differ. The coordinator recomputes the case and names them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ml.execution.workers import machine_of
from ml.promotion.recomputation import VERIFICATION_TOLERANCE, is_complete
from ml.records import ResultRow

#: Most cases that are recomputed at once; the others are recomputed at the next decision.
MOST = 5


@dataclass(frozen=True)
class Dispute:
    """The differing results of a case, in the order in which they count; one per machine."""

    case_key: str
    results: tuple[ResultRow, ...]


def disputes_of(results: Iterable[ResultRow], without_machines: Collection[str] = ()) -> list[Dispute]:
    """The disputes among the tested results of a dataset, in the order in which they began.

    Args:
        results: in the order in which they count.
        without_machines: machines whose results are not trusted anyway.
    """
    known: dict[str, dict[str, ResultRow]] = {}
    for row in results:
        if row["status"] == "tested" and is_complete(row) and machine_of(row["worker"]) not in without_machines:
            known.setdefault(row["case_key"], {}).setdefault(machine_of(row["worker"]), row)
    found = [Dispute(key, tuple(rows.values())) for key, rows in known.items()]
    return [one for one in found if any(_differ(one.results[0], other) for other in one.results[1:])]


def _differ(one: ResultRow, other: ResultRow) -> bool:
    """Whether two results of a case differ by more than machines round."""
    return not (
        abs(one["skill"] - other["skill"]) <= VERIFICATION_TOLERANCE
        and abs(one["rmse_pct"] - other["rmse_pct"]) <= VERIFICATION_TOLERANCE * abs(other["rmse_pct"])
        and one["baseline"] == other["baseline"]
    )
