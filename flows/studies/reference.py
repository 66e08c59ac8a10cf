"""The reference preset, run on its own and stored separately from the results: it is shown, not ranked."""

from __future__ import annotations

import json

from flows.pools.local_pool import LocalPool
from flows.reporting import Reporter
from flows.warehouse.export import current_dataset
from flows.workspace.workspace import Workspace
from ml.data.datasets import read_dataset
from ml.data.stored import Keys, read_object
from ml.errors import StoreError
from ml.records import ReferenceResult
from ml.series import Series
from ml.store import Store

FOLDER = "reference"


def run_reference(
    workspace: Workspace, symbol: str, timeframe: str, epochs: int, reporter: Reporter
) -> ReferenceResult:
    """Run the reference preset on the newest dataset of a series and keep the record in the store.

    Raises:
        StoreError: the series has no dataset.
    """
    series = Series(exchange=workspace.settings.exchange_name, symbol=symbol, timeframe=timeframe)
    store = workspace.store
    manifest = current_dataset(store, series)
    if manifest is None:
        raise StoreError(f"No dataset of {series} in {store.url}. Run `candleworks demo` or `candleworks export`.")
    with LocalPool(1, workspace.logs / "workers.log") as pool, reporter.step(f"reference, {epochs} epochs") as step:
        record = pool.run(train_reference, workspace.store_url, manifest["id"], epochs)
        step.say(f"skill {record['skill']:+.1%}")
    record["dataset_id"] = manifest["id"]
    store.replace(f"{FOLDER}/{series.slug}_{epochs}.json", json.dumps(record, indent=1).encode())
    return record


def train_reference(store_url: str, dataset_id: str, epochs: int) -> ReferenceResult:
    """A job for a worker process: the reference preset on one dataset (see `ml.evaluation.reference`)."""
    from ml.evaluation.reference import evaluate_reference  # noqa: PLC0415 - loads Keras, which no other job needs

    return evaluate_reference(read_dataset(Store(store_url), dataset_id), epochs)


def reference_records(store: Store) -> list[ReferenceResult]:
    """All records of the reference preset that were ever made here."""
    remedy = "Delete it and run `candleworks reference` again."
    keys: Keys = {"dataset_id": str, "rmse_pct": (int, float), "baseline": str}
    return [read_object(store, path, keys, remedy) for path in store.list(FOLDER)]
