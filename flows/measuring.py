"""The step between a sweep and the judge: how far the results of the search could be luck."""

from __future__ import annotations

from flows.export import require_datasets
from flows.installation import Installation
from flows.jobs import measure_significance
from flows.load import load_store
from flows.local_pool import LocalPool
from flows.promote import marked_machines, read_verdicts
from flows.reporting import Reporter
from flows.significance import due_datasets, store_rows
from flows.tasks import block, task
from ml.config import Series


def run_significance(installation: Installation, pool: LocalPool, reporter: Reporter) -> dict[str, int]:
    """Intervals, p-value and confidence set of all series with new results, a task and a process each.

    Returns:
        Name of a series that was measured -> its ranked cases.
    """
    with reporter.step("significance") as step:
        datasets = {series: manifest["id"] for series, manifest in require_datasets(installation).items()}
        block("load store", lambda: load_store(installation))
        due = due_datasets(installation, datasets)
        marked = sorted(marked_machines(read_verdicts(installation.store)))

        def measure(name: str, series: Series, dataset_id: str) -> int:
            rows = pool.run(measure_significance, installation.store_url, dataset_id, marked)
            store_rows(installation, series, dataset_id, rows)
            return len(rows)

        measuring = task("significance", measure, run_name="significance {name}")
        futures = {str(series): measuring.submit(str(series), series, dataset) for series, dataset in due.items()}
        measured: dict[str, int] = {}
        for name, future in futures.items():
            measured[name] = future.result()
            step.count(len(measured), len(futures))
        step.say(f"{len(measured)} series measured, {len(datasets) - len(measured)} unchanged")
    return measured
