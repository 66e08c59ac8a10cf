"""Evidence: the value of the whole search on recorded candles, evaluated as in live use, one record per series.

Each market is searched as of its own last candle, as in a nightly run: all cases of the search spaces, the
significance of the search, the promotion gate. Then the finalists walk forward through the years before the holdout,
refitted every 30 days as in live use. Finalists were selected on a part of those years; the SPA p-value and the
holdout, on which nothing was selected, account for the selection among N cases.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
from rich.console import Console

from flows.pools.chunk_job import do_chunk
from flows.replay import RecordedCandles, ReplayClock, ReplayServer
from flows.reporting import Reporter
from flows.server.flow_runs import run_flow
from flows.server.prefect_server import prefect_settings
from flows.settings import Overrides, load_settings
from flows.warehouse.export import require_datasets
from flows.workspace.workspace import Workspace
from ml.execution.chunks import Chunk
from ml.execution.results import read_results
from ml.forecasting.chain import Chain
from ml.promotion.finalists import finalists
from ml.promotion.significance import block_length, resampled_days, skill_interval
from ml.records import ResultRow, VerdictRecord
from ml.search.cases import TestCase, WalkForward
from ml.timeframes import DAY_MS, milliseconds

SYMBOLS = ("BTC/USDT", "ETH/USDT", "BNB/USDT", "SOL/USDT", "ADA/USDT", "LTC/USDT")
REFIT_DAYS = 30
YEAR_DAYS = 365
#: Series of at least this many years walk forward through two years, shorter ones through one.
LONG_YEARS = 4
#: Largest share of a series for the walk-forward, so that enough train rows precede it.
LARGEST_WALK = 0.5
HOLDOUT = 0.2


class WalkedFigures(TypedDict, total=False):
    """Figures of a walk-forward, with the 90 % interval of its skill over the days; null if it failed."""

    skill: float | None
    skill_high: float | None
    skill_low: float | None
    skill_close: float | None
    band_coverage: float | None
    skill_lower: float | None
    skill_upper: float | None
    walked_days: int | None


class SeriesEvidence(WalkedFigures, total=False):
    """The search on one series: its best case, the walk-forward of that case, and the verdict (null if none)."""

    symbol: str
    timeframe: str
    model: str
    baseline: str
    selection_skill: float
    n_trials: int
    spa_p_value: float | None
    holdout_skill: float | None
    decision: str | None
    reason: str | None


def walking(case: TestCase, rows: int, timeframe_ms: int) -> TestCase:
    """The case as a walk-forward over the last two years before the holdout, or over the last one of a short series.

    Args:
        case: a case with a single fit.
        rows: of its dataset.
        timeframe_ms: length of a candle.
    """
    day = DAY_MS // timeframe_ms
    years = 2 if rows >= LONG_YEARS * YEAR_DAYS * day else 1
    validation = min(round(years * YEAR_DAYS * day / rows, 4), LARGEST_WALK)
    changes = {
        "walk_forward": WalkForward(refit_every=REFIT_DAYS * day, rolling=False),
        "validation_fraction": validation,
        "train_fraction": round(1 - HOLDOUT - validation, 4),
    }
    return TestCase(**{**case.model_dump(), **changes})


def finalist_cases(results: Sequence[ResultRow]) -> list[TestCase]:
    """The finalist cases of a series, the best one first."""
    by_key = {row["case_key"]: row for row in results}
    return [TestCase(**json.loads(by_key[one.case_key]["case_json"])) for one in finalists(results)]


def walk_finalists(workspace: Workspace, reporter: Reporter) -> None:
    """Evaluate the finalists of all series by walk-forward, except cases that have a result already."""
    store, settings = workspace.store, workspace.settings.sweep
    chunks = [
        Chunk(manifest["id"], (walking(case, manifest["rows"], manifest["timeframe_ms"]),))
        for manifest in require_datasets(workspace).values()
        for case in finalist_cases(read_results(store, manifest["id"]))
    ]
    limits = settings.case_limits
    with reporter.step("walk forward") as step, workspace.local_pool() as pool:

        def walk(chunk: Chunk) -> None:
            pool.run(do_chunk, workspace.store_url, chunk, settings.lease_seconds, limits)

        with ThreadPoolExecutor(pool.size) as threads:
            for done, _ in enumerate(threads.map(walk, chunks), 1):
                step.count(done, len(chunks))
        step.say(f"{len(chunks)} finalists, refitted every {REFIT_DAYS} days")


def evidence_records(workspace: Workspace) -> list[SeriesEvidence]:
    """One record per series that was searched and evaluated by walk-forward."""
    verdicts: list[VerdictRecord] = [record["body"] for record in Chain(workspace.store, "verdicts").records()]
    p_values = _p_values(workspace)
    found: list[SeriesEvidence] = []
    for series, manifest in require_datasets(workspace).items():
        results = read_results(workspace.store, manifest["id"])
        chosen = finalist_cases(results)
        if not chosen:
            continue
        walk = walking(chosen[0], manifest["rows"], manifest["timeframe_ms"]).key
        by_key = {row["case_key"]: row for row in results}
        best = by_key[chosen[0].key]
        mine = [one for one in verdicts if (one["case_key"], one["dataset_id"]) == (chosen[0].key, manifest["id"])]
        verdict = mine[-1] if mine else None
        found.append(
            {
                "symbol": series.symbol,
                "timeframe": series.timeframe,
                "model": best["model"],
                "baseline": best["baseline"],
                "selection_skill": best["skill"],
                "n_trials": _chosen_from(results),
                "spa_p_value": p_values.get(manifest["id"]),
                **_walked(by_key.get(walk)),
                "holdout_skill": verdict["holdout_skill"] if verdict else None,
                "decision": verdict["decision"] if verdict else None,
                "reason": verdict["reason"] if verdict else None,
            }
        )
    return found


def _chosen_from(results: Sequence[ResultRow]) -> int:
    """Distinct cases that were tried and could have been selected, failed ones too: all but the walk-forwards."""
    return len({row["case_key"] for row in results if json.loads(row["case_json"]).get("walk_forward") is None})


def _p_values(workspace: Workspace) -> dict[str, float]:
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        rows = connection.execute("select dataset_id, any_value(spa_p_value) from raw.significance group by all")
        return dict(rows.fetchall())


def _walked(walk: ResultRow | None) -> WalkedFigures:
    if walk is None or walk["status"] != "tested":
        return cast(WalkedFigures, dict.fromkeys(WalkedFigures.__annotations__))
    losses, baseline = (np.array(values, dtype=np.float64) for values in (walk["loss_model"], walk["loss_baseline"]))
    weights = resampled_days(len(losses), block_length(baseline))
    lower, upper = skill_interval(losses[:, None], baseline[:, None], weights)[:, 0]
    return {
        "skill": walk["skill"],
        "skill_high": walk["skill_high"],
        "skill_low": walk["skill_low"],
        "skill_close": walk["skill_close"],
        "band_coverage": walk["band_coverage"],
        "skill_lower": float(lower),
        "skill_upper": float(upper),
        "walked_days": len(losses),
    }


def close_sentence(records: Sequence[SeriesEvidence]) -> str:
    """The README's sentence about the close, from the records."""
    skills = [row["skill_close"] for row in records if row["skill_close"] is not None]
    ranges = [one for row in records for one in (row["skill_high"], row["skill_low"]) if one is not None]
    if not skills:
        return "No walk has a result, so nothing is said about the close."
    better = sum(one > 0 for one in skills)
    return (
        f"Walking forward, the best case of each of {len(skills)} series gains between {min(skills):+.2%} and "
        f"{max(skills):+.2%} on the close (above 0 in {better} of them), and between {min(ranges):+.1%} and "
        f"{max(ranges):+.1%} on high and low: the range of a candle can be foreseen, its close cannot."
        if max(skills) < 0.01
        else f"The close is forecast better than by the last close in {better} of {len(skills)} series, by at most "
        f"{max(skills):+.2%}: look for a leak before you believe it."
    )


