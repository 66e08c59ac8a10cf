"""Results in the store: available as soon as a chunk has ended, before they are loaded and published."""

from __future__ import annotations

import json
import math

from flows.warehouse.export import current_dataset
from flows.workspace.workspace import Workspace
from ml.execution.result_schema import SCHEMA
from ml.execution.results import read_results, result_datasets
from ml.records import ResultRow

#: Losses per day and tables per label: for comparisons of cases, not for lists.
_DETAILS = ("loss_day", "loss_model", "loss_baseline", "seed_metrics", "label_metrics", "window_metrics")
COLUMNS = [name for name in SCHEMA.names if name not in _DETAILS]


class ListedResult(ResultRow, total=False):
    """A result with fields of its description, as the command `results` lists it; null where those are broken."""

    target: str | None
    params: str
    seeds: str
    train_rows: int | None
    walk_forward: str | None


def result_records(workspace: Workspace, *, every: bool = False) -> list[ListedResult]:
    """One record per case and dataset, best skill first, those without a skill and failed ones last.

    Args:
        workspace: provides the store and the series.
        every: also on datasets that have a successor, and of series that are no longer configured.
    """
    store = workspace.store
    datasets = _datasets(workspace, every)
    records = [_record(row) for dataset_id in datasets for row in read_results(store, dataset_id, COLUMNS)]
    return sorted(records, key=_place)


def other_datasets(workspace: Workspace) -> int:
    """Number of datasets with results that are not the newest of a configured series."""
    return len(set(result_datasets(workspace.store)) - set(_datasets(workspace, every=False)))


def _datasets(workspace: Workspace, every: bool) -> list[str]:
    if every:
        return result_datasets(workspace.store)
    current = (current_dataset(workspace.store, series) for series in workspace.settings.series())
    return [manifest["id"] for manifest in current if manifest is not None]


def _record(row: ResultRow) -> ListedResult:
    try:
        case = json.loads(row["case_json"])
    except ValueError:  # results are written by workers and not trusted
        case = {}
    walk = case.get("walk_forward")
    return {
        **row,
        "target": case.get("target"),
        "params": json.dumps(case.get("params")),
        "seeds": json.dumps(case.get("seeds")),
        "train_rows": case.get("train_rows"),
        "walk_forward": f"every {walk['refit_every']}{' rolling' if walk.get('rolling') else ''}" if walk else None,
    }


def _place(row: ListedResult) -> tuple[bool, bool, float, str, str, str]:
    skill = row["skill"]
    worst = skill is None or math.isnan(skill)
    return row["status"] == "failed", worst, 0.0 if worst else -skill, row["symbol"], row["timeframe"], row["case_key"]
