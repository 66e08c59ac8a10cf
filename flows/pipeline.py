"""The flows that Prefect runs every hour, night, week and month, and those started by hand.

Flows compose tasks; a task does one block of work by calling plain functions, which the tests call without a server.
Each flow takes the home and the settings file as text, because deployment parameters are JSON.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypedDict

from prefect import flow, task

from flows.analysis.boundary import refresh_boundary, run_boundaries
from flows.analysis.effects import refresh_effects, run_effects
from flows.analysis.reports import run_month
from flows.forecasting.anchor import stamp_heads
from flows.forecasting.forecast import forecast_all, load_libraries, score_all
from flows.forecasting.publish import publish
from flows.forecasting.rounds import weigh_rounds
from flows.ingestion.ingest import LoadReport
from flows.ingestion.markets import run_ingest
from flows.notices.send import send_notices
from flows.promotion.steps import load_results, run_promotion, run_review, run_significance, stale_champions
from flows.reporting import SILENT, Reporter
from flows.sweep.run import run_sweep
from flows.tasks import RETRIED, UNCACHED
from flows.trading.live import trade_all
from flows.trading.rules import run_rules
from flows.warehouse.export import export_all
from flows.warehouse.marts import transform, transforming
from flows.warehouse.verification import record_verification
from flows.workspace.workspace import Workspace, open_workspace
from ml.analysis.month import Edition
from ml.analysis.reports import month_before
from ml.errors import ServiceError, StoreError
from ml.records import VerdictRecord
from ml.series import Series

_logger = logging.getLogger(__name__)


class Served(TypedDict):
    """Numbers of new scores and forecasts, and the version of the snapshot."""

    scores: int
    forecasts: int
    version: str


class Loaded(Served):
    """What `hourly` and `nightly` did, with the load of each market and source."""

    ingest: list[LoadReport]


class Reviewed(Served):
    """What `review` did, with the new verdicts."""

    verdicts: list[VerdictRecord]


# The tasks of these flows; those of a single market, series or chunk are in the modules of the steps.
transform_candles = task(name="transform candles", **UNCACHED)(transform)
transform_store = task(name="transform store", **UNCACHED)(transform)
score = task(name="score", **RETRIED)(score_all)
forecast = task(name="forecast", **RETRIED)(forecast_all)
trade = task(name="trade", **RETRIED)(trade_all)
weigh = task(name="weigh rounds", **UNCACHED)(weigh_rounds)
verify_chains = task(name="verify chains", **RETRIED)(record_verification)
publish_marts = task(name="publish", **RETRIED)(publish)
anchor = task(name="anchor", **UNCACHED)(stamp_heads)
notify = task(name="send notices", **RETRIED)(send_notices)
export = task(name="export", **RETRIED)(export_all)
effects = task(name="effects", task_run_name="effects {series}", **RETRIED)(refresh_effects)
boundary = task(name="decision boundary", task_run_name="decision boundary {series}", **RETRIED)(refresh_boundary)
store_reports = task(name="store reports", task_run_name="store reports of {month}", **RETRIED)(run_month)


@flow(name="ingest")
def ingest(home: str | None = None, config: str | None = None) -> list[LoadReport]:
    """Load the candles of all markets; one that fails does not stop the others."""
    return run_ingest(open_workspace(home, config), SILENT)


@flow(name="hourly")
def hourly(home: str | None = None, config: str | None = None) -> Loaded:
    """Every hour: candles, features, scores of the closed candles, forecasts of the next ones, signals, publish."""
    workspace = open_workspace(home, config)
    return run_hour(workspace, SILENT)


def run_hour(workspace: Workspace, reporter: Reporter) -> Loaded:
    """The steps of `hourly`, each idempotent."""
    with transforming(workspace):
        reports = run_ingest(workspace, reporter)
        load_libraries(workspace)
        run_features(workspace, reporter)
        return {"ingest": reports, **run_serving(workspace, reporter)}


def run_features(workspace: Workspace, reporter: Reporter, all_tests: bool = False) -> None:
    """Bring features and labels up to date with the candles."""
    with reporter.step("features") as step:
        step.say(transform_candles(workspace, "candles", all_tests))


def run_serving(workspace: Workspace, reporter: Reporter, all_tests: bool = False) -> Served:
    """Score, forecast, trade on paper, bring the marts up to date, publish them, and send the notices."""
    with reporter.step("forecast and score") as step:
        scores = score(workspace)
        forecasts = forecast(workspace)
        step.say(f"{len(scores)} scored, {len(forecasts)} sealed")
    with reporter.step("signals") as step:
        traded = trade(workspace)
        step.say(f"{traded.signals} sealed, {traded.transactions} transactions on paper")
    with reporter.step("publish") as step:
        load_results(workspace)
        weigh(workspace)
        transform_store(workspace, "store", all_tests)
        version, new = publish_marts(workspace)
        step.say(f"version {version[:8]}{'' if new else ', unchanged'}")
    run_anchor(workspace, reporter)
    run_notices(workspace, reporter)
    return {"scores": len(scores), "forecasts": len(forecasts), "version": version}


def run_anchor(workspace: Workspace, reporter: Reporter) -> None:
    """Once per day, anchor the heads of the chains with a time-stamp authority. A failure does not stop the run."""
    if not workspace.settings.seal.timestamp_url:
        return
    with reporter.step("anchor") as step:
        try:
            step.say(anchor(workspace, datetime.now(UTC)) or "done today")
        except (ServiceError, StoreError) as error:
            step.warn(str(error))
            _logger.warning("%s", error)


def run_notices(workspace: Workspace, reporter: Reporter) -> None:
    """Send the notices of new signals, paper fills and alarms. A target that fails stops neither others nor the run."""
    delivered = notify(workspace, datetime.now(UTC))
    if workspace.settings.notices.targets:
        with reporter.step("notices") as step:
            step.say(f"{delivered.sent} sent")
            for line in delivered.warnings:
                step.warn(line)


def run_export(workspace: Workspace, reporter: Reporter, refresh_hours: float = 0.0) -> None:
    """Export a new dataset of every series, except where the last one is at most `refresh_hours` behind the candles."""
    with reporter.step("datasets") as step:
        datasets = export(workspace, refresh_hours)
        step.say(f"{len(datasets)} datasets")


@flow(name="nightly")
def nightly(home: str | None = None, config: str | None = None) -> Loaded:
    """Every night: the newest candles, fresh datasets, the sweep, the promotion gate, and all that `hourly` does."""
    return run_night(open_workspace(home, config), SILENT)


def run_night(workspace: Workspace, reporter: Reporter) -> Loaded:
    """The steps of `nightly`; after a kill, the next run continues from the finished work."""
    run_verification(workspace, reporter)
    with transforming(workspace):
        workspace.store.sweep_parts(time.time())
        reports = run_search(workspace, reporter)
        served = run_serving(workspace, reporter, all_tests=True)
        return {"ingest": reports, **served}


def run_verification(workspace: Workspace, reporter: Reporter) -> None:
    """Verify all sealed chains. A problem is published at once, because it may stop the steps after it."""
    with reporter.step("verify chains") as step:
        reports = verify_chains(workspace, datetime.now(UTC))
        step.say(f"{sum(report.records for report in reports):,} records")
        if problems := list(dict.fromkeys(report.problem for report in reports if report.problem)):
            for problem in problems:
                step.warn(problem)
                _logger.warning("%s", problem)  # a flow that Prefect runs has a silent reporter
            with suppress(StoreError):  # nothing was built yet
                publish_marts(workspace)


def run_search(workspace: Workspace, reporter: Reporter, only: Collection[Series] = ()) -> list[LoadReport]:
    """From the newest candles to champions and trading rules, with datasets, sweep, significance and promotion gate.

    Of all series, or only some are searched; those may learn from all.
    """
    with transforming(workspace):
        reports = run_ingest(workspace, reporter)
        run_features(workspace, reporter, all_tests=True)
    run_export(workspace, reporter, workspace.settings.sweep.refresh_hours)
    with workspace.local_pool() as pool:
        run_sweep(workspace, pool, reporter, only)
        run_significance(workspace, pool, reporter)
        run_promotion(workspace, pool, reporter)
        if stale := stale_champions(workspace):
            run_review(workspace, pool, reporter, stale)
        run_rules(workspace, pool, reporter)
    return reports


@flow(name="sweep")
def sweep(home: str | None = None, config: str | None = None) -> dict[str, int]:
    """Evaluate all test cases of the newest datasets that have no result yet."""
    workspace = open_workspace(home, config)
    with workspace.local_pool() as pool:
        return run_sweep(workspace, pool, SILENT)


@flow(name="review")
def review(home: str | None = None, config: str | None = None) -> Reviewed:
    """Every week: the newest candles, fresh datasets, the review, and all that `hourly` does."""
    return run_week(open_workspace(home, config), SILENT)


def run_week(workspace: Workspace, reporter: Reporter) -> Reviewed:
    """The steps of `review`; a champion is reviewed once per dataset, however often this runs."""
    with transforming(workspace):
        run_ingest(workspace, reporter)
        run_features(workspace, reporter)
        run_export(workspace, reporter)
        with workspace.local_pool() as pool:
            verdicts = run_review(workspace, pool, reporter)
        return {"verdicts": verdicts, **run_serving(workspace, reporter)}


@flow(name="analyses")
def analyses(home: str | None = None, config: str | None = None) -> str:
    """Every day, after the sweep: what moved the skill, and decision boundaries, of series that are due; publish."""
    return run_analyses(open_workspace(home, config), SILENT)


def run_analyses(workspace: Workspace, reporter: Reporter) -> str:
    """The steps of `analyses`, each idempotent; returns the version of the snapshot."""
    run_effects(workspace, reporter, refresh=effects)
    run_boundaries(workspace, reporter, refresh=boundary)
    return publish_marts(workspace)[0]


@flow(name="monthly")
def monthly(home: str | None = None, config: str | None = None, month: str | None = None) -> Edition:
    """Every month: the reports of a month, by default the last complete one, from the published snapshot."""
    return store_reports(open_workspace(home, config), SILENT, month or month_before(datetime.now(UTC)))