def gather(
    home: Path, candles: Path, config: Path | None, symbols: Sequence[str], timeframes: Sequence[str], console: Console
) -> list[SeriesEvidence]:
    """Search and walk forward all markets, each as of its own last candle; markets with the same end share a home.

    Existing results are not computed again.

    Raises:
        CandleDataError: there are no candles of a market.
        ConfigurationError: the settings are wrong.
    """
    ends = _by_end(candles, config, symbols)
    records: list[SeriesEvidence] = []
    with run_flow(Workspace(home, load_settings(config)), console) as run:
        for end_ms, together in ends.items():
            place = home / f"{datetime.fromtimestamp(end_ms / 1000, UTC):%Y-%m-%d}"
            markets = {"symbols": together, "timeframes": list(timeframes)}
            overrides: Overrides = {"combine": {"sources": []}, "markets": markets}
            records += _as_of(place, candles, config, overrides, end_ms, run)
    return sorted(records, key=lambda row: (symbols.index(row["symbol"]), timeframes.index(row["timeframe"])))


def _by_end(candles: Path, config: Path | None, symbols: Sequence[str]) -> dict[int, list[str]]:
    """End of the candles (ms) -> the markets that end then."""
    settings = load_settings(config)
    source, timeframe = RecordedCandles(candles, settings.exchange.id), settings.markets.base_timeframe
    found: dict[int, list[str]] = {}
    for symbol in symbols:
        last_ms = int(source.candles(symbol, timeframe).open_time_ms[-1])
        found.setdefault(last_ms + milliseconds(timeframe), []).append(symbol)
    return found


def _as_of(
    home: Path, candles: Path, config: Path | None, overrides: Overrides, end_ms: int, run: Callable[..., Any]
) -> list[SeriesEvidence]:
    """Markets as of the end of their candles; `run` runs a function as a flow (`flows.server.flow_runs`)."""
    from flows.pipeline import run_search  # noqa: PLC0415 - after the environment is set

    source = RecordedCandles(candles, load_settings(config, overrides).exchange.id)
    with (
        ReplayServer(source, ReplayClock(end_ms)) as server,
        prefect_settings({"CANDLEWORKS_EXCHANGE__BASE_URL": server.url}),
    ):
        workspace = Workspace(home, load_settings(config, overrides))
        workspace.check_writable()
        run("evidence-search", lambda _, reporter: run_search(workspace, reporter))
        run("evidence-walk", lambda _, reporter: walk_finalists(workspace, reporter))
    return evidence_records(workspace)
