"""The promotion gate: who becomes champion, who does not, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.data.datasets import Dataset
from ml.errors import CaseError
from ml.evaluation.evaluate import fit_and_evaluate
from ml.evaluation.preparation import prepare
from ml.forecasting.chain import Chain
from ml.forecasting.model_store import load_model, read_card
from ml.promotion import gate
from ml.promotion.gate import decide_promotion, verdict_body
from ml.promotion.rules import PromotionContext, check_on_validation
from ml.promotion.significance import newey_west_p_value, newey_west_t
from ml.store import Store
from ml.timeframes import utc_ms
from tests.synthetic import make_case
from tests.trials import GOOD, REAL, WORSE, market_with_edge, result, turned


@pytest.fixture(scope="module")
def market() -> Dataset:
    return market_with_edge()


def test_a_better_challenger_is_promoted_and_both_its_models_are_saved(tmp_path: Path, market: Dataset) -> None:
    store = Store(tmp_path)
    challenger = result(GOOD, market, store)
    verdict = decide_promotion(store, market, challenger, result(WORSE, market, store), REAL)
    assert verdict.decision == "promoted", verdict.reason
    assert verdict.holdout is not None
    assert verdict.frozen_model_id != verdict.model_id
    assert verdict.gain is not None
    assert verdict.gain > 0.05
    _, prepared, evaluated = fit_and_evaluate(GOOD, market)
    window = prepared.windows_at(prepared.rows("holdout"))
    case, frozen, scores = load_model(store, str(verdict.frozen_model_id))
    _, served, served_scores = load_model(store, str(verdict.model_id))
    assert case == GOOD
    np.testing.assert_allclose(frozen.predict(window), evaluated.predict(window), rtol=0, atol=1e-12)
    # The served model learnt from all closed rows: its scaler knows the holdout too.
    everything = market.features[np.flatnonzero(prepared.usable)].astype(np.float64)
    np.testing.assert_allclose(served.members[0].scaler.mean, everything.mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(scores.values, served_scores.values)
    assert len(scores) == len(prepared.rows("validation")) + len(prepared.rows("holdout"))
    assert scores.target_open_ms is not None
    assert scores.target_open_ms[-1] == market.open_time_ms[prepared.rows("holdout")[-1]] + market.timeframe_ms
    card = read_card(store, str(verdict.model_id))
    # The last row has no next candle yet; the one before learns from the last candle.
    assert card["trained_through_ms"] == verdict.trained_through_ms == market.open_time_ms[4199]
    start = prepare(GOOD, market).split.validation[0]
    frozen_card = read_card(store, str(verdict.frozen_model_id))
    assert frozen_card["trained_through_ms"] == market.open_time_ms[start - 1]  # no validation row is among them
    assert card["holdout"]["skill"] == verdict.holdout["skill"] > 0
    assert card["selection"]["skill"] == challenger["skill"]
    assert (card["dataset_id"], card["case_key"]) == ("d1", GOOD.key)


def test_a_champion_of_the_latest_rows_is_refitted_on_as_many_of_the_latest(tmp_path: Path, market: Dataset) -> None:
    store, case = Store(tmp_path), make_case(train_rows=1000)
    verdict = decide_promotion(store, market, result(case, market, store), None, REAL)
    assert verdict.decision == "promoted", verdict.reason
    _, served, _ = load_model(store, str(verdict.model_id))
    latest = market.features[np.flatnonzero(prepare(case, market).usable)[-1000:]].astype(np.float64)
    assert served.members[0].scaler is not None
    np.testing.assert_allclose(served.members[0].scaler.mean, latest.mean(axis=0), rtol=1e-12)


def test_a_champion_is_rebuilt_to_the_same_content(tmp_path: Path, market: Dataset) -> None:
    contents: list[dict[str, Any]] = []
    for name in ("one", "two"):
        store = Store(tmp_path / name)
        decide_promotion(store, market, result(GOOD, market, store), None, REAL)
        content: dict[str, Any] = {}
        for path in store.list("models"):
            # An archive also holds the time at which it was packed.
            if path.endswith(".npz"):
                with np.load(store.local_path(path)) as archive:
                    content |= {f"{path}/{part}": archive[part].tobytes() for part in archive}
            else:
                content[path] = store.read(path)
        contents.append(content)
    # Two models, each with a card, scores and their times, mean and scale of the scaler, weights and intercept; the one
    # that serves also with its novelty measure of five arrays.
    assert len(contents[0]) == 19
    assert contents[0] == contents[1]


def test_a_worse_challenger_leaves_the_champion_and_the_holdout_shut(
    tmp_path: Path, market: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "evaluate_prepared", lambda *_: pytest.fail("nothing is fitted for it"))
    store = Store(tmp_path)
    challenger = result(WORSE, market, store) | {"skill": 0.2}
    verdict = decide_promotion(store, market, challenger, result(GOOD, market, store), REAL)
    assert (verdict.decision, verdict.holdout, store.list("models")) == ("refused", None, [])
    assert "the gain over the champion ridge is -" in verdict.reason


def test_a_challenger_that_is_not_better_on_the_holdout_is_refused_and_the_opening_is_told(
    tmp_path: Path, market: Dataset
) -> None:
    # The edge turns round when the holdout begins: what was learnt is wrong from there on.
    wrong = turned(market, prepare(GOOD, market).split.holdout[0])
    store = Store(tmp_path)
    verdict = decide_promotion(store, wrong, result(GOOD, wrong, store), None, REAL)
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
    verdict = decide_promotion(store, holed, result(GOOD, holed, store), None, REAL)
    assert (verdict.decision, verdict.holdout) == ("refused", None)
    assert verdict.rule == "holdout_used_up"
    assert "only 50 of its usable candles were never opened, 100 are needed; wait for 50 more" in verdict.reason


def test_a_verdict_is_told_whole_and_can_be_sealed(tmp_path: Path, market: Dataset) -> None:
    store = Store(tmp_path)
    challenger = result(GOOD, market, store)
    verdict = decide_promotion(store, market, challenger, None, REAL)
    now = datetime(2024, 5, 1, tzinfo=UTC)
    context = PromotionContext(now_ms=round(now.timestamp() * 1000), n_trials=7, spa_p_value=0.03)
    body = Chain(store, "verdicts").append(verdict_body(challenger, "an-earlier-key", verdict, REAL, context))["body"]
    assert verdict.holdout is not None
    assert body["holdout_opened"]
    assert body["holdout_rmse_pct"] == verdict.holdout["rmse_pct"]
    assert (body["case_key"], body["incumbent_case_key"], body["decided_at"]) == (
        GOOD.key,
        "an-earlier-key",
        now.isoformat(),
    )
    assert (body["decision"], body["model_id"]) == ("promoted", verdict.model_id)
    assert (body["rule"], body["alpha"], body["n_trials"], body["spa_p_value"]) == ("promoted", 0.01, 7, 0.03)
    assert body["settings"] == REAL.model_dump()
    # The figures of the test follow from the stored losses alone.
    differences = np.subtract(challenger["loss_baseline"], challenger["loss_model"])
    assert (body["n_days"], body["p_value"]) == (len(differences), newey_west_p_value(differences))
    assert body["t_statistic"] == newey_west_t(differences)
    split = prepare(GOOD, market).split
    opened = [utc_ms(body["holdout_start"]), utc_ms(body["holdout_end"]), body["holdout_rows"]]
    last = market.open_time_ms[-1]
    assert opened == [market.open_time_ms[split.holdout[0] + 1], last, len(market) - 1 - split.holdout[0]]
    refused = check_on_validation(challenger | {"skill": -0.1}, None, REAL)
    shut = verdict_body(challenger, None, refused, REAL)
    assert (shut["holdout_opened"], shut["holdout_skill"], shut["model_id"]) == (False, None, None)


def test_a_case_that_cannot_be_laid_over_the_dataset_has_no_result_to_promote(market: Dataset) -> None:
    with pytest.raises(CaseError):
        fit_and_evaluate(make_case(lags=500), replace(market, run_length=np.ones(4200, np.int32)))
