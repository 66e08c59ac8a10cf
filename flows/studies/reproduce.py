"""Reproduce: a stored result, computed once more from its stored dataset and parameters."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import TypedDict, cast

from flows.pools.local_pool import LocalPool
from flows.warehouse.export import current_dataset
from flows.workspace.workspace import Workspace
from ml.data.datasets import changed_columns, read_dataset, read_manifest
from ml.errors import CaseError, StoreError
from ml.evaluation.evaluate import evaluate
from ml.execution.former_keys import former_keys, under_todays_keys
from ml.execution.result_schema import METRICS
from ml.execution.results import findings, read_results, result_datasets, result_files
from ml.forecasting.published import read_table
from ml.records import ResultEvaluation, ResultRow
from ml.search.cases import TestCase
from ml.store import Store

#: Largest relative difference that counts as equal. Everything is exact on one machine with one thread per worker, with
#: two exceptions: a sweep fits ridge cases in groups by Gram matrices, which round otherwise than the fit alone here;
#: neural networks may differ where another machine or its GPU rounds differently.
TOLERANCE = 1e-12
GRAM_TOLERANCE = 1e-9
NEURAL_TOLERANCE = 1e-6
#: Columns that hold a table as JSON -> the field that identifies its rows.
TABLES = {"label_metrics": "label", "window_metrics": "start"}


class Reproduced(TypedDict):
    """A metric of a stored result and its recomputation; `equal` within the family's relative tolerance."""

    metric: str
    stored: float | None
    recomputed: float | None
    difference: float
    equal: bool


def reproduce_case(workspace: Workspace, key: str) -> list[Reproduced]:
    """Evaluate a case again in a fresh process and compare every metric, including those of each label and window.

    Args:
        workspace: whose store has the result.
        key: the case key, or that of an earlier version, or an unambiguous prefix of either.

    Raises:
        CaseError: no or more than one result has this key, or the case failed then.
        StoreError: the result's file or its dataset is no longer in the store.
    """
    store = workspace.store
    stored = _stored_result(store, key)
    _require_dataset(store, stored)
    with LocalPool(1, workspace.logs / "workers.log") as pool:
        again = pool.run(evaluate_again, workspace.store_url, stored["dataset_id"], stored["case_json"])
    then, now = dict(_figures(stored)), dict(_figures(again))
    return [_compared(name, then.get(name), now.get(name), _tolerance(stored)) for name in then | now]


def _tolerance(stored: ResultRow) -> float:
    if stored["model_family"] == "neural":
        return NEURAL_TOLERANCE
    return GRAM_TOLERANCE if stored["model"] == "ridge" else TOLERANCE


def since_changed(workspace: Workspace, key: str) -> list[str]:
    """Columns of a case whose definition has changed since the dataset of its stored result."""
    store = workspace.store
    stored = _stored_result(store, key)
    case = TestCase.model_validate_json(stored["case_json"])
    then = read_manifest(store, stored["dataset_id"]).get("fingerprints", {})
    newest = current_dataset(store, case.series)
    return [] if newest is None else changed_columns(then, newest.get("fingerprints", {}), case.lineage_columns)


def evaluate_again(store_url: str, dataset_id: str, case_json: str) -> ResultEvaluation:
    """A job for a worker process: compute the figures of a case's result (`ml.execution.results.findings`) again."""
    return findings(evaluate(TestCase.model_validate_json(case_json), read_dataset(Store(store_url), dataset_id)))


def _stored_result(store: Store, key: str) -> ResultRow:
    """The result of the key on the dataset with the newest results of those that it was tested on, with all columns."""
    renamed = former_keys(store)
    meant = {now for former, now in renamed.items() if former.startswith(key)}

    def named(rows: Iterable[ResultRow]) -> list[ResultRow]:
        return [row for row in rows if row["case_key"].startswith(key) or row["case_key"] in meant]

    columns = ["case_key", "dataset_id", "status", "error"]
    places = {path.split("/")[1]: place for place, path in enumerate(result_files(store))}
    found = named(row for dataset_id in result_datasets(store) for row in read_results(store, dataset_id, columns))
    # A snapshot from before the keys changed has the former ones.
    known = found or named(cast(ResultRow, under_todays_keys(row, renamed)) for row in read_table(store, "results"))
    keys = {row["case_key"] for row in known}
    if len(keys) != 1:
        count = "no result has" if not keys else f"{len(keys)} results have"
        raise CaseError(f"{count} the key {key!r}. `candleworks results --all` lists the keys.")
    newest = max(known, key=lambda row: places.get(row["dataset_id"], -1))
    if newest["status"] != "tested":
        raise CaseError(f"Case {key} failed with: {newest['error']}. There is no figure to reproduce.")
    for row in read_results(store, newest["dataset_id"]) if found else ():
        if row["case_key"] == newest["case_key"]:
            return row
    raise StoreError(
        f"The result file of case {key} on dataset {newest['dataset_id']} is no longer in {store.url}. "
        "Restore the store from a backup, or run `candleworks sweep`: it tests the case again."
    )


def _require_dataset(store: Store, stored: ResultRow) -> None:
    try:
        read_dataset(store, stored["dataset_id"])
    except (StoreError, OSError) as error:
        raise StoreError(
            f"Dataset {stored['dataset_id']}, on which case {stored['case_key']} was tested, is no longer whole in "
            f"{store.url}, and an export made today has other candles. Restore it from a backup of the store."
        ) from error


def _figures(row: ResultEvaluation) -> Iterator[tuple[str, float]]:
    """Every figure of a result by name: the metrics, then those of each label and window."""
    for name in METRICS:
        value = cast(float | None, row.get(name))
        if value is not None:
            yield name, value
    for column, title in TABLES.items():
        for entry in json.loads(cast(str | None, row.get(column)) or "[]"):
            for name, value in entry.items():
                if name != title and value is not None:
                    yield f"{column} {entry[title]} {name}", value


def _compared(name: str, stored: float | None, again: float | None, tolerance: float) -> Reproduced:
    before, after = (math.nan if value is None else value for value in (stored, again))
    difference = abs(after - before)
    # A metric without meaning is NaN (the direction of a forecast that never moves).
    equal = (math.isnan(before) and math.isnan(after)) or difference <= tolerance * max(1.0, abs(before))
    return {"metric": name, "stored": stored, "recomputed": again, "difference": difference, "equal": equal}
