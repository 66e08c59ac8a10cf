"""Canaries of the trading chain: the whole choice of trading rules on markets with a known truth.

On each market every case of a field is evaluated, the best one that learns the close is the source of every signal,
thresholds are chosen on validation, and each rule is reported once on the holdout, with the functions of the nightly
run. Where the market is a random walk nothing gains more than holding but by luck, so no rule should be called shown.
Fees alone would keep most rules from that; each null market is therefore traded without fees too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from ml.canaries.markets import Trial, canary_market
from ml.canaries.search import search_market
from ml.data.datasets import Dataset
from ml.errors import CaseError
from ml.records import ResultRow
from ml.trading.costs import Costs
from ml.trading.luck import SHOWN_LEVEL
from ml.trading.records import RuleRecord, TradingFigures
from ml.trading.scores import CaseForecasts, FittedCases
from ml.trading.selection import Reports, Selected, Trader, select_rule
from ml.trading.signals import Signal
from ml.trading.sources import cases_of


@dataclass(frozen=True)
class RuleChoice:
    """The steps of a choice of rules. Tests replace one by a broken one to show that a canary dies of it.

    Attributes:
        signals: for each of which a rule is chosen.
        costs: of each fill.
        select: chooses the thresholds of a signal and reports them.
        market: makes the market of a trial.
    """

    signals: tuple[Signal, ...]
    costs: Costs
    select: Callable[[Trader, Sequence[CaseForecasts], Reports], Selected] = select_rule
    market: Callable[[Trial], Dataset] = canary_market


@dataclass(frozen=True)
class TradingOutcome:
    """The outcome of a trial.

    Attributes:
        cases: number tried.
        rules: signals for which thresholds could be chosen.
        shown: names of the signals whose rule is called shown: it gains, and gains more than holding.
        passed: whether the grid of a signal passed its test on validation, before the holdout was read.
        above: whether a rule gained more than nothing and than holding on the holdout, by any amount.
        shown_free: as `shown`, traded without fees and slippage; empty with a planted edge.
        picked_pct: gain over holding of the rule with the highest one on validation, percent, on validation.
        fresh_pct: its gain over holding on the holdout.
    """

    trial: Trial
    cases: int
    rules: int
    shown: tuple[str, ...]
    passed: bool
    above: bool
    shown_free: tuple[str, ...]
    picked_pct: float
    fresh_pct: float

    @property
    def found(self) -> bool:
        """Whether any rule is called shown."""
        return bool(self.shown)


def run_trading_trial(trial: Trial, choice: RuleChoice) -> TradingOutcome:
    """Simulate a market, search it, and choose the rules of all signals. Deterministic in its arguments.

    Raises:
        CaseError: a case failed, so the choice cannot be assessed.
    """
    dataset = choice.market(trial)
    results = search_market(trial, dataset)
    fitted = FittedCases(dataset)
    rules = _rules(fitted, results, choice, choice.costs)
    free = [] if trial.edge else _rules(fitted, results, choice, Costs.flat(0.0))
    picked = max(rules, key=lambda rule: rule["validation"]["over_holding_pct"], default=None)
    return TradingOutcome(
        trial=trial,
        cases=len(results),
        rules=len(rules),
        shown=_shown(rules),
        passed=any(rule["p_value"] is not None and rule["p_value"] <= SHOWN_LEVEL for rule in rules),
        above=any(_is_above(rule["holdout"]) for rule in rules),
        shown_free=_shown(free),
        picked_pct=picked["validation"]["over_holding_pct"] if picked else 0.0,
        fresh_pct=picked["holdout"]["over_holding_pct"] if picked else 0.0,
    )


def _rules(fitted: FittedCases, results: Sequence[ResultRow], choice: RuleChoice, costs: Costs) -> list[RuleRecord]:
    """The rules of all signals; a signal whose scores do not differ has none, as in the nightly run."""
    reports = Reports(openings=len(choice.signals), now_ms=int(fitted.dataset.open_time_ms[-1]))
    found = []
    for signal in choice.signals:
        cases = fitted.forecasts(cases_of(signal, results))
        with suppress(CaseError):
            found.append(choice.select(Trader(signal, costs), cases, reports).record)
    return found


def _shown(rules: Sequence[RuleRecord]) -> tuple[str, ...]:
    return tuple(rule["signal"] for rule in rules if rule["is_shown"])


def _is_above(figures: TradingFigures) -> bool:
    return figures["trades"] > 0 and figures["return_pct"] > max(figures["holding_pct"], 0.0)


def mean_gain(percents: Sequence[float]) -> float:
    """The gain, percent, whose logarithm is the mean of those of all gains.

    >>> round(mean_gain([100.0, -50.0]), 9)
    0.0
    """
    return 100 * float(np.expm1(np.mean(np.log1p(np.array(percents) / 100))))
