"""Troubles: what a sweep has to tell besides its counts. All of it is read from the store, so `status` can tell it too.

What was decided: a broken result file is set aside and its cases are done again. A dataset that is gone says nothing
about the cases on it: they get no result, the sweep of the other series goes on, and ends with exit code 1. A disk that
is full loses the chunk, not the sweep; its error has the remedy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ml.data.datasets import ARRAYS, read_manifest
from ml.errors import DatasetError
from ml.execution.results import corrupt_results, read_results
from ml.store import Store

#: Reasons of failed cases that are told at most.
REASONS = 10


def dataset_problem(store: Store, dataset_id: str) -> str | None:
    """One line with the remedy when a dataset is gone or not whole; nothing is downloaded."""
    try:
        read_manifest(store, dataset_id)
    except DatasetError as error:
        return str(error)
    for name in ARRAYS:
        if not store.exists(f"datasets/{dataset_id}/{name}.npy"):
            return (
                f"Dataset {dataset_id} in {store.url} has lost {name}.npy. "
                f"Delete datasets/{dataset_id} and run `candleworks export`."
            )
    return None


def dataset_problems(store: Store, dataset_ids: Iterable[str]) -> dict[str, str]:
    """Dataset -> its problem, of those that have one. Their cases cannot be done now: a sweep leaves them out."""
    found = {dataset_id: dataset_problem(store, dataset_id) for dataset_id in dataset_ids}
    return {dataset_id: problem for dataset_id, problem in found.items() if problem is not None}


def failure_reasons(store: Store, failed: Mapping[str, Collection[str]]) -> list[str]:
    """Why test cases failed: a line per reason, the most frequent first.

    Args:
        store: holds their results.
        failed: dataset -> keys of its failed cases.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for dataset_id, keys in failed.items():
        wanted = set(keys)
        for row in read_results(store, dataset_id, ["case_key", "model", "status", "error"]) if wanted else ():
            if row["case_key"] in wanted and row["status"] == "failed":
                found.setdefault((row["model"], row["error"]), []).append(row["case_key"])
    lines = [
        f"{len(keys):,} {'case' if len(keys) == 1 else 'cases'} of {model} failed: {error.rstrip('.')}. "
        f"`candleworks results --status failed` lists them, such as {keys[0][:8]}."
        for (model, error), keys in sorted(found.items(), key=lambda entry: -len(entry[1]))
    ]
    more = lines[REASONS:]
    return lines[:REASONS] + ([f"{len(more)} more reasons: `candleworks results --status failed`."] if more else [])


def sweep_warnings(store: Store, dataset_ids: Iterable[str]) -> list[str]:
    """Lines for the output of a sweep and of `status`; empty when all is well."""
    lines = list(dataset_problems(store, dataset_ids).values())
    if corrupt := corrupt_results(store):
        more = f" and {len(corrupt) - 1} more" if len(corrupt) > 1 else ""
        lines.append(
            f"Broken result file set aside: {corrupt[0]}{more} in {store.url}. "
            "Its cases are done again; find out what damaged it, then delete it."
        )
    return lines
