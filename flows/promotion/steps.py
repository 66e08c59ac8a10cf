"""Significance, promotion and review of all series of a workspace, one task and process per series."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from prefect import task
from prefect.futures import PrefectFuture

from flows.pools.local_pool import LocalPool
from flows.promotion.jobs import measure_significance, promote_champion, review_series_champion
from flows.promotion.promote import decision_time_ms, spa_p_values, trial_counts
from flows.promotion.review import live_records
from flows.promotion.significance import due_datasets, store_rows
from flows.reporting import Reporter, Step
from flows.tasks import RETRIED, UNCACHED, show_table
from flows.warehouse.export import require_datasets
from flows.warehouse.load import load_store
from flows.workspace.workspace import Workspace
from ml.data.datasets import changed_columns
from ml.errors import CandleworksError
from ml.forecasting.model_folder import seal_of
from ml.forecasting.model_store import read_card
from ml.promotion.champion_case import is_loadable
from ml.promotion.verdicts import champions, marked_machines, read_verdicts
from ml.records import Manifest, VerdictRecord
from ml.series import Series
from ml.store import Store

#: Columns of the table of verdicts on the page of a flow run.
SHOWN = ("exchange", "symbol", "timeframe", "decision", "rule", "model", "reason")

_logger = logging.getLogger(__name__)
Result = TypeVar("Result")

load_results = task(name="load store", **RETRIED)(load_store)


@task(name="significance", task_run_name="significance {series}", **UNCACHED)
def measure(series: Series, workspace: Workspace, pool: LocalPool, dataset_id: str, marked: list[str]) -> int:
    """Measure the search of one series in a worker process; returns the number of its ranked cases."""
    rows = pool.run(measure_significance, workspace.place, dataset_id, marked)
    store_rows(workspace, series, dataset_id, rows)
    return len(rows)


# Neither of these two is retried: a decision may have opened the holdout. The next run decides.
@task(name="promote", task_run_name="promote {series}", **UNCACHED)
def promote(series: Series, workspace: Workspace, pool: LocalPool, *known: Any) -> list[VerdictRecord]:
    """Decide on the challenger of one series in a worker process; `known` as in `promote_champion`."""
    return pool.run(promote_champion, *_place(workspace), series.model_dump(), *known)


@task(name="review", task_run_name="review {series}", **UNCACHED)
def review(series: Series, workspace: Workspace, pool: LocalPool, *known: Any) -> VerdictRecord | None:
    """Review the champion of one series in a worker process; `known` as in `review_series_champion`."""
    return pool.run(review_series_champion, *_place(workspace), series.model_dump(), *known)


def _place(workspace: Workspace) -> tuple[str, dict[str, Any]]:
    return str(workspace.home), workspace.settings.model_dump(mode="json")


def _show_verdicts(key: str, verdicts: Sequence[VerdictRecord]) -> None:
    show_table(key, [{name: verdict.get(name) for name in SHOWN} for verdict in verdicts], "New verdicts")


def _settled(step: Step, futures: Mapping[Series, PrefectFuture[Result]]) -> dict[Series, Result]:
    """The results of the tasks of all series; one that fails is a warning and does not stop the others.

    Raises:
        CandleworksError: every one failed; that of the last one.
    """
    found, failed = {}, None
    for done, (series, future) in enumerate(futures.items(), 1):
        try:
            found[series] = future.result()
        except CandleworksError as error:
            failed = error
            step.warn(f"{series}: {' '.join(error.lines())}")
        step.count(done, len(futures))
    if failed is not None and not found:
        raise failed
    return found


def stale_champions(workspace: Workspace) -> list[Series]:
    """Series whose champion does not serve: it was trained on former definitions of its columns, or is not loadable."""
    store, manifests = workspace.store, require_datasets(workspace)
    return [
        series
        for series, champion in champions(store, list(manifests)).items()
        if _is_stale(store, champion, manifests[series])
    ]


def _is_stale(store: Store, champion: VerdictRecord, manifest: Manifest) -> bool:
    if not is_loadable(store, champion):
        _logger.warning(
            "The model %s of the champion of %s %s cannot be loaded; it is reviewed, and fitted again if it is kept.",
            champion["model_id"],
            champion["symbol"],
            champion["timeframe"],
        )
        return True
    lineage = read_card(store, champion["model_id"], seal_of(champion)).get("lineage", {})
    return bool(changed_columns(lineage, manifest.get("fingerprints", {}), lineage))


def run_significance(workspace: Workspace, pool: LocalPool, reporter: Reporter) -> dict[str, int]:
    """Intervals, p-value and confidence set of all series with new results, one task and process per series.

    Returns:
        Name of a series that was measured -> its ranked cases.
    """
    with reporter.step("significance") as step:
        datasets = {series: manifest["id"] for series, manifest in require_datasets(workspace).items()}
        load_results(workspace)
        due = due_datasets(workspace, datasets)
        trusted_again = workspace.settings.promotion.trusted_again
        marked = sorted(marked_machines(read_verdicts(workspace.store), trusted_again))
        futures = {
            series: measure.submit(series, workspace, pool, dataset_id, marked) for series, dataset_id in due.items()
        }
        measured = {str(series): ranked for series, ranked in _settled(step, futures).items()}
        step.say(f"{len(measured)} series measured, {len(datasets) - len(measured)} unchanged")
    return measured


def run_promotion(workspace: Workspace, pool: LocalPool, reporter: Reporter) -> list[VerdictRecord]:
    """Decide on the challengers of all series, one task and process per series."""
    with reporter.step("champions") as step:
        manifests = require_datasets(workspace)
        load_results(workspace)
        trials, spa = trial_counts(workspace), spa_p_values(workspace)
        now_ms = decision_time_ms(workspace)
        futures = {
            series: promote.submit(
                series, workspace, pool, manifest["id"], trials.get(series, 0), now_ms, spa.get(manifest["id"])
            )
            for series, manifest in manifests.items()
        }
        made = list(_settled(step, futures).values())
        new = [verdict for verdicts in made for verdict in verdicts]
        promoted = sum(verdict["decision"] == "promoted" for verdict in new)
        unchanged = sum(not verdicts for verdicts in made)
        step.say(f"{promoted} promoted, {len(new) - promoted} refused, {unchanged} unchanged")
        for verdict in new:
            if verdict["false_claim_worker"]:
                step.warn(f"{verdict['reason']}; results of its machine are no longer challengers")
        _show_verdicts("promotion", new)
    return new


def run_review(
    workspace: Workspace, pool: LocalPool, reporter: Reporter, only: Collection[Series] = ()
) -> list[VerdictRecord]:
    """Review the champions of all series, or of some, on their newest datasets, one task and process per series."""
    with reporter.step("review") as step:
        manifests = require_datasets(workspace)
        load_results(workspace)
        serving = champions(workspace.store, [one for one in manifests if not only or one in only])
        trials, live = trial_counts(workspace), live_records(workspace, serving)
        now_ms = decision_time_ms(workspace)
        futures = {
            series: review.submit(
                series, workspace, pool, manifests[series]["id"], trials.get(series, 0), now_ms, live[series]
            )
            for series in serving
        }
        verdicts = list(_settled(step, futures).values())
        new = [verdict for verdict in verdicts if verdict is not None]
        retired = sum(verdict["decision"] == "retired" for verdict in new)
        _show_verdicts("review", new)
        step.say(f"{len(new) - retired} confirmed, {retired} retired, {len(verdicts) - len(new)} not reviewed")
    return new
