"""The flows that Prefect runs: what happens every hour, what happens every night, and how a sweep is spread.

Flows compose; tasks do one piece of I/O or one block of work by calling plain functions, which the tests call without a
server. Each flow takes the home and the settings file as text, because that is what a deployment can hold.
"""

from __future__ import annotations

import threading
from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.exchange import exchange_time_ms
from flows.export import export_all, require_datasets
from flows.forecast import forecast_all, load_libraries, score_all
from flows.ingest import LoadReport, ingest_market
from flows.installation import Installation, open_installation
from flows.jobs import do_chunk, judge_series
from flows.load import load_store
from flows.local_pool import LocalPool
from flows.marts import transform, transforming
from flows.measuring import run_significance
from flows.progress import Tracker
from flows.promote import judging_time_ms, spa_p_values, trial_counts
from flows.publish import publish
from flows.reporting import SILENT, Reporter
from flows.rounds import weigh_rounds
from flows.spread import HERE, Lane, spread
from flows.sweep import Round, Sweep, open_sweep
from flows.tasks import block, task
from flows.work_pools import run_on_work_pool, work_pool_is_manned
from ml.chunks import Chunk
from ml.config import Series, Source, SweepSettings
from ml.errors import CandleworksError, ExchangeError
from ml.guards import CaseLimits
from ml.store import Store

#: For a limit on chunks over all pools.
CHUNK_TAG = "sweep-chunk"


@flow(name="ingest")
def ingest(home: str | None = None, config: str | None = None) -> list[dict[str, Any]]:
    """Load the candles of all markets; one that fails does not stop the others."""
    return [vars(report) for report in run_ingest(open_installation(home, config), SILENT)]


def run_ingest(installation: Installation, reporter: Reporter) -> list[LoadReport]:
    """Map one task a market and source.

    Raises:
        ExchangeError: no source of any market could be loaded at all.
    """
    settings = installation.settings
    now_ms = exchange_time_ms(settings)

    def load_market(name: str, symbol: str, source: Source) -> LoadReport:
        with reporter.step(f"ingest {name}") as step:
            report = ingest_market(
                installation, symbol, now_ms, on_candles=lambda _, share: step.share(share), source=source
            )
            step.say(_ingest_line(report))
        return report

    load = task("ingest-market", load_market, run_name="ingest {name}")
    futures = []
    for symbol in settings.markets.symbols:
        first, *others = settings.sources(symbol)
        leader = load.submit(_load_name(symbol, first, len(others)), symbol, first)
        # The others are held against what the first one has stored.
        followers = [
            load.submit(_load_name(symbol, one, 1), symbol, one, return_state=False, wait_for=[leader])
            for one in others
        ]
        futures += [leader, *followers]
    reports = [future.result() for future in futures]
    if all(report.status == "failed" for report in reports):
        raise ExchangeError(reports[0].message)
    return reports


def _load_name(symbol: str, source: Source, others: int) -> str:
    return f"{symbol} {source.exchange.called}" if others else symbol


def _ingest_line(report: LoadReport) -> str:
    counts = (
        f"{report.inserted:,} new, {report.revised:,} revised, {report.quarantined:,} quarantined, "
        f"{report.missing:,} missing"
    )
    return counts if report.status == "ok" else f"{report.status}: {report.message}"


@flow(name="hourly")
def hourly(home: str | None = None, config: str | None = None) -> dict[str, Any]:
    """Every hour: candles, features, scores of what has closed, a forecast for what opens, publish."""
    installation = open_installation(home, config)
    return run_hour(installation, SILENT)


def run_hour(installation: Installation, reporter: Reporter) -> dict[str, Any]:
    """The steps of `hourly`; each can be run again without doing anything twice."""
    with transforming(installation):
        reports = run_ingest(installation, reporter)
        load_libraries(installation)
        with reporter.step("features") as step:
            step.say(block("transform candles", lambda: transform(installation, "candles")))
        return {"ingest": [vars(report) for report in reports], **run_serving(installation, reporter)}


