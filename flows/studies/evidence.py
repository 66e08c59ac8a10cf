"""Evidence: the value of the whole search on recorded candles, one record per series.

Each market is searched as of its own last candle, as in a nightly run: all cases of the search spaces, evaluated with
regular refits, the significance of the search, the promotion gate. What serves then, a case or the baseline, is shown
on the holdout, on which nothing was selected: the last 20 % of the candles, refitted on the way as in live use.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict, cast

from rich.console import Console

from flows.replay import RecordedCandles, ReplayClock, ReplayServer
from flows.reporting import Reporter
from flows.server.flow_runs import run_flow
from flows.server.prefect_server import prefect_settings
from flows.settings import Overrides, load_settings
from flows.warehouse.export import require_datasets
from flows.workspace.workspace import Workspace
from ml.data.datasets import read_dataset
from ml.evaluation.preparation import REFIT_DAYS
from ml.execution.results import read_results
from ml.forecasting.chain import Chain
from ml.metrics.prices import BEYOND_LUCK
from ml.promotion.finalists import best_result, learns_close
from ml.promotion.served import DirectionFigures, ServedFigures, direction_figures, served_figures
from ml.records import ResultRow, VerdictRecord
from ml.search.cases import TestCase
from ml.series import Series
from ml.store import Store
from ml.timeframes import milliseconds

SYMBOLS = ("BTC/USDT", "ETH/USDT", "BNB/USDT", "SOL/USDT", "ADA/USDT", "LTC/USDT")


class Directions(TypedDict):
    """The direction of the close on the holdout, by the best case on validation that learns it; null if none does."""

    direction_accuracy: float | None
    direction_se: float | None
    direction_net_pct: float | None
    holding_pct: float | None
    over_holding_t: float | None


class SeriesEvidence(ServedFigures, Directions):
    """The search on one series, the verdict (null if none), and the holdout as the promoted case or baseline serves."""

    symbol: str
    timeframe: str
    #: What serves: a model, or the baseline by its name.
    model: str
    #: Of the best case, on validation.
    selection_skill: float
    n_trials: int
    spa_p_value: float | None
    decision: str | None
    reason: str | None


def evidence_records(workspace: Workspace, reporter: Reporter) -> list[SeriesEvidence]:
    """One record per series that was searched."""
    verdicts: list[VerdictRecord] = [record["body"] for record in Chain(workspace.store, "verdicts").records()]
    p_values, datasets = _p_values(workspace), require_datasets(workspace)
    searched = {series: best for series, manifest in datasets.items() if (best := _best(workspace, manifest["id"]))}
    serving = {series: _promoted(verdicts, best) for series, best in searched.items()}
    figures = _served(workspace, {series: datasets[series]["id"] for series in searched}, serving, reporter)
    directions = _directions(workspace, {series: datasets[series]["id"] for series in searched})
    found: list[SeriesEvidence] = []
    for series, best in searched.items():
        dataset_id = datasets[series]["id"]
        mine = [one for one in verdicts if (one["case_key"], one["dataset_id"]) == (best["case_key"], dataset_id)]
        verdict, served = (mine[-1] if mine else None), figures[series]
        found.append(
            {
                "symbol": series.symbol,
                "timeframe": series.timeframe,
                "model": best["model"] if serving[series] else served["baseline"],
                "selection_skill": best["skill"],
                "n_trials": _chosen_from(read_results(workspace.store, dataset_id)),
                "spa_p_value": p_values.get(dataset_id),
                "decision": verdict["decision"] if verdict else None,
                "reason": verdict["reason"] if verdict else None,
                **served,
                **directions[series],
            }
        )
    return found


def _best(workspace: Workspace, dataset_id: str) -> ResultRow | None:
    """The best ranked result of a dataset; None if there is none."""
    return best_result(read_results(workspace.store, dataset_id))


def _promoted(verdicts: Sequence[VerdictRecord], best: ResultRow) -> str | None:
    """Description of the best case if it was promoted, else None: the baseline serves."""
    promoted = {one["case_key"] for one in verdicts if one["decision"] == "promoted"}
    return best["case_json"] if best["case_key"] in promoted else None


def served_on(store_url: str, dataset_id: str, case_json: str | None) -> ServedFigures:
    """The figures of a case, or of the baseline, on the holdout of a dataset; runs in a worker process."""
    case = None if case_json is None else TestCase.model_validate_json(case_json)
    return served_figures(read_dataset(Store(store_url), dataset_id), case)


def directions_on(store_url: str, dataset_id: str, case_json: str) -> DirectionFigures:
    """The direction of the close on the holdout of a dataset; runs in a worker process."""
    return direction_figures(read_dataset(Store(store_url), dataset_id), TestCase.model_validate_json(case_json))


def _directions(workspace: Workspace, dataset_ids: dict[Series, str]) -> dict[Series, Directions]:
    """The direction of the close per series, by the best case that learns it."""
    found: dict[Series, Directions] = {}
    with workspace.local_pool() as pool:
        for series, dataset_id in dataset_ids.items():
            best = best_result(row for row in read_results(workspace.store, dataset_id) if learns_close(row))
            if best is None:
                found[series] = cast(Directions, dict.fromkeys(Directions.__annotations__))
                continue
            figures = pool.run(directions_on, workspace.store_url, dataset_id, best["case_json"])
            found[series] = cast(Directions, figures)
    return found


def _served(
    workspace: Workspace, dataset_ids: dict[Series, str], serving: dict[Series, str | None], reporter: Reporter
) -> dict[Series, ServedFigures]:
    with reporter.step("holdout as served") as step, workspace.local_pool() as pool:

        def one(series: Series) -> ServedFigures:
            return pool.run(served_on, workspace.store_url, dataset_ids[series], serving[series])

        figures: dict[Series, ServedFigures] = {}
        with ThreadPoolExecutor(pool.size) as threads:
            for series, found in zip(serving, threads.map(one, serving), strict=True):
                figures[series] = found
                step.count(len(figures), len(serving))
        step.say(f"{len(figures)} series, refitted every {REFIT_DAYS} days")
    return figures


def _chosen_from(results: Sequence[ResultRow]) -> int:
    """Distinct cases that were tried and could have been selected, failed ones too: all but the walk-forwards."""
    return len({row["case_key"] for row in results if json.loads(row["case_json"]).get("walk_forward") is None})


def _p_values(workspace: Workspace) -> dict[str, float]:
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        rows = connection.execute("select dataset_id, any_value(spa_p_value) from raw.significance group by all")
        return dict(rows.fetchall())


def close_sentence(records: Sequence[SeriesEvidence]) -> str:
    """The README's sentence about the close and the range, from the records."""
    if not records:
        return "No series was searched, so nothing is said."
    closes = [row["skill_close"] for row in records]
    ranges = [one for row in records for one in (row["skill_high"], row["skill_low"])]
    better, models = sum(row["skill_lower"] > 0 for row in records), sum(row["skill"] != 0 for row in records)
    found = (
        f"On the holdout of {len(records)} series the served forecasts gain between {min(ranges):+.1%} and "
        f"{max(ranges):+.1%} on high and low against the EWMA range, and between {min(closes):+.2%} and "
        f"{max(closes):+.2%} on the close. A model serves on {models} of them; on {better} its gain over the best "
        "baseline is beyond the variation between days."
    )
    called = [row for row in records if row["direction_accuracy"] is not None]
    if called:
        shares = [cast(float, row["direction_accuracy"]) for row in called]
        better = sum(cast(float, row["over_holding_t"]) > BEYOND_LUCK for row in called)
        found += (
            f" The direction of the close, where it is learnt, is right on {min(shares):.1%} to {max(shares):.1%} of "
            f"the candles; traded at 0.1 % a side it gains more than holding, beyond luck, on {better} of "
            f"{len(called)} series."
        )
    return found if max(closes) < 0.01 else f"{found} Such a gain on a close: look for a leak before you believe it."


def gather(
    home: Path, candles: Path, config: Path | None, symbols: Sequence[str], timeframes: Sequence[str], console: Console
) -> list[SeriesEvidence]:
    """Search and walk forward all markets, each as of its own last candle; markets with the same end share a home.

    In a home are also the candles that the other markets had by then: cases may learn from them.

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
            known = [symbol for last_ms, some in ends.items() if last_ms >= end_ms for symbol in some]
            markets = {"symbols": known, "timeframes": list(timeframes)}
            overrides: Overrides = {"combine": {"sources": []}, "markets": markets}
            records += _as_of(place, candles, config, overrides, end_ms, together, run)
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
    home: Path,
    candles: Path,
    config: Path | None,
    overrides: Overrides,
    end_ms: int,
    symbols: Sequence[str],
    run: Callable[..., Any],
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
        only = [series for series in workspace.settings.series() if series.symbol in symbols]
        run("evidence-search", lambda _, reporter: run_search(workspace, reporter, only))
        records: list[SeriesEvidence] = run(
            "evidence-holdout", lambda _, reporter: evidence_records(workspace, reporter)
        )
    return records
