"""Diagnostics: the problems of a sweep. All are read from the store, so that `status` can report them too.

A broken result file is set aside and its cases are evaluated again. If a dataset is missing, its cases get no result;
the sweep of the other series continues and ends with exit code 1. A full disk loses the chunk, not the sweep; its error
states the remedy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ml.data.datasets import ARRAYS, read_manifest
from ml.errors import DatasetError
from ml.execution.arrivals import HomeStore
from ml.execution.results import corrupt_results, read_results
from ml.store import Store

#: Most reasons of failed cases that are reported.
REASONS = 10
#: Most result files that are named as set aside, and how the lines begin.
FILES = 5
SET_ASIDE = "Result file set aside"


def dataset_problem(store: Store, dataset_id: str) -> str | None:
    """One line with the remedy if a dataset is missing or incomplete; nothing is downloaded."""
    try:
        read_manifest(store, dataset_id)
    except DatasetError as error:
        return str(error)
    for name in ARRAYS:
        if not store.exists(f"datasets/{dataset_id}/{name}.npy"):
            return (
                f"Dataset {dataset_id} in {store.url} lacks {name}.npy. "
                f"Delete datasets/{dataset_id} and run `candleworks export`."
            )
    return None


def dataset_problems(store: Store, dataset_ids: Iterable[str]) -> dict[str, str]:
    """Dataset -> its problem, for those that have one. A sweep skips their cases."""
    found = {dataset_id: dataset_problem(store, dataset_id) for dataset_id in dataset_ids}
    return {dataset_id: problem for dataset_id, problem in found.items() if problem is not None}


def failure_reasons(store: Store, failed: Mapping[str, Collection[str]]) -> list[str]:
    """Reasons of failed test cases, one line each, the most frequent first.

    Args:
        store: with their results.
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
    """Warnings for the output of a sweep and of `status`, one line each."""
    return [*dataset_problems(store, dataset_ids).values(), *set_aside_lines(store)]


def set_aside_lines(store: Store) -> list[str]:
    """The result files that were set aside, with the reasons where the home knows them, one line each."""
    corrupt = corrupt_results(store)
    reasons = {one.path: one.reason for one in store.arrivals.refusals()} if isinstance(store, HomeStore) else {}
    lines = [
        f"{SET_ASIDE}: {path} in {store.url}: {reasons.get(path, 'it is broken')}. Its cases are evaluated again. "
        "Find out what damaged it, or who wrote it, then delete it."
        for path in corrupt
    ]
    more = lines[FILES:]
    return lines[:FILES] + ([f"{SET_ASIDE}: {len(more)} more, below results/ in {store.url}."] if more else [])
