"""The promotion court: who becomes champion, who does not, and why."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml import promotion
from ml.cases import TestCase
from ml.chain import Chain
from ml.chunks import run_case
from ml.config import PromotionSettings
from ml.datasets import Dataset
from ml.errors import CaseError
from ml.evaluation import fit_and_evaluate
from ml.model_store import load_model, read_card
from ml.preparation import prepare
from ml.promotion import judge_challenger, judge_on_validation, verdict_body
from ml.results import read_result_file, result_path, write_results
from ml.significance import newey_west_p_value
from ml.store import Store
from tests.synthetic import make_case, make_dataset

SETTINGS = PromotionSettings(minimal_skill=0.01, minimal_gain=0.005, alpha=0.01, minimal_days=10)
DAYS = list(range(40))
NOISE = np.random.default_rng(0).normal(0, 0.05, 40)


def losses(mean: float, days: int = 40) -> list[float]:
    """Losses a day that differ by luck from day to day, the same luck for everybody but a tenth of it."""
    return [float(value) for value in mean + NOISE[:days] * mean]


def row(**changes: Any) -> dict[str, Any]:
    """A challenger that is clearly better than its baseline."""
    return {
        "model": "ridge",
        "worker": "host:1:2.00",
        "skill": 0.1,
        "rmse_pct": 0.9,
        "baseline": "ewma_range",
        "loss_day": DAYS,
        "loss_model": losses(0.81),
        "loss_baseline": losses(1.0),
    } | changes


def incumbent(**changes: Any) -> dict[str, Any]:
    return row(model="lightgbm", rmse_pct=0.95, skill=0.05, loss_model=losses(0.9)) | changes


LUCK = [1.0 + (1 if day % 2 else -1) * 0.5 for day in DAYS]


@pytest.mark.parametrize(
    ("challenger", "champion", "decision", "reason"),
    [
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
        (row(rmse_pct=0.946), incumbent(), "refused", "is +0.42%, at least +0.50% is asked for"),
        (row(rmse_pct=math.nan), incumbent(), "refused", "the gain over the champion"),
        (row(), incumbent(loss_model=losses(0.81)), "refused", "the gain over the champion lightgbm could be luck"),
        (row(), incumbent(loss_day=[day + 35 for day in DAYS]), "refused", "only 5 days to compare with the champion"),
    ],
)
def test_the_truth_table_of_the_judgement_on_validation(
    challenger: dict[str, Any], champion: dict[str, Any] | None, decision: str, reason: str
) -> None:
    verdict = judge_on_validation(challenger, champion, SETTINGS)
    assert (verdict.decision, reason in verdict.reason) == (decision, True), verdict.reason


def test_the_gain_and_the_worse_of_both_p_values_are_told() -> None:
    champion = incumbent(loss_model=list(0.9 + 4 * NOISE[::-1]))
    verdict = judge_on_validation(row(), champion, SETTINGS)
    assert verdict.gain == pytest.approx(1 - 0.9 / 0.95)
    p_values = [
        newey_west_p_value(list(np.subtract(rival, row()["loss_model"])))
        for rival in (row()["loss_baseline"], champion["loss_model"])
    ]
    assert p_values[0] < 1e-6 < p_values[1] == verdict.p_value < SETTINGS.alpha


def test_two_equal_models_do_not_swap() -> None:
    free = PromotionSettings(minimal_skill=0, minimal_gain=0, alpha=0.49, minimal_days=10)
    assert judge_on_validation(row(), row(), free).decision == "refused"


@pytest.fixture(scope="module")
def market() -> Dataset:
    """A market with an edge: the next return follows the last one."""
    return replace(make_dataset(4200, clustered=False, edge=0.5), id="d1")


def result(case: TestCase, dataset: Dataset, store: Store) -> dict[str, Any]:
    """The result row of a case as the court gets it: read from its file."""
    path = result_path(dataset.id, case.key)
    write_results(store, path, [run_case(case, dataset, "host:1:2.00", "code-7")])
    return read_result_file(store, path)[0]


REAL = PromotionSettings()
GOOD = make_case()
WORSE = make_case(features=("range_6", "range_24"))


def test_a_better_challenger_is_promoted_and_both_its_models_are_saved(tmp_path: Path, market: Dataset) -> None:
    store = Store(tmp_path)
    challenger = result(GOOD, market, store)
    verdict = judge_challenger(store, market, challenger, result(WORSE, market, store), REAL)
    assert verdict.decision == "promoted", verdict.reason
    assert verdict.holdout is not None
    assert verdict.frozen_model_id != verdict.model_id
    assert verdict.gain is not None
    assert verdict.gain > 0.05
    _, prepared, judged = fit_and_evaluate(GOOD, market)
    window = prepared.windows_at(prepared.rows("holdout"))
    case, frozen, scores = load_model(store, str(verdict.frozen_model_id))
    _, served, served_scores = load_model(store, str(verdict.model_id))
    assert case == GOOD
    np.testing.assert_allclose(frozen.predict(window), judged.predict(window), rtol=0, atol=1e-12)
    # The served model learnt from all closed rows: its scaler knows the holdout too.
    everything = market.features[np.flatnonzero(prepared.usable)].astype(np.float64)
    np.testing.assert_allclose(served.members[0].scaler.mean, everything.mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(scores, served_scores)
    assert len(scores) == 1000
    card = read_card(store, str(verdict.model_id))
    assert card["trained_through_ms"] == market.open_time_ms[4198]  # the last row has no next candle yet
    assert card["holdout"]["skill"] == verdict.holdout["skill"] > 0
    assert card["selection"]["skill"] == challenger["skill"]
    assert (card["dataset_id"], card["case_key"]) == ("d1", GOOD.key)


def test_a_champion_is_rebuilt_to_the_same_content(tmp_path: Path, market: Dataset) -> None:
    contents: list[dict[str, Any]] = []
    for name in ("one", "two"):
        store = Store(tmp_path / name)
        judge_challenger(store, market, result(GOOD, market, store), None, REAL)
        content: dict[str, Any] = {}
        for path in store.list("models"):
            # An archive also holds the time at which it was packed.
            if path.endswith(".npz"):
                with np.load(store.local_path(path)) as archive:
                    content |= {f"{path}/{part}": archive[part].tobytes() for part in archive}
            else:
                content[path] = store.read(path)
        contents.append(content)
    # Two models, each with a card, band scores, mean and scale of the scaler, weights and intercept.
    assert len(contents[0]) == 12
    assert contents[0] == contents[1]


def test_a_worse_challenger_leaves_the_champion_and_the_holdout_shut(
    tmp_path: Path, market: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "fit_and_evaluate", lambda *_: pytest.fail("nothing is fitted for it"))
    store = Store(tmp_path)
    challenger = result(WORSE, market, store) | {"skill": 0.2}
    verdict = judge_challenger(store, market, challenger, result(GOOD, market, store), REAL)
    assert (verdict.decision, verdict.holdout, store.list("models")) == ("refused", None, [])
    assert "the gain over the champion ridge is -" in verdict.reason


@pytest.mark.parametrize(
    "lie",
    [
        {"rmse_pct": 0.5},
        {"rmse_pct": math.nan},
        {"skill": 0.4},
        {"baseline_rmse_pct": 2.0},
        {"skill_mean_range": 0.9},
        {"baseline": "last_candle"},
        {"case_key": "0000000000000000"},
        {"loss_model": 0.5},
        {"loss_baseline": 1.5},
        {"loss_day": "a day later"},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_a_falsified_claim_is_refused_before_the_holdout_is_opened_and_names_its_worker(
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
    verdict = judge_challenger(store, market, challenger, None, REAL)
    assert (verdict.decision, verdict.holdout, store.list("models")) == ("refused", None, [])
    assert verdict.reason.startswith("worker host:1:2.00 claimed ")
    assert name in verdict.reason


def test_losses_of_too_few_days_are_no_match() -> None:
    dataset = make_dataset(1500)
    evaluation, _, _ = fit_and_evaluate(GOOD, dataset)
    true = {
        **evaluation.metrics,
        "case_key": GOOD.key,
        "baseline": evaluation.baseline,
        "loss_day": evaluation.days,
        "loss_model": evaluation.losses,
        "loss_baseline": evaluation.baseline_losses,
    }
    assert promotion.false_claim(true, GOOD, evaluation) is None
    short = true | {"loss_model": evaluation.losses[:-1]}
    assert promotion.false_claim(short, GOOD, evaluation) == "another loss_model than the recomputed one"


def test_a_claimed_result_of_a_case_that_fails_is_refused(tmp_path: Path, market: Dataset) -> None:
    impossible = make_case(features=("moon_phase",))
    challenger = row(case_json=impossible.model_dump_json(), case_key=impossible.key)
    verdict = judge_challenger(Store(tmp_path), market, challenger, None, REAL)
    assert verdict.reason.startswith("worker host:1:2.00 claimed a result, recomputed the case fails: ")


def test_a_challenger_that_is_not_better_on_the_holdout_is_refused_and_the_opening_is_told(
    tmp_path: Path, market: Dataset
) -> None:
    # The edge turns round when the holdout begins: what was learnt is wrong from there on.
    labels = market.labels.copy()
    start = prepare(GOOD, market).split.holdout[0]
    edge = np.zeros_like(labels)
    edge[start:-1, 2] = market.features[start:-1, 2]
    labels -= edge
    labels[:, 0] = np.maximum(labels[:, 0], np.maximum(labels[:, 2], 0))
    labels[:, 1] = np.minimum(labels[:, 1], np.minimum(labels[:, 2], 0))
    turned = replace(market, labels=labels)
    store = Store(tmp_path)
    verdict = judge_challenger(store, turned, result(GOOD, turned, store), None, REAL)
    assert verdict.decision == "refused"
    assert "on the opened holdout the skill is -" in verdict.reason
    assert verdict.holdout is not None
    assert verdict.holdout["skill"] < 0
    assert (verdict.model_id, verdict.frozen_model_id, store.list("models")) == (None, None, [])


def test_a_holdout_with_too_few_rows_is_a_reason_and_no_crash(tmp_path: Path, market: Dataset) -> None:
    features = market.features.copy()
    features[prepare(GOOD, market).split.holdout[0] + 50 :] = np.nan
    holed = replace(market, features=features)
    store = Store(tmp_path)
    verdict = judge_challenger(store, holed, result(GOOD, holed, store), None, REAL)
    assert (verdict.decision, verdict.holdout) == ("refused", None)
    assert verdict.reason.startswith("the holdout cannot be judged: Only 50 usable holdout rows")


def test_a_verdict_is_told_whole_and_can_be_sealed(tmp_path: Path, market: Dataset) -> None:
    store = Store(tmp_path)
    challenger = result(GOOD, market, store)
    verdict = judge_challenger(store, market, challenger, None, REAL)
    now = datetime(2024, 5, 1, tzinfo=UTC).isoformat()
    body = Chain(store, "verdicts").append(verdict_body(challenger, "an-earlier-key", verdict, now))["body"]
    assert verdict.holdout is not None
    assert body["holdout_opened"]
    assert body["holdout_rmse_pct"] == verdict.holdout["rmse_pct"]
    assert (body["case_key"], body["incumbent_case_key"], body["decided_at"]) == (GOOD.key, "an-earlier-key", now)
    assert (body["decision"], body["model_id"]) == ("promoted", verdict.model_id)
    refused = judge_on_validation(challenger | {"skill": -0.1}, None, REAL)
    shut = verdict_body(challenger, None, refused, now)
    assert (shut["holdout_opened"], shut["holdout_skill"], shut["model_id"]) == (False, None, None)


def test_a_case_that_cannot_be_laid_over_the_dataset_has_no_result_to_promote(market: Dataset) -> None:
    with pytest.raises(CaseError):
        fit_and_evaluate(make_case(lags=500), replace(market, run_length=np.ones(4200, np.int32)))
