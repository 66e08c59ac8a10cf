"""What the canaries say: bounds, limits and the size at which an edge is found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ml.canaries.markets import Trial
from ml.canaries.report import (
    CONFIRMING_SEEDS,
    POWER_SEEDS,
    RANGE_SEEDS,
    Plan,
    Report,
    TradingReport,
    allowed_champions,
    assess_null,
    assess_planted,
    bounds,
    examine,
    examine_trading,
    named_size,
)
from ml.canaries.selection import Outcome
from ml.canaries.trading import TradingOutcome

SIZES = (1_000, 2_000, 4_000)


def outcome(trial: Trial, promoted: bool = False, *, passed: bool = False, picked: float = 0.001) -> Outcome:
    return Outcome(trial, 52, promoted, passed or promoted, "", -0.005, picked, fresh_skill=-0.002)


def test_bounds_are_exact() -> None:
    # By hand: with no success in n trials the upper bound is 1 - 0.05^(1 / n), and mirrored with nothing but.
    assert bounds(0, 200) == pytest.approx((0, 1 - 0.05 ** (1 / 200)))
    assert bounds(30, 30) == pytest.approx((0.05 ** (1 / 30), 1))
    assert bounds(0, 0) == (0, 1)
    # At the limit the rate of false champions is below 5 %, one more and it need not be.
    assert bounds(4, 200)[1] < 0.05 < bounds(5, 200)[1]


def test_four_of_two_hundred_are_let_pass_and_not_one_more() -> None:
    assert [allowed_champions(seeds) for seeds in (1, 20, 100, 200, 249, 250)] == [1, 1, 2, 4, 4, 5]
    for champions, alive in ((4, True), (5, False)):
        outcomes = [outcome(Trial(5_000, seed), seed < champions) for seed in range(200)]
        whole = assess_null(outcomes)[0]
        assert (whole.crowned, whole.alive, whole.asked) == (champions, alive, "at most 4")


def test_weaker_rules_stand_beside_for_contrast_and_cannot_die() -> None:
    outcomes = [
        outcome(Trial(5_000, seed), passed=seed < 3, picked=0.001 if seed < 6 else -0.001) for seed in range(10)
    ]
    findings = assess_null(outcomes)
    assert [finding.crowned for finding in findings] == [0, 3, 6, 10]
    assert [finding.alive for finding in findings] == [True, None, None, None]


@pytest.mark.parametrize(
    ("found", "size"),
    [((10, 10, 10), 1_000), ((2, 9, 10), 2_000), ((2, 8, 9), 4_000), ((0, 1, 8), None), ((9, 8, 10), 4_000)],
)
def test_the_named_size_is_the_smallest_from_which_on_the_edge_is_found(
    found: tuple[int, ...], size: int | None
) -> None:
    power = [
        assess_planted([outcome(Trial(rows, seed, 0.2), seed < count) for seed in range(10)], "power run")
        for rows, count in zip(SIZES, found, strict=True)
    ]
    assert named_size(power) == size


def examined(
    *, false: int, power_from: int, confirmed: int, ranges: int = 4
) -> tuple[Report, list[tuple[str, list[Trial]]]]:
    """A report on a selection that crowns as told, and the sets of trials that it was asked about."""
    asked: list[tuple[str, list[Trial]]] = []

    def run(name: str, trials: Sequence[Trial]) -> list[Outcome]:
        asked.append((name, list(trials)))
        promoted = {
            "null markets": lambda trial: trial.seed < false,
            "range markets": lambda trial: trial.range_only and trial.seed - RANGE_SEEDS < ranges,
            "power run": lambda trial: trial.rows >= power_from,
            "confirmation": lambda trial: trial.seed - CONFIRMING_SEEDS < confirmed,
        }[name]
        return [outcome(trial, promoted(trial)) for trial in trials]

    return examine(Plan(200, power_seeds=10, confirming_seeds=50, power_rows=SIZES), run), asked


@pytest.mark.parametrize(
    ("false", "power_from", "confirmed", "ranges", "alive"),
    [
        (4, 2_000, 45, 4, True),
        (5, 2_000, 50, 0, False),
        (0, 2_000, 44, 0, False),
        (0, 9_999, 50, 0, False),
        (0, 2_000, 50, 5, False),
    ],
)
def test_one_dead_canary_is_enough(false: int, power_from: int, confirmed: int, ranges: int, alive: bool) -> None:
    report, _ = examined(false=false, power_from=power_from, confirmed=confirmed, ranges=ranges)
    assert report.alive is alive
    assert report.named_rows == (2_000 if power_from == 2_000 else None)
    assert (report.cases, report.mean_skill) == pytest.approx((52, -0.005))
    assert (report.picked_skill, report.fresh_skill) == pytest.approx((0.001, -0.002))


def test_what_is_confirmed_is_confirmed_on_fresh_markets_of_the_named_size() -> None:
    _, asked = examined(false=0, power_from=2_000, confirmed=50)
    sets = {name: trials for name, trials in asked}
    assert [(trial.rows, trial.edge) for trial in sets["null markets"]] == [(5_000, 0.0)] * 200
    assert [(trial.rows, trial.range_only) for trial in sets["range markets"]] == [(5_000, True)] * 200
    assert {trial.seed for trial in sets["power run"]} == set(range(POWER_SEEDS, POWER_SEEDS + 10))
    assert {trial.rows for trial in sets["confirmation"]} == {2_000}
    assert not {trial.seed for trial in sets["confirmation"]} & {trial.seed for trial in sets["power run"]}


def test_a_plan_counts_the_planted_markets_by_the_null_ones() -> None:
    assert Plan.of(200) == Plan(200, power_seeds=40, confirming_seeds=100)
    assert Plan.of(5) == Plan(5, power_seeds=10, confirming_seeds=20)
    assert Plan.of_trading(200) == Plan(200, power_seeds=20, confirming_seeds=50, edge=0.4)
    assert Plan.of_trading(5) == Plan(5, power_seeds=10, confirming_seeds=20, edge=0.4)


def traded(trial: Trial, shown: bool = False, *, free: bool = False, gain: float = 100.0) -> TradingOutcome:
    names = ("direction", "direction_long") if shown else ()
    free_names = ("direction",) if free else ()
    return TradingOutcome(trial, 52, 3, names, shown or trial.seed < 20, True, free_names, gain, -gain / 2)


def trading_examined(*, false: int, free: int, confirmed: int) -> TradingReport:
    """A report on a choice that shows rules in so many null markets, after fees and without, and planted ones."""

    def run(name: str, trials: Sequence[Trial]) -> list[TradingOutcome]:
        shown = {
            "null markets": lambda trial: trial.seed < false,
            "power run": lambda trial: trial.rows >= 2_000,
            "confirmation": lambda trial: trial.seed - CONFIRMING_SEEDS < confirmed,
        }[name]
        return [traded(trial, shown(trial), free=trial.seed < free) for trial in trials]

    return examine_trading(Plan(200, power_seeds=10, confirming_seeds=50, power_rows=SIZES), 4, run)


@pytest.mark.parametrize(
    ("false", "free", "confirmed", "alive"),
    [(4, 4, 45, True), (5, 0, 50, False), (0, 5, 50, False), (0, 0, 44, False)],
)
def test_false_claims_of_profit_kill_the_canary_also_without_fees(
    false: int, free: int, confirmed: int, alive: bool
) -> None:
    report = trading_examined(false=false, free=free, confirmed=confirmed)
    assert (report.alive, report.named_rows) == (alive, 2_000)
    counts = [(finding.rule, finding.crowned) for finding in report.findings if finding.market == "null"]
    assert counts == [
        ("whole choice", false),
        ("whole choice, no fees", free),
        ("without the holdout", 20),
        ("gain above holding on the holdout", 200),
    ]
    # Gains of 100 % and losses of 50 % are the same step of the logarithm.
    assert (report.picked_pct, report.fresh_pct) == pytest.approx((100, -50))
    assert (report.rules, report.wanted, report.cases) == (600, 800, 52)
