"""The report of the canaries: rates with exact bounds, and whether each canary is alive.

Sets of trials with separate seeds: null markets; range markets, in which the baseline har_range is right; planted edges
at several sample sizes, which determine the size at which the edge is found (the power run); and fresh planted markets
of that size, which confirm it. The canary of the trading chain has no range markets: they have no direction either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from scipy.stats import binomtest

from ml.canaries.markets import Trial
from ml.canaries.selection import Outcome
from ml.canaries.trading import TradingOutcome, mean_gain

#: Each bound holds with this confidence.
CONFIDENCE = 0.95
#: Accepted share of champions on null markets: with 4 of 200 the rate is below 5 % with 95 % confidence.
FALSE_SHARE = 0.02
#: Required share of planted edges that are found.
FOUND_SHARE = 0.9
#: Lag-1 autocorrelation of returns: explains 4 % of the variance of the close, about 1 % of the error.
EDGE = 0.2
#: The same for trading: the mean forecast move is .4 %, twice the fees of a reversal at .1 % a side.
TRADED_EDGE = 0.4
NULL_ROWS = 5_000
POWER_ROWS = (1_000, 2_000, 4_000, 8_000)
# Disjoint seeds per set.
POWER_SEEDS, CONFIRMING_SEEDS, RANGE_SEEDS = 1_000_000, 2_000_000, 3_000_000


class Tried(Protocol):
    """The outcome of a trial."""

    @property
    def trial(self) -> Trial: ...

    @property
    def found(self) -> bool:
        """Whether a champion was crowned, or a rule is called shown."""


T = TypeVar("T", bound=Tried)
Run = Callable[[str, Sequence[Trial]], list[T]]


@dataclass(frozen=True)
class Plan:
    """How many markets of each set, and how large.

    Attributes:
        seeds: null markets, and range markets.
        null_rows: candles of each.
        edge: planted autocorrelation of returns.
        power_rows: sample sizes of the power run, ascending.
        power_seeds: markets of each size.
        confirming_seeds: fresh markets of the size found by the power run.
    """

    seeds: int
    power_seeds: int
    confirming_seeds: int
    null_rows: int = NULL_ROWS
    edge: float = EDGE
    power_rows: tuple[int, ...] = POWER_ROWS

    @classmethod
    def of(cls, seeds: int) -> Plan:
        """One fifth of the seeds for each size of the power run, half of them for the confirmation."""
        return cls(seeds, power_seeds=max(seeds // 5, 10), confirming_seeds=max(seeds // 2, 20))

    @classmethod
    def of_trading(cls, seeds: int) -> Plan:
        """Half as many planted markets, whose rules take longer to choose, with a larger edge."""
        return cls(seeds, power_seeds=max(seeds // 10, 10), confirming_seeds=max(seeds // 4, 20), edge=TRADED_EDGE)


@dataclass(frozen=True)
class Finding:
    """A rate among simulated markets.

    Attributes:
        market: "null", "range" or "planted".
        rule: the selection rule that crowned, or called a trading rule shown.
        rows: candles of each market; 0 if the power run found no size.
        markets: number of markets.
        crowned: number of markets with a champion, or with a trading rule that is called shown.
        lower: exact lower bound of the rate (Clopper-Pearson), one-sided.
        upper: exact upper bound, one-sided.
        asked: the condition that keeps the canary alive, in words; "" if the figure is for information only.
        alive: whether that condition holds; None without a condition.
    """

    market: str
    rule: str
    rows: int
    markets: int
    crowned: int
    lower: float
    upper: float
    asked: str = ""
    alive: bool | None = None


@dataclass(frozen=True)
class Findings:
    """What all canaries found.

    Attributes:
        findings: the canaries, and rates for information.
        cases: number tried on each market.
        named_rows: the sample size from which on the planted edge is found.
    """

    findings: tuple[Finding, ...]
    cases: int
    named_rows: int | None

    @property
    def alive(self) -> bool:
        """Whether no canary died."""
        return all(finding.alive is not False for finding in self.findings)


@dataclass(frozen=True)
class Report(Findings):
    """The canaries of the selection, and skills on null markets as means over these.

    Attributes:
        mean_skill: of all cases.
        picked_skill: of the case with the lowest error, on the rows it was picked on.
        fresh_skill: of that case on the holdout, which played no part in the choice.
    """

    mean_skill: float
    picked_skill: float
    fresh_skill: float


@dataclass(frozen=True)
class TradingReport(Findings):
    """The canaries of the trading chain, and gains over holding on null markets as means over these.

    Attributes:
        rules: number chosen on all null markets, of one per signal.
        wanted: number of null markets times signals.
        picked_pct: of the rule with the highest gain over holding on validation, percent, on validation.
        fresh_pct: of that rule on the holdout, which played no part in the choice.
    """

    rules: int
    wanted: int
    picked_pct: float
    fresh_pct: float


def bounds(count: int, n: int) -> tuple[float, float]:
    """Exact one-sided lower and upper bounds of a rate, given `count` events in `n` trials; (0, 1) for no trials.

    Source: Clopper and Pearson, The use of confidence or fiducial limits (1934).
    """
    if n == 0:
        return 0.0, 1.0
    # The ends of a two-sided interval with twice the error probability.
    interval = binomtest(count, n).proportion_ci(2 * CONFIDENCE - 1, "exact")
    return float(interval.low), float(interval.high)


def _finding(market: str, rule: str, outcomes: Sequence[Tried], crowned: Sequence[bool]) -> Finding:
    n, count = len(outcomes), sum(crowned)
    return Finding(market, rule, outcomes[0].trial.rows, n, count, *bounds(count, n))


def allowed_champions(seeds: int) -> int:
    """Accepted number of false champions; at least 1, since a single one proves nothing."""
    return max(math.floor(FALSE_SHARE * seeds), 1)


def assess_null(outcomes: Sequence[Outcome]) -> list[Finding]:
    """False champions, and for comparison those of weaker rules on the same markets."""
    whole = _finding("null", "whole selection", outcomes, [one.promoted for one in outcomes])
    # Each rule drops one more step of the selection, which shows the worth of that step.
    weaker = {
        "without the holdout": [one.passed for one in outcomes],
        "lowest error, below the baseline's": [one.picked_skill > 0 for one in outcomes],
        "lowest error": [True for _ in outcomes],
    }
    return [_rare(whole), *(_finding("null", rule, outcomes, crowned) for rule, crowned in weaker.items())]


def assess_range(outcomes: Sequence[Outcome]) -> Finding:
    """Champions over har_range in markets in which it is right."""
    return _rare(_finding("range", "whole selection", outcomes, [one.promoted for one in outcomes]))


def assess_null_trading(outcomes: Sequence[TradingOutcome]) -> list[Finding]:
    """Rules that are shown by luck, after fees and without, and for comparison those of weaker tests."""
    weaker = {
        "without the holdout": [one.passed for one in outcomes],
        "gain above holding on the holdout": [one.above for one in outcomes],
    }
    return [
        _rare(_finding("null", "whole choice", outcomes, [one.found for one in outcomes])),
        _rare(_finding("null", "whole choice, no fees", outcomes, [bool(one.shown_free) for one in outcomes])),
        *(_finding("null", rule, outcomes, crowned) for rule, crowned in weaker.items()),
    ]


def _rare(finding: Finding) -> Finding:
    """A canary that is alive if no more than the accepted number was found where there is nothing."""
    at_most = allowed_champions(finding.markets)
    return _asking(finding, f"at most {at_most}", finding.crowned <= at_most)


def _asking(finding: Finding, asked: str, alive: bool) -> Finding:
    return Finding(**{**vars(finding), "asked": asked, "alive": alive})


def assess_planted(outcomes: Sequence[Tried], rule: str) -> Finding:
    """How often the planted edge was found in markets of one size."""
    return _finding("planted", rule, outcomes, [one.found for one in outcomes])


def named_size(power: Sequence[Finding]) -> int | None:
    """The smallest sample size from which on the edge is found often enough; None if there is none."""
    named = None
    for finding in sorted(power, key=lambda finding: finding.rows, reverse=True):
        if finding.crowned < FOUND_SHARE * finding.markets:
            break
        named = finding.rows
    return named


def examine(plan: Plan, run: Run[Outcome]) -> Report:
    """Run all trials of a plan and report on them.

    Args:
        plan: number and size of the markets.
        run: runs the trials of a set under a display name; outcomes in the order of the trials.
    """
    null = run("null markets", null_trials(plan))
    ranges = run(
        "range markets", [Trial(plan.null_rows, RANGE_SEEDS + seed, range_only=True) for seed in range(plan.seeds)]
    )
    planted, size = _planted(plan, run, "whole selection")
    return Report(
        findings=(*assess_null(null), assess_range(ranges), *planted),
        cases=null[0].cases,
        named_rows=size,
        mean_skill=float(np.mean([one.mean_skill for one in null])),
        picked_skill=float(np.mean([one.picked_skill for one in null])),
        fresh_skill=float(np.mean([one.fresh_skill for one in null])),
    )


def examine_trading(plan: Plan, signals: int, run: Run[TradingOutcome]) -> TradingReport:
    """The same for the trading chain, with a number of signals."""
    null = run("null markets", null_trials(plan))
    planted, size = _planted(plan, run, "whole choice")
    return TradingReport(
        findings=(*assess_null_trading(null), *planted),
        cases=null[0].cases,
        named_rows=size,
        rules=sum(one.rules for one in null),
        wanted=signals * len(null),
        picked_pct=mean_gain([one.picked_pct for one in null]),
        fresh_pct=mean_gain([one.fresh_pct for one in null]),
    )


def null_trials(plan: Plan) -> list[Trial]:
    """The null markets of a plan."""
    return [Trial(plan.null_rows, seed) for seed in range(plan.seeds)]


def _planted(plan: Plan, run: Run[T], rule: str) -> tuple[list[Finding], int | None]:
    """The power run and its confirmation, and the size that the power run named."""
    planted = [
        Trial(rows, POWER_SEEDS + number, plan.edge) for rows in plan.power_rows for number in range(plan.power_seeds)
    ]
    found = run("power run", planted)
    power = [assess_planted([one for one in found if one.trial.rows == rows], "power run") for rows in plan.power_rows]
    size = named_size(power)
    return [*power, _confirmed(plan, size, run, rule)], size


def _confirmed(plan: Plan, size: int | None, run: Run[T], rule: str) -> Finding:
    at_least = math.ceil(FOUND_SHARE * plan.confirming_seeds)
    asked = f"at least {at_least}"
    if size is None:
        return Finding("planted", "no size named", 0, 0, 0, *bounds(0, 0), asked=asked, alive=False)
    trials = [Trial(size, CONFIRMING_SEEDS + number, plan.edge) for number in range(plan.confirming_seeds)]
    confirmed = assess_planted(run("confirmation", trials), rule)
    return _asking(confirmed, asked, confirmed.crowned >= at_least)
