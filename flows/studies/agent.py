"""Trading agents on the newest dataset of a series (see `ml.agent`): fitted in worker processes, reported once.

A report is stored under ``agents/`` of the store. The same agents on the same dataset are not fitted again: their
record is read, so that validate is opened once for each question. Every other report on the same candles, of agents and
of rules, makes the next one stricter.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial

from flows.pools.local_pool import LocalPool
from flows.trading.rules import holdout_spans
from flows.workspace.workspace import Workspace
from ml.agent.parts import parts_of
from ml.agent.records import AgentRecord, Fitted
from ml.agent.report import report
from ml.agent.settings import PRESETS, PresetName
from ml.canonical import canonical_json, digest
from ml.data.dataset_pointers import newest_dataset_of
from ml.data.datasets import read_dataset
from ml.data.stored import read_object
from ml.series import Series
from ml.store import Store
from ml.timeframes import utc_text
from ml.version import code_version

FOLDER = "agents"
#: Most seconds of one fit, unless another number is asked for.
SECONDS = 300.0


def run_agent(
    workspace: Workspace, series: tuple[str, str], preset: PresetName, seeds: int, seconds: float = SECONDS
) -> AgentRecord:
    """Train the agents of a preset and report their mean.

    Args:
        workspace: with the dataset.
        series: symbol and timeframe.
        preset: settings of the agents.
        seeds: number of agents, with the seeds 0, 1, 2, ...
        seconds: most of one fit; a fit that is ended by it is not repeatable to the bit.

    Raises:
        CaseError: there is no dataset of the series, or it has too few candles or none of the features.
    """
    store = workspace.store
    dataset_id = newest_dataset_of(store, *series)
    key = digest([dataset_id, preset, asdict(PRESETS[preset]), seeds, seconds, code_version()])[:32]
    path = f"{FOLDER}/{key}.json"
    if store.exists(path):
        return read_agent(store, path)
    dataset, settings = read_dataset(store, dataset_id), PRESETS[preset]
    parts = parts_of(dataset, settings)  # refused before a worker is started
    processes = min(seeds, os.cpu_count() or 1)
    with LocalPool(processes, workspace.logs / "workers.log") as pool, ThreadPoolExecutor(processes) as threads:
        fit = partial(pool.run, fit_on, workspace.store_url, dataset_id, preset, seconds)
        fitted = list(threads.map(fit, range(seeds)))
    first = utc_text(int(dataset.open_time_ms[parts.validate[0]]))
    openings = 1 + sum(last >= first for _, last in _spans(store, dataset.series))
    record = report(dataset, (preset, settings), fitted, openings, code_version())
    store.create(path, canonical_json(record).encode())
    return record


def fit_on(store_url: str, dataset_id: str, preset: PresetName, seconds: float, seed: int) -> Fitted:
    """A job for a worker process: see `ml.agent.fit.fit_seed`."""
    from ml.agent.fit import fit_seed  # noqa: PLC0415 - loads TensorFlow
    from ml.agent.training import Limits  # noqa: PLC0415

    dataset = read_dataset(Store(store_url), dataset_id)
    return fit_seed(dataset, PRESETS[preset], seed, Limits(seconds, time.monotonic))


def read_agent(store: Store, path: str) -> AgentRecord:
    """A stored record."""
    remedy = "Delete it and run `candleworks agent` again."
    record: AgentRecord = read_object(store, path, {"start_time": str, "end_time": str}, remedy)
    return record


def _spans(store: Store, series: Series) -> list[tuple[str, str]]:
    """First and last open time of every report on candles of a series that chose nothing."""
    records = [read_agent(store, path) for path in store.list(FOLDER)]
    spans = [(one["start_time"], one["end_time"]) for one in records if series.key.items() <= one.items()]
    return spans + holdout_spans(store).get(series, [])


def sentence(record: AgentRecord) -> str:
    """The outcome in one sentence: costs and luck first."""
    lower, upper = record["over_holding_lower_pct"], record["over_holding_upper_pct"]
    spread = "too few days for a range" if lower is None or upper is None else f"{lower:+.1f} to {upper:+.1f} %"
    trades = sum(one["trades"] for one in record["seeds"])
    count = len(record["seeds"])
    reports = "the only report" if record["openings"] == 1 else f"report {record['openings']}"
    return (
        f"After {record['fee'] + record['slippage']:.2%} a side, on {record['start_time'][:10]} to "
        f"{record['end_time'][:10]}: {100 * (record['mean']['validate'] - 1):+.1f} % in the mean of {count} seeds, "
        f"buy & hold {100 * (record['holding']['validate'] - 1):+.1f} %, 90 % range of the gain over holding {spread}; "
        f"{trades:,} trades; {reports} on these candles: "
        + (f"{record['reason']}." if record["is_promoted"] else f"not promoted, {record['reason']}.")
    )
