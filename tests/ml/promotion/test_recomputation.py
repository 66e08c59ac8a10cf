"""Failed verifications: detected before a holdout row is opened, and their worker is named."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ml.data.datasets import Dataset
from ml.evaluation.evaluate import fit_and_evaluate
from ml.promotion.gate import decide_promotion
from ml.promotion.recomputation import verification_failure
from ml.store import Store
from tests.synthetic import make_case, make_dataset
from tests.trials import GOOD, REAL, market_with_edge, result, row


@pytest.fixture(scope="module")
def market() -> Dataset:
    return market_with_edge()


@pytest.mark.parametrize(
    "lie",
    [
        {"rmse_pct": 0.5},
        {"rmse_pct": math.nan},
        {"skill": 0.4},
        {"baseline_rmse_pct": 2.0},
        {"skill_mean_range": 0.9},
        {"skill_har_range": 0.9},
        {"skill_pooled_range": None},
        {"baseline": "last_candle"},
        {"case_key": "0000000000000000"},
        {"loss_model": 0.5},
        {"loss_baseline": 1.5},
        {"loss_day": "a day later"},
        {"n_validation": 100_000},
        {"model": "lightgbm"},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_a_falsified_metric_is_refused_before_the_holdout_is_opened_and_names_its_worker(
    tmp_path: Path, market: Dataset, lie: dict[str, Any]
) -> None:
    store = Store(tmp_path)
    truth = result(GOOD, market, store)
    ((name, value),) = lie.items()
    if name == "loss_day":
        value = [day + timedelta(days=1) for day in truth[name]]
    elif name.startswith("loss"):
        value = [value * loss for loss in truth[name]]
    challenger = truth | {name: value}
    verdict = decide_promotion(store, market, challenger, None, REAL)
    assert (verdict.decision, verdict.holdout, store.list("models")) == ("refused", None, [])
    assert verdict.reason.startswith("worker host:1:2.00 reported ")
    assert name in verdict.reason
    assert (verdict.rule, verdict.false_claim_worker) == ("false_claim", "host:1:2.00")


def test_a_difference_that_another_version_of_the_code_may_explain_is_refused_and_marks_nobody(
    tmp_path: Path, market: Dataset
) -> None:
    store = Store(tmp_path)
    challenger = result(GOOD, market, store) | {"skill": 0.4, "code_version": "0.0.1+older"}
    verdict = decide_promotion(store, market, challenger, None, REAL)
    assert (verdict.decision, verdict.rule, verdict.false_claim_worker) == ("refused", "false_claim", None)
    assert "made with code 0.0.1+older" in verdict.reason


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"model": "ridge"}', '{"series": 7}'])
def test_an_invalid_case_is_a_failed_verification_and_no_crash(tmp_path: Path, market: Dataset, text: str) -> None:
    verdict = decide_promotion(Store(tmp_path), market, row(case_json=text, case_key="k"), None, REAL)
    assert (verdict.decision, verdict.rule, verdict.holdout) == ("refused", "false_claim", None)


def test_losses_of_too_few_days_are_no_match() -> None:
    dataset = make_dataset(1500)
    evaluation, _, _ = fit_and_evaluate(GOOD, dataset)
    true = {
        **evaluation.metrics,
        "case_key": GOOD.key,
        "model": GOOD.model,
        "n_validation": evaluation.n_validation,
        "baseline": evaluation.baseline,
        "loss_day": evaluation.days,
        "loss_model": evaluation.losses,
        "loss_baseline": evaluation.baseline_losses,
    }
    assert verification_failure(true, GOOD, evaluation) is None
    short = true | {"loss_model": evaluation.losses[:-1]}
    assert verification_failure(short, GOOD, evaluation) == "another loss_model than the recomputed one"


def test_a_reported_result_of_a_case_that_fails_is_refused(tmp_path: Path, market: Dataset) -> None:
    impossible = make_case(features=("moon_phase",))
    challenger = row(case_json=impossible.model_dump_json(), case_key=impossible.key)
    verdict = decide_promotion(Store(tmp_path), market, challenger, None, REAL)
    assert verdict.reason.startswith("worker host:1:2.00 reported a result, recomputed the case fails: ")
