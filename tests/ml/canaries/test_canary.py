"""The canaries, small: no champion where nothing is, a champion where something is, and they can die."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ml.canaries.markets import Trial, canary_market
from ml.canaries.report import assess_null, assess_null_trading
from ml.canaries.search import field_of_cases
from ml.canaries.selection import GateDecision, Outcome, Selection, run_trial
from ml.canaries.trading import RuleChoice, TradingOutcome, run_trading_trial
from ml.data.datasets import Dataset
from ml.data.targets import CLOSE
from ml.errors import CaseError
from ml.promotion.rules import PromotionContext, check_on_validation
from ml.promotion.settings import PromotionSettings
from ml.records import ResultRow
from ml.trading.costs import Costs
from ml.trading.scores import CaseForecasts
from ml.trading.selection import Reports, Selected, Trader, select_rule
from ml.trading.signals import Signal, Source, read_signals
from tests.canary_trials import each_market_evaluated_once

pytestmark = pytest.mark.e2e

ROWS = 1_500


def best(results: list[dict[str, Any]]) -> ResultRow:
    return max(results, key=lambda row: (row["skill"], row["case_key"]))


WHOLE = Selection(best, PromotionSettings())


def null_outcomes(selection: Selection, seeds: int) -> list[Outcome]:
    return [run_trial(Trial(ROWS, seed), selection) for seed in range(seeds)]


@pytest.fixture(scope="module", autouse=True)
def evaluated_once() -> Iterator[None]:
    with each_market_evaluated_once():
        yield


@pytest.fixture(scope="module")
def nulls() -> list[Outcome]:
    return null_outcomes(WHOLE, 6)


def test_the_field_is_as_wide_as_a_sweep() -> None:
    cases = field_of_cases()
    assert len({case.key for case in cases}) == len(cases) >= 50
    assert {case.model for case in cases} == {"ridge", "elastic_net", "lightgbm", "extra_trees", "k_nearest"}


def test_no_champion_where_nothing_can_be_forecast(nulls: list[Outcome]) -> None:
    assert [outcome.promoted for outcome in nulls] == [False] * 6
    assert assess_null(nulls)[0].alive
    # They were evaluated and found wanting, not turned away for want of rows.
    for outcome in nulls:
        assert "no model beats the baseline" in outcome.reason or "could be luck" in outcome.reason


def test_models_have_no_skill_beyond_noise_where_nothing_can_be_forecast(nulls: list[Outcome]) -> None:
    assert all(outcome.mean_skill < 0.001 for outcome in nulls)


def test_the_lowest_error_shows_more_than_it_keeps(nulls: list[Outcome]) -> None:
    shown = [outcome.picked_skill for outcome in nulls]
    kept = [outcome.fresh_skill for outcome in nulls]
    assert np.mean(shown) > 0 > np.mean(kept)


def test_a_planted_edge_is_found() -> None:
    outcomes = [run_trial(Trial(2_500, seed, edge=0.4), WHOLE) for seed in range(3)]
    assert [outcome.promoted for outcome in outcomes] == [True] * 3
    assert all(outcome.passed and outcome.fresh_skill > 0.02 for outcome in outcomes)


def no_holdout(
    dataset: Dataset, challenger: ResultRow, settings: PromotionSettings, _: PromotionContext
) -> GateDecision:
    """Decides on the rows that the challenger was selected on, without opening a holdout."""
    verdict = check_on_validation(challenger, None, settings)
    return GateDecision(verdict.decision == "passed", verdict.decision == "passed", verdict.reason)


def leaking_market(trial: Trial) -> Dataset:
    """A market one of whose features holds a little of the label."""
    market = canary_market(trial)
    features = market.features.copy()
    features[:-1, 0] += 0.5 * market.labels[:-1, CLOSE]
    return replace(market, features=features)


@pytest.mark.parametrize(
    "broken",
    [
        Selection(best, PromotionSettings(minimal_skill=0, alpha=0.49), gate=no_holdout),
        Selection(best, PromotionSettings(), market=leaking_market),
    ],
    ids=["no test and no holdout", "a leak in the features"],
)
def test_the_canary_dies_of_a_broken_selection(broken: Selection) -> None:
    outcomes = null_outcomes(broken, 3)
    assert sum(outcome.promoted for outcome in outcomes) >= 2
    assert assess_null(outcomes)[0].alive is False


def test_a_case_that_fails_is_no_proof_of_anything() -> None:
    def holed(trial: Trial) -> Dataset:
        market = canary_market(trial)
        return replace(market, features=np.full_like(market.features, np.nan))

    with pytest.raises(CaseError, match=r"seed 7 cannot be evaluated: .* usable train rows"):
        run_trial(Trial(ROWS, 7), replace(WHOLE, market=holed))


RULES = RuleChoice(tuple(read_signals([])), Costs.flat(0.001))


def null_rules(choice: RuleChoice, seeds: int) -> list[TradingOutcome]:
    return [run_trading_trial(Trial(ROWS, seed), choice) for seed in range(seeds)]


@pytest.fixture(scope="module")
def null_trading() -> list[TradingOutcome]:
    return null_rules(RULES, 4)


def test_no_rule_is_shown_where_nothing_can_be_forecast_also_without_fees(null_trading: list[TradingOutcome]) -> None:
    assert [(outcome.shown, outcome.shown_free) for outcome in null_trading] == [((), ())] * 4
    assert [finding.alive for finding in assess_null_trading(null_trading)[:2]] == [True, True]
    # Rules were chosen and reported, not left out, and luck alone put some above holding.
    assert all(outcome.rules == len(RULES.signals) for outcome in null_trading)
    assert any(outcome.above for outcome in null_trading)


def test_an_edge_above_the_fees_is_shown_and_one_below_them_is_not() -> None:
    found = [run_trading_trial(Trial(2_500, seed, edge=0.6), RULES) for seed in range(2)]
    assert all("direction" in outcome.shown and outcome.fresh_pct > 0 for outcome in found)
    dear = replace(RULES, costs=Costs.flat(0.05))
    assert run_trading_trial(Trial(2_500, 0, edge=0.6), dear).shown == ()


def by_any_gain(trader: Trader, cases: Sequence[CaseForecasts], reports: Reports) -> Selected:
    """Shows every rule that gains more than holding on the rows on which its thresholds were chosen or on others."""
    selected = select_rule(trader, cases, reports)
    above = any(selected.record[part]["over_holding_pct"] > 0 for part in ("validation", "holdout"))
    return replace(selected, record={**selected.record, "is_shown": above})


@pytest.mark.parametrize(
    "broken",
    [replace(RULES, select=by_any_gain), replace(RULES, market=leaking_market)],
    ids=["no test", "a leak in the features"],
)
def test_the_canary_dies_of_a_broken_choice_of_rules(broken: RuleChoice) -> None:
    outcomes = null_rules(broken, 2)
    assert all(outcome.found for outcome in outcomes)
    assert [finding.alive for finding in assess_null_trading(outcomes)[:2]] == [False, False]


def test_a_signal_whose_scores_do_not_differ_has_no_rule(null_trading: list[TradingOutcome]) -> None:
    flat = Signal(name="flat", sources=(Source(),), coefficient=0.0)
    outcome = run_trading_trial(Trial(ROWS, 0), replace(RULES, signals=(flat,)))
    assert (outcome.rules, outcome.shown, outcome.passed, outcome.above) == (0, (), False, False)
    assert (outcome.picked_pct, outcome.fresh_pct) == (0.0, 0.0)
    assert null_trading[0].cases == outcome.cases
