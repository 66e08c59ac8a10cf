"""The promotion gate on validation rows: its truth table, and its hysteresis."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from ml.promotion.rules import PromotionContext, check_on_validation
from ml.promotion.settings import PromotionSettings
from ml.promotion.significance import newey_west_p_value
from ml.timeframes import DAY_MS
from tests.trials import DAYS, NOISE, SETTINGS, incumbent, losses, row

LUCK = [1.0 + (1 if day % 2 else -1) * 0.5 for day in DAYS]


@pytest.mark.parametrize(
    ("challenger", "champion", "decision", "reason"),
    [
        (row(n_validation=99), None, "refused", "only 99 validation rows were evaluated, 100 are needed"),
        (row(), None, "passed", "beats baseline"),
        (row(skill=0.01), None, "passed", "beats baseline"),  # at the threshold
        (row(skill=0.0099), None, "refused", "no model beats the baseline ewma_range"),
        (row(skill=-0.2), None, "refused", "no model beats the baseline ewma_range"),
        (row(skill=math.nan), None, "refused", "no model beats the baseline"),
        (row(loss_model=LUCK), None, "refused", "the gain over the baseline ewma_range could be luck"),
        (row(loss_model=[math.nan] * 40), None, "refused", "could be luck"),
        (row(loss_day=DAYS[:9], loss_model=losses(0.8, 9), loss_baseline=losses(1, 9)), None, "refused", "only 9 days"),
        (row(), incumbent(), "passed", "beats baseline and champion"),
        (row(rmse_pct=0.96), incumbent(), "refused", "the gain over the champion lightgbm is -1.05%"),
        (row(rmse_pct=0.95), incumbent(), "refused", "the gain over the champion lightgbm is +0.00%"),
        (row(rmse_pct=0.946), incumbent(), "refused", "is +0.42%, at least +0.50% is required"),
        (row(rmse_pct=math.nan), incumbent(), "refused", "the gain over the champion"),
        (row(), incumbent(loss_model=losses(0.81)), "refused", "the gain over the champion lightgbm could be luck"),
        (row(), incumbent(loss_day=[day + 35 for day in DAYS]), "refused", "only 5 days to compare with the champion"),
    ],
)
def test_the_truth_table_of_the_gate_on_validation(
    challenger: dict[str, Any], champion: dict[str, Any] | None, decision: str, reason: str
) -> None:
    verdict = check_on_validation(challenger, champion, SETTINGS)
    assert (verdict.decision, reason in verdict.reason) == (decision, True), verdict.reason


def test_the_gain_and_the_worse_of_both_p_values_are_told() -> None:
    champion = incumbent(loss_model=list(0.9 + 4 * NOISE[::-1]))
    verdict = check_on_validation(row(), champion, SETTINGS)
    assert verdict.gain == pytest.approx(1 - 0.9 / 0.95)
    p_values = [
        newey_west_p_value(list(np.subtract(rival, row()["loss_model"])))
        for rival in (row()["loss_baseline"], champion["loss_model"])
    ]
    assert p_values[0] < 1e-6 < p_values[1] == verdict.p_value < SETTINGS.alpha


def test_two_equal_models_do_not_swap() -> None:
    free = PromotionSettings(minimal_skill=0, minimal_gain=0, alpha=0.49, minimal_days=10)
    assert check_on_validation(row(), row(), free).decision == "refused"


def test_models_that_are_equal_but_for_a_touch_do_not_swap(subtests: pytest.Subtests) -> None:
    # The second is better on every single day, by a touch: the test alone would find that beyond all luck.
    for seed in range(50):
        with subtests.test(seed=seed):
            touch = 1 - np.random.default_rng(seed).uniform(1e-6, 3e-3, len(DAYS))
            better = list(np.multiply(losses(0.81), touch))
            challenger = row(loss_model=better, rmse_pct=float(np.sqrt(np.mean(better))))
            champion = row(loss_model=losses(0.81), rmse_pct=float(np.sqrt(np.mean(losses(0.81)))))
            verdict = check_on_validation(challenger, champion, PromotionSettings(minimal_days=10))
            assert (verdict.decision, verdict.rule) == ("refused", "minimal_gain")
            with_any_gain = PromotionSettings(minimal_days=10, minimal_gain=0)
            assert check_on_validation(challenger, champion, with_any_gain).decision == "passed"


@pytest.mark.parametrize(
    ("days", "rule"), [(0.0, "minimal_tenure"), (6.9, "minimal_tenure"), (7.0, "paired_test"), (-30.0, "paired_test")]
)
def test_an_incumbent_is_not_replaced_before_its_tenure_is_over(days: float, rule: str) -> None:
    context = PromotionContext(now_ms=round(100 * DAY_MS), promoted_at_ms=round((100 - days) * DAY_MS))
    verdict = check_on_validation(row(), incumbent(), SETTINGS, context)
    assert (verdict.rule, verdict.decision) == (rule, "refused" if rule == "minimal_tenure" else "passed")
    # Without an incumbent there is no tenure.
    assert check_on_validation(row(), None, SETTINGS, context).decision == "passed"


def test_days_are_the_same_days_from_a_file_and_from_an_evaluation() -> None:
    from_file = row(loss_day=[date(1970, 1, 1) + timedelta(days=day) for day in DAYS])
    verdict = check_on_validation(from_file, incumbent(), SETTINGS)
    assert (verdict.decision, verdict.n_days) == ("passed", len(DAYS))


@pytest.mark.parametrize(
    ("spa_p_value", "decision"), [(None, "passed"), (0.001, "passed"), (0.05, "passed"), (0.0501, "refused")]
)
def test_nobody_is_promoted_out_of_a_search_that_could_be_luck(spa_p_value: float | None, decision: str) -> None:
    verdict = check_on_validation(row(), None, SETTINGS, PromotionContext(n_trials=300, spa_p_value=spa_p_value))
    assert verdict.decision == decision
    if decision == "refused":
        assert verdict.rule == "search_luck"
        assert verdict.reason == "the best of 300 tries could be luck: SPA p = 0.050 is above 0.05"
        # What the paired test found is told all the same.
        assert verdict.p_value is not None


def test_a_case_that_beats_its_baseline_but_not_another_one_is_refused() -> None:
    """The baseline is chosen on the train rows: on validation another one may be better than the case."""
    better = check_on_validation(row(skill_har_range=0.01, skill_drift=None), None, SETTINGS)
    assert better.decision == "passed"
    worse = check_on_validation(row(skill_har_range=-0.001), None, SETTINGS)
    assert (worse.decision, worse.rule) == ("refused", "minimal_skill")
    assert "it beats the baseline ewma_range, but har_range forecasts the validation rows better" in worse.reason
