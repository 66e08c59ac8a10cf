"""Reproduce: a stored result, computed once more from its stored dataset and parameters."""

from __future__ import annotations

import json
from typing import Any

from flows.installation import Installation
from flows.jobs import evaluate_again
from flows.local_pool import LocalPool
from ml.errors import CaseError
from ml.published import read_table
from ml.results import METRICS, read_results

#: Linear and tree models are exact; neural ones may differ where another machine rounds otherwise.
TOLERANCE = {"linear": 1e-12, "tree": 1e-12, "neural": 1e-6}


def reproduce_case(installation: Installation, key: str) -> list[dict[str, Any]]:
    """Evaluate a case again in a fresh process and compare every metric.

    Args:
        installation: whose store has the result.
        key: the case key, or an unambiguous beginning of it.

    Returns:
        One record a metric: stored, recomputed, difference, equal (within the family's relative tolerance).

    Raises:
        CaseError: no or more than one result has this key, or the case failed then.
    """
    store = installation.store
    known = [row for row in read_table(store, "results") if row["case_key"].startswith(key)]
    keys = {row["case_key"] for row in known}
    if len(keys) != 1:
        found = "no result has" if not keys else f"{len(keys)} results have"
        raise CaseError(f"{found} the key {key!r}. `candleworks leaderboard --json` lists the keys.")
    newest = max(known, key=lambda row: row["finished_at"])
    if newest["status"] != "tested":
        raise CaseError(f"Case {key} failed with: {newest['error']}. There is no figure to reproduce.")
    stored = next(row for row in read_results(store, newest["dataset_id"]) if row["case_key"] == newest["case_key"])
    with LocalPool(1, installation.logs / "workers.log") as pool:
        again = pool.run(evaluate_again, installation.store_url, stored["dataset_id"], json.loads(stored["case_json"]))
    tolerance = TOLERANCE[stored["model_family"]]
    return [_compared(name, stored[name], again[name], tolerance) for name in METRICS]


def _compared(name: str, stored: float, again: float, tolerance: float) -> dict[str, Any]:
    difference = abs(again - stored)
    # NaN is what a metric is where it has no meaning (the direction of a forecast that never moves).
    both_unknown = stored != stored and again != again  # noqa: PLR0124
    equal = both_unknown or difference <= tolerance * max(1.0, abs(stored))
    return {"metric": name, "stored": stored, "recomputed": again, "difference": difference, "equal": bool(equal)}
