"""A dry run of a sweep: how many cases there are, how they raise N, and how long they would take."""

from __future__ import annotations

from flows.sweep.sweep import Sweep
from flows.workspace.workspace import Workspace
from ml.records import SeriesKey
from ml.series import Series


class SeriesPlan(SeriesKey):
    """A sweep on one series: its cases, and N (cases ever tried, which the significance accounts for).

    Of a halving only the open rungs count as to do; `estimated_seconds` is the time of the series alone on all local
    processes.
    """

    spaces: str | None
    cases: int
    with_result: int
    to_do: int
    n_before: int
    n_after: int
    estimated_seconds: float


def dry_run(workspace: Workspace, opened: Sweep) -> list[SeriesPlan]:
    """One record per series."""
    plan = opened.round()
    loads, tried = plan.forecast(), _tried(workspace)
    records: list[SeriesPlan] = []
    for one in plan.spaces:
        count, load = plan.counts[one.dataset_id], loads[one.dataset_id]
        known = tried.get(one.series, set())
        records.append(
            {
                **one.series.key,
                "spaces": ", ".join(cases.space.name for cases in one.ranges) or None,
                "cases": count.total,
                "with_result": count.found,
                "to_do": len(load.keys),
                "n_before": len(known),
                "n_after": len(known | set(load.keys)),
                "estimated_seconds": round(load.seconds / opened.processes, 1),
            }
        )
    return records


def _tried(workspace: Workspace) -> dict[Series, set[str]]:
    """Keys of the cases ever tried on each series, on any dataset, among the loaded results."""
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        rows = connection.execute(
            "select exchange, symbol, timeframe, list(distinct case_key) from raw.results group by all"
        ).fetchall()
    return {Series(exchange=row[0], symbol=row[1], timeframe=row[2]): set(row[3]) for row in rows}