def run_serving(installation: Installation, reporter: Reporter) -> dict[str, Any]:
    """Score, forecast, bring the marts up to date and publish them."""
    with reporter.step("forecast and score") as step:
        scores = block("score", lambda: score_all(installation))
        forecasts = block("forecast", lambda: forecast_all(installation))
        step.say(f"{len(scores)} scored, {len(forecasts)} sealed")
    with reporter.step("publish") as step:
        block("load store", lambda: load_store(installation))
        block("weigh rounds", lambda: weigh_rounds(installation))
        block("transform store", lambda: transform(installation, "store"))
        version, new = block("publish", lambda: publish(installation))
        step.say(f"version {version[:8]}{'' if new else ', unchanged'}")
    return {"scores": len(scores), "forecasts": len(forecasts), "version": version}


@flow(name="nightly")
def nightly(home: str | None = None, config: str | None = None) -> dict[str, Any]:
    """Every night: the newest candles, fresh datasets, the sweep, the judge, and all that `hourly` does."""
    return run_night(open_installation(home, config), SILENT)


def run_night(installation: Installation, reporter: Reporter) -> dict[str, Any]:
    """The steps of `nightly`; a run that was killed goes on where it was."""
    with transforming(installation):
        reports = run_search(installation, reporter)
        return {"ingest": [vars(report) for report in reports], **run_serving(installation, reporter)}


def run_search(installation: Installation, reporter: Reporter) -> list[LoadReport]:
    """From the newest candles to the champions: ingest, features, datasets, sweep, significance, court."""
    with transforming(installation):
        reports = run_ingest(installation, reporter)
        with reporter.step("features") as step:
            step.say(block("transform candles", lambda: transform(installation, "candles")))
    with reporter.step("datasets") as step:
        refresh_hours = installation.settings.sweep.refresh_hours
        datasets = block("export", lambda: export_all(installation, refresh_hours))
        step.say(f"{len(datasets)} datasets")
    with installation.local_pool() as pool:
        run_sweep(installation, pool, reporter)
        run_significance(installation, pool, reporter)
        run_promotion(installation, pool, reporter)
    return reports


@flow(name="sweep")
def sweep(home: str | None = None, config: str | None = None) -> dict[str, int]:
    """Evaluate all test cases of the newest datasets that have no result yet."""
    installation = open_installation(home, config)
    with installation.local_pool() as pool:
        return run_sweep(installation, pool, SILENT)


def run_sweep(installation: Installation, pool: LocalPool, reporter: Reporter) -> dict[str, int]:
    """Do the cases of all search spaces that have no result on the newest datasets."""
    with reporter.step("sweep") as step:
        opened = open_sweep(installation, pool.size)
        settings = installation.settings.sweep
        with Tracker(installation.store, on_change=step.count) as tracker:
            totals = sweep_over(opened, pool, tracker, settings)
        step.say(
            f"{totals['cases_done']} of {totals['cases_total']} test cases have a result, "
            f"{totals['cases_failed']} of them failed"
        )
        for line in tracker.warnings():
            step.warn(line)
    return totals


def sweep_over(opened: Sweep, pool: LocalPool, tracker: Tracker, settings: SweepSettings) -> dict[str, int]:
    """Rounds over the chunks of a sweep, in the local pool or on the work pools that are manned.

    Chunks that are lost with a worker, or held by one elsewhere, are taken up in the next round, and so are the next
    rungs of a halving, as long as rounds bring anything.
    """
    results = -1
    while True:
        plan = opened.round()
        tracker.follow(plan)
        tracker.show()
        if plan.results == results:
            plan.count_all()
            break  # the rest is in other workers' hands, or cannot be done
        results = plan.results
        if not _spread_round(opened.store, pool, tracker, plan, settings):
            break
    for line in opened.warnings():
        tracker.warn(line)
    return tracker.totals() | {"series_left_out": len(opened.spaces) - len(plan.spaces)}


