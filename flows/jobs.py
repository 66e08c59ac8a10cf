"""Jobs for worker processes: plain functions of plain arguments, so that they can be sent to another process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.installation import Installation
from flows.promote import promote_series
from flows.review import review_series
from flows.significance import significance_rows
from ml.cases import TestCase
from ml.chunks import Chunk, chunk_lines, run_chunk
from ml.config import Series, Settings
from ml.datasets import read_dataset
from ml.evaluation import evaluate
from ml.guards import CaseLimits
from ml.results import findings
from ml.review import LiveRecord
from ml.store import Store
from ml.version import code_version


def do_chunk(
    store_url: str,
    dataset_id: str,
    cases: list[dict[str, Any]],
    lease_seconds: float,
    limits: dict[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Claim and do one chunk; `limits` are those of a case, by the names of `ml.guards.CaseLimits`.

    Returns:
        A short line a case for the progress (case_key, status, seconds, worker); empty when another has it.
    """
    chunk = Chunk(dataset_id, tuple(TestCase(**case) for case in cases))
    rows = run_chunk(
        Store(store_url),
        chunk,
        lease_seconds=lease_seconds,
        code_version=code_version(),
        limits=CaseLimits(**(limits or {})),
    )
    return chunk_lines(rows or [])


def judge_series(
    home: str,
    settings: dict[str, Any],
    series: dict[str, str],
    dataset_id: str,
    n_trials: int,
    now_ms: int,
    spa_p_value: float | None,
) -> list[dict[str, Any]]:
    """Judge the challenger of one series with one thread, as the cases were evaluated; returns the new verdicts."""
    installation = Installation(Path(home), Settings(**settings))
    return promote_series(installation, Series(**series), dataset_id, n_trials, now_ms, spa_p_value)


def review_series_champion(
    home: str,
    settings: dict[str, Any],
    series: dict[str, str],
    dataset_id: str,
    n_trials: int,
    now_ms: int,
    live: LiveRecord,
) -> dict[str, Any] | None:
    """Review the champion of one series with one thread; returns the new verdict."""
    installation = Installation(Path(home), Settings(**settings))
    return review_series(installation, Series(**series), dataset_id, n_trials, now_ms, live)


def measure_significance(store_url: str, dataset_id: str, without_machines: list[str]) -> list[dict[str, Any]]:
    """What the search on one dataset is worth as a whole (see `flows.significance.significance_rows`)."""
    return significance_rows(Store(store_url), dataset_id, without_machines)


def evaluate_again(store_url: str, dataset_id: str, case: dict[str, Any]) -> dict[str, Any]:
    """The columns of a result that say what a case is worth (see `ml.results.findings`), computed once more."""
    return findings(evaluate(TestCase(**case), read_dataset(Store(store_url), dataset_id)))


def train_reference(store_url: str, dataset_id: str, epochs: int) -> dict[str, Any]:
    """The reference protocol on one dataset (see `ml.reference`)."""
    from ml.reference import evaluate_reference  # noqa: PLC0415 - loads Keras, which no other job needs at once

    return evaluate_reference(read_dataset(Store(store_url), dataset_id), epochs)
