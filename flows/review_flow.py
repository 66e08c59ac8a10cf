"""The weekly flow: champions are reviewed on the newest candles, confirmed and refitted, or retired."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.export import export_all, require_datasets
from flows.installation import Installation, open_installation
from flows.jobs import review_series_champion
from flows.load import load_store
from flows.local_pool import LocalPool
from flows.marts import transform, transforming
from flows.pipeline import run_ingest, run_serving
from flows.promote import champions, judging_time_ms, trial_counts
from flows.reporting import SILENT, Reporter
from flows.review import live_records
from ml.config import Series


@flow(name="review")
def review(home: str | None = None, config: str | None = None) -> dict[str, Any]:
    """Every week: the newest candles, fresh datasets, the review, and all that `hourly` does."""
    return run_week(open_installation(home, config), SILENT)


def run_week(installation: Installation, reporter: Reporter) -> dict[str, Any]:
    """The steps of `review`; a champion is reviewed once a dataset, however often this runs."""
    with transforming(installation):
        run_ingest(installation, reporter)
        with reporter.step("features") as step:
            step.say(transform(installation, "candles"))
        with reporter.step("datasets") as step:
            step.say(f"{len(export_all(installation))} datasets")
        with installation.local_pool() as pool:
            verdicts = run_review(installation, pool, reporter)
        return {"verdicts": verdicts, **run_serving(installation, reporter)}


def run_review(installation: Installation, pool: LocalPool, reporter: Reporter) -> list[dict[str, Any]]:
    """Review the champions of all series on their newest datasets, a task and a process each."""
    with reporter.step("review") as step:
        manifests = require_datasets(installation)
        load_store(installation)
        serving = champions(installation.store, list(manifests))
        trials, live = trial_counts(installation), live_records(installation, serving)
        place = (str(installation.home), installation.settings.model_dump(mode="json"))
        now_ms = judging_time_ms(installation)

        @task(name="review", task_run_name="review {name}", cache_policy=NO_CACHE, persist_result=False)
        def review_one(name: str, series: Series) -> dict[str, Any] | None:
            known = (manifests[series]["id"], trials.get(series, 0), now_ms, live[series])
            return pool.run(review_series_champion, *place, series.model_dump(), *known)

        futures = [review_one.submit(str(series), series) for series in serving]
        verdicts = []
        for done, future in enumerate(futures, 1):
            verdicts.append(future.result())
            step.count(done, len(futures))
        new = [verdict for verdict in verdicts if verdict is not None]
        retired = sum(verdict["decision"] == "retired" for verdict in new)
        step.say(f"{len(new) - retired} confirmed, {retired} retired, {len(verdicts) - len(new)} not reviewed")
    return new
