"""Jobs for worker processes, one per series: plain functions of plain arguments, so that they can be sent there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.promotion.promote import promote_series
from flows.promotion.review import review_series
from flows.promotion.significance import significance_rows
from flows.settings import Settings
from flows.workspace.workspace import Workspace, home_store
from ml.promotion.review import LiveRecord
from ml.records import SignificanceRow, VerdictRecord
from ml.series import Series


def promote_champion(
    home: str,
    settings: dict[str, Any],
    series: dict[str, str],
    dataset_id: str,
    n_trials: int,
    now_ms: int,
    spa_p_value: float | None,
) -> list[VerdictRecord]:
    """Decide on the challenger of one series with one thread, as the cases were evaluated; returns the new verdicts."""
    workspace = Workspace(Path(home), Settings(**settings))
    return promote_series(workspace, Series(**series), dataset_id, n_trials, now_ms, spa_p_value)


def review_series_champion(
    home: str,
    settings: dict[str, Any],
    series: dict[str, str],
    dataset_id: str,
    n_trials: int,
    now_ms: int,
    live: LiveRecord,
) -> VerdictRecord | None:
    """Review the champion of one series with one thread; returns the new verdict."""
    workspace = Workspace(Path(home), Settings(**settings))
    return review_series(workspace, Series(**series), dataset_id, n_trials, now_ms, live)


def measure_significance(place: tuple[str, str], dataset_id: str, without_machines: list[str]) -> list[SignificanceRow]:
    """Significance of the whole search on one dataset (see `flows.promotion.significance.significance_rows`).

    Args:
        place: URL of the store, and its home.
        dataset_id: of the results.
        without_machines: machines whose results are not trusted.
    """
    return significance_rows(home_store(*place), dataset_id, without_machines)
