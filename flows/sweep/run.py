"""Running a sweep: rounds over its chunks, here or on the work pools that are online, until a round adds no result."""

from __future__ import annotations

import threading
from collections.abc import Collection

from prefect import flow, task
from prefect.utilities.annotations import quote

from flows.pools.chunk_job import do_chunk
from flows.pools.local_pool import LocalPool
from flows.pools.work_pools import has_online_worker, run_on_work_pool
from flows.reporting import Reporter
from flows.settings import SweepSettings
from flows.sweep.dispatch import LOCAL, Future, Lane, dispatch
from flows.sweep.progress import Tracker
from flows.sweep.sweep import Round, Sweep, open_sweep
from flows.tasks import UNCACHED
from flows.workspace.workspace import Workspace
from ml.errors import CandleworksError
from ml.execution.chunks import Chunk
from ml.records import ChunkLine
from ml.series import Series
from ml.store import Store

#: Tag of the chunks' tasks, for a concurrency limit over all pools.
CHUNK_TAG = "sweep-chunk"


def run_sweep(
    workspace: Workspace, pool: LocalPool, reporter: Reporter, only: Collection[Series] = ()
) -> dict[str, int]:
    """Evaluate all cases of the search spaces without a result on the newest datasets, of all series or only some."""
    with reporter.step("sweep") as step:
        opened = open_sweep(workspace, pool.size, only)
        settings = workspace.settings.sweep
        with Tracker(workspace.store, on_change=step.count) as tracker:
            totals = sweep_over(opened, pool, tracker, settings)
        step.say(
            f"{totals['cases_done']} of {totals['cases_total']} test cases have a result, "
            f"{totals['cases_failed']} of them failed"
        )
        for line in tracker.warnings():
            step.warn(line)
    return totals


def sweep_over(opened: Sweep, pool: LocalPool, tracker: Tracker, settings: SweepSettings) -> dict[str, int]:
    """Rounds over the chunks of a sweep, in the local pool or on the work pools that are online.

    Chunks that are lost with a worker, or leased by another one, are tried again in the next round, and so are the next
    rungs of a halving, as long as rounds add results.
    """
    results = -1
    while True:
        plan = opened.round()
        tracker.follow(plan)
        tracker.show()
        if plan.results == results:
            plan.count_all()
            break  # the rest is leased by other workers, or cannot be done
        results = plan.results
        if not _dispatch_round(opened.store, pool, tracker, plan, settings):
            break
    for line in (*opened.warnings(), *opened.unused(), *opened.failures(plan)):
        tracker.warn(line)
    return tracker.totals() | {"series_left_out": len(opened.spaces) - len(plan.spaces)}


def lanes_of(pool: LocalPool, plan: Round, settings: SweepSettings) -> list[Lane]:
    """Neural cases go to the pool `gpu` if it has an online worker, others to `cpu`, else to local processes."""
    online = [name for name in ("gpu", "cpu") if has_online_worker(name)]
    common = "cpu" if "cpu" in online else LOCAL
    lanes: dict[str, set[str]] = {}
    for kind in plan.kinds():
        lanes.setdefault("gpu" if kind == "neural" and "gpu" in online else common, set()).add(kind)
    limits = {LOCAL: 2 * pool.size}  # one in work and one queued: no process waits for the coordinator
    return [Lane(name, limits.get(name, settings.in_flight), plan.chunks(kinds)) for name, kinds in lanes.items()]


# Not retried: leases give a chunk that was lost to the next round, on any lane.
@task(name="evaluate-chunk", task_run_name="evaluate {name}", tags=[CHUNK_TAG], **UNCACHED)
def evaluate_chunk(
    name: str, lane: str, chunk: Chunk, store: Store, pool: LocalPool, tracker: Tracker, settings: SweepSettings
) -> int:
    """Run one chunk, in a local process or on a work pool; returns the number of its new results."""
    lines: list[ChunkLine] = []
    begun = threading.Event()

    def begin() -> None:
        begun.set()
        tracker.begin(chunk)

    try:
        if lane == LOCAL:
            begin()
            lines = pool.run(do_chunk, store.url, chunk, settings.lease_seconds, settings.case_limits)
        else:
            limits = settings.case_limits
            lines = run_on_work_pool(lane, store, chunk, settings.lease_seconds, limits, on_start=begin)
    except CandleworksError as error:  # a full disk, a deleted dataset: the other chunks can be done
        tracker.warn(str(error))
    finally:
        tracker.end(chunk, lines, begun=begun.is_set())
    return len(lines)


def _dispatch_round(store: Store, pool: LocalPool, tracker: Tracker, plan: Round, settings: SweepSettings) -> int:
    """One round; a chunk whose task fails is left to the next one. Returns how many chunks there were."""
    lanes = lanes_of(pool, plan, settings)

    def submit(lane: Lane, chunk: Chunk) -> Future:
        # Prefect would search each case of the chunk for futures: 2 s per 1,000 wide cases.
        return evaluate_chunk.submit(
            chunk.id, lane.name, quote(chunk), store, pool, tracker, settings, return_state=False
        )

    # Inside, because the parameters of a flow are stored as JSON on the server.
    @flow(name="sweep-round")
    def sweep_round() -> int:
        try:
            return dispatch(lanes, submit, tracker.show)
        except BaseException:
            pool.abort()  # else the task runner would wait for the chunks before it handles an interrupt
            raise

    return sweep_round()