def lanes_of(pool: LocalPool, plan: Round, settings: SweepSettings) -> list[Lane]:
    """Neural cases go to GPUs where somebody offers some, all others to CPUs; what nobody offers is done here."""
    manned = [name for name in ("gpu", "cpu") if work_pool_is_manned(name)]
    common = "cpu" if "cpu" in manned else HERE
    lanes: dict[str, set[str]] = {}
    for kind in plan.kinds():
        lanes.setdefault("gpu" if kind == "neural" and "gpu" in manned else common, set()).add(kind)
    limits = {HERE: 2 * pool.size}  # one in work and one that waits: no process waits for the coordinator
    return [Lane(name, limits.get(name, settings.in_flight), plan.chunks(kinds)) for name, kinds in lanes.items()]


def _spread_round(store: Store, pool: LocalPool, tracker: Tracker, plan: Round, settings: SweepSettings) -> int:
    """One round; a chunk whose task fails is simply not done. Returns how many chunks there were."""
    lanes = lanes_of(pool, plan, settings)
    limits = vars(CaseLimits.of(settings))

    def evaluate_chunk(name: str, lane: str, chunk: Chunk) -> int:
        lines: list[dict[str, Any]] = []
        begun = threading.Event()

        def begin() -> None:
            begun.set()
            tracker.begin(chunk)

        try:
            cases = [case.model_dump(mode="json") for case in chunk.cases]
            arguments = (store.url, chunk.dataset_id, cases, settings.lease_seconds, limits)
            if lane == HERE:
                begin()
                lines = pool.run(do_chunk, *arguments)
            else:
                lines = run_on_work_pool(lane, *arguments, on_start=begin)
        except CandleworksError as error:  # a full disk, a dataset that is gone: the other chunks can be done
            tracker.warn(str(error))
        finally:
            tracker.end(chunk, lines, begun=begun.is_set())
        return len(lines)

    evaluate = task("evaluate-chunk", evaluate_chunk, run_name="evaluate {name}").with_options(tags=[CHUNK_TAG])
    runner: Any = ThreadPoolTaskRunner(max_workers=sum(lane.limit for lane in lanes) or 1)

    @flow(name="sweep-round", task_runner=runner)
    def sweep_round() -> int:
        try:
            return spread(lanes, lambda lane, chunk: evaluate.submit(chunk.id, lane.name, chunk), tracker.show)
        except BaseException:
            pool.abort()  # else the task runner would wait for the chunks before it lets an interrupt through
            raise

    return sweep_round()


def run_promotion(installation: Installation, pool: LocalPool, reporter: Reporter) -> list[dict[str, Any]]:
    """Judge the challengers of all series, a task and a process each."""
    with reporter.step("champions") as step:
        settings = installation.settings.model_dump(mode="json")
        home = str(installation.home)
        manifests = require_datasets(installation)

        block("load store", lambda: load_store(installation))
        trials, spa = trial_counts(installation), spa_p_values(installation)
        now_ms = judging_time_ms(installation)

        def judge(name: str, series: Series, dataset_id: str) -> list[dict[str, Any]]:
            known = (trials.get(series, 0), now_ms, spa.get(dataset_id))
            return pool.run(judge_series, home, settings, series.model_dump(), dataset_id, *known)

        judging = task("judge", judge, run_name="judge {name}")
        futures = [judging.submit(str(series), series, manifest["id"]) for series, manifest in manifests.items()]
        made = []
        for done, future in enumerate(futures, 1):
            made.append(future.result())
            step.count(done, len(futures))
        new = [verdict for verdicts in made for verdict in verdicts]
        promoted = sum(verdict["decision"] == "promoted" for verdict in new)
        unchanged = sum(not verdicts for verdicts in made)
        step.say(f"{promoted} promoted, {len(new) - promoted} refused, {unchanged} unchanged")
        for verdict in new:
            if verdict["false_claim_worker"]:
                step.warn(f"{verdict['reason']}; results of its machine are no longer challengers")
    return new
