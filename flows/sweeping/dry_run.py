"""A sweep without doing anything: how many cases there are, what they add to N, and how long they would take."""

from __future__ import annotations

from typing import Any

from flows.home.installation import Installation
from flows.sweeping.sweep import Sweep
from ml.config import Series


def dry_run(installation: Installation, opened: Sweep) -> list[dict[str, Any]]:
    """A record per series: its spaces, cases, those with a result, those to do, N before and after, and the time.

    Of a halving only the rungs that are open are counted as to do; `estimated_seconds` is that of the series alone on
    all local processes.
    """
    plan = opened.round()
    loads = plan.forecast()
    records = []
    for one in plan.spaces:
        count, load = plan.counts[one.dataset_id], loads[one.dataset_id]
        known = _tried(installation, one.series)
        records.append(
            {
                **one.series.model_dump(),
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


def _tried(installation: Installation, series: Series) -> set[str]:
    """Keys of the cases ever tried on a series, on whatever dataset, of what has been loaded."""
    with installation.warehouse.locked(), installation.warehouse.connect() as connection:
        rows = connection.execute(
            "select distinct case_key from raw.results where exchange = ? and symbol = ? and timeframe = ?",
            [series.exchange, series.symbol, series.timeframe],
        ).fetchall()
    return {row[0] for row in rows}
