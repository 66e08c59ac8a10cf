"""Evidence on trading: the rules of the built-in signals on recorded candles that were searched, each reported once.

The home is that of `candleworks evidence`. As in a nightly run, the best case that learns the close is the source of
each signal, its thresholds are chosen on validation by walk-forward, and the rule is reported on the holdout, which
chose nothing. Nothing is written into the home.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from flows.pools.local_pool import LocalPool
from flows.reporting import Reporter
from flows.studies.evidence import SYMBOLS
from ml.data.dataset_pointers import current_datasets
from ml.data.datasets import read_dataset
from ml.errors import CaseError, StoreError
from ml.execution.results import read_results
from ml.promotion.finalists import best_result
from ml.series import Series
from ml.store import Store
from ml.timeframes import milliseconds
from ml.trading.costs import Costs
from ml.trading.luck import SHOWN_LEVEL
from ml.trading.records import RuleRecord, TradingFigures
from ml.trading.scores import FittedCases
from ml.trading.selection import Reports, Trader, select_rule
from ml.trading.signals import read_signals
from ml.trading.sources import cases_of


@dataclass(frozen=True)
class SeriesRules:
    """The rules of one series, and the reasons why signals have none."""

    rules: list[RuleRecord]
    without: list[str]


@dataclass(frozen=True)
class Searched:
    """The newest dataset of a series that was searched."""

    store_url: str
    series: Series
    dataset_id: str


def rule_evidence(home: Path, costs: Costs, processes: int, reporter: Reporter) -> SeriesRules:
    """The rules of all series that were searched in a home, by market, timeframe and signal.

    Args:
        home: of `candleworks evidence`, or a workspace.
        costs: of each fill.
        processes: worker processes; 0: one per core.
        reporter: receives the progress.

    Raises:
        StoreError: nothing was searched there.
    """
    searched = searched_in(home)
    with reporter.step("rules") as step, LocalPool(processes) as pool, ThreadPoolExecutor(pool.size) as threads:
        found = []
        for done in threads.map(partial(pool.run, rules_on), searched, [costs] * len(searched)):
            found.append(done)
            step.count(len(found), len(searched))
        step.say(f"{len(searched)} series")
    rules = [rule for one in found for rule in one.rules]
    return SeriesRules(rules, [reason for one in found for reason in one.without])


def searched_in(home: Path) -> list[Searched]:
    """The series that were searched in a home or in its folders, each of which has a store; large markets first.

    Raises:
        StoreError: there is none, or two stores have searched the same series.
    """
    found: dict[Series, Searched] = {}
    for folder in (home, *sorted(home.glob("*/"))):
        if not (folder / "store").is_dir():
            continue
        store = Store(folder / "store")
        for series, dataset_id in current_datasets(store).items():
            if best_result(read_results(store, dataset_id)) is None:
                continue
            if series in found:
                raise StoreError(f"{home} has two searches of {series}. Name the folder of one of them with --home.")
            found[series] = Searched(store.url, series, dataset_id)
    if not found:
        raise StoreError(f"Nothing was searched in {home}. Run `candleworks evidence` first, or name its --home.")
    return sorted(found.values(), key=_place)


def _place(searched: Searched) -> tuple[int, str, int]:
    symbol, timeframe = searched.series.symbol, searched.series.timeframe
    return SYMBOLS.index(symbol) if symbol in SYMBOLS else len(SYMBOLS), symbol, milliseconds(timeframe)


def rules_on(searched: Searched, costs: Costs) -> SeriesRules:
    """The rules of the built-in signals on one dataset; runs in a worker process."""
    store, series = Store(searched.store_url), searched.series
    results, fitted = read_results(store, searched.dataset_id), FittedCases(read_dataset(store, searched.dataset_id))
    signals = [one for one in read_signals([]) if one.concerns(series.symbol, series.timeframe)]
    reports = Reports(len(signals), int(fitted.dataset.open_time_ms[-1]) + fitted.dataset.timeframe_ms)
    found = SeriesRules([], [])
    for signal in signals:
        trader = Trader(signal, costs)
        try:
            selected = select_rule(trader, fitted.forecasts(cases_of(signal, results)), reports)
        except CaseError as error:
            found.without.append(f"{series} {signal.name}: {error}")
        else:
            key = {"symbol": series.symbol, "timeframe": series.timeframe, "exchange": series.exchange}
            found.rules.append({**selected.record, **key, "signal_key": trader.key})  # type: ignore[typeddict-item]
    return found


def rules_sentence(found: SeriesRules, costs: Costs) -> str:
    """The README's sentence about all rules, costs and luck first."""
    rules = found.rules
    if not rules:
        return "No rule could be chosen, so nothing is said."
    fee, level = costs.rate(0.0) + costs.slippage, rules[0]["level"]
    series = {(rule["symbol"], rule["timeframe"]) for rule in rules}
    shown = sum(rule["is_shown"] for rule in rules)
    passed = sum(rule["p_value"] is not None and rule["p_value"] <= SHOWN_LEVEL for rule in rules)
    before, after = [rule["validation"] for rule in rules], [rule["holdout"] for rule in rules]
    flattered = [rule for rule in rules if _is_above(rule["validation"])]
    kept = sum(_is_above(rule["holdout"]) for rule in flattered)
    lost = sum(one["return_pct"] < 0 for one in after)
    ruined = sum(is_ruined(one) for one in after)
    missing = f" {len(found.without)} more have no rule." if found.without else ""
    return (
        f"After {fee:.1%} a side, {shown} of {len(rules)} rules on {len(series)} series are shown to gain, and to gain "
        f"more than holding, on the holdout: each at the level {level:.2%}, so that of {len(rules)} rules without any "
        f"worth at most {level * len(rules):.1f} are expected to be called shown. On validation {passed} of "
        f"{len(rules)} pass the test of their grid, and {len(flattered)} gain more than nothing and than holding; "
        f"{kept} of these do so on the holdout too. {lost} of {len(rules)} lose on the holdout, where short positions "
        f"ruin {ruined}; the median rule has {_median([one['return_pct'] for one in before]):+.0f} % on validation and "
        f"{_median([one['return_pct'] for one in after]):+.0f} % on the holdout, where holding has "
        f"{_median([one['holding_pct'] for one in after]):+.0f} %.{missing}"
    )


def is_ruined(figures: TradingFigures) -> bool:
    """Whether all of the equity was lost: a position was liquidated."""
    return figures["max_drawdown_pct"] >= 100


def _is_above(figures: TradingFigures) -> bool:
    return figures["return_pct"] > max(figures["holding_pct"], 0.0)


def _median(percents: Sequence[float]) -> float:
    return float(np.median(percents))
