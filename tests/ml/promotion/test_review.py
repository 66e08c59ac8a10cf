"""The review of champions: who keeps the edge is refitted, who lost it is retired."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.data.datasets import Dataset
from ml.errors import CaseError
from ml.evaluation.evaluate import fit_rows
from ml.evaluation.preparation import prepare
from ml.forecasting.model_store import load_model, read_card
from ml.promotion.gate import decide_promotion
from ml.promotion.review import LiveRecord, lost_edge, review_champion, walk_review
from ml.promotion.rules import PromotionContext
from ml.store import Store
from tests.trials import GOOD, REAL, market_with_edge, result, turned

NOW = PromotionContext(now_ms=1_700_000_000_000, n_trials=9)
NOTHING_LIVE = LiveRecord()


@pytest.fixture(scope="module")
def newest() -> Dataset:
    """What the market was when the champion was found, and 600 candles more."""
    return market_with_edge(4800, "d2")


def champion(store: Store) -> dict[str, Any]:
    market = market_with_edge()
    verdict = decide_promotion(store, market, result(GOOD, market, store), None, REAL)
    assert verdict.decision == "promoted"
    return {"model_id": verdict.model_id, "frozen_model_id": verdict.frozen_model_id}


def test_a_champion_with_its_edge_is_confirmed_and_refitted_on_all_closed_rows(tmp_path: Path, newest: Dataset) -> None:
    store = Store(tmp_path)
    serving = champion(store)
    body = review_champion(store, newest, serving, NOTHING_LIVE, REAL, NOW)
    assert (body["decision"], body["rule"], body["holdout_opened"]) == ("confirmed", "confirmed", False)
    assert body["review_skill"] > 0.02
    assert body["frozen_model_id"] == serving["frozen_model_id"]
    assert body["model_id"] != serving["model_id"]
    case, served, scores = load_model(store, body["model_id"])
    assert case == GOOD  # a walk is how it was reviewed, not what it is
    everything = newest.features[np.flatnonzero(prepare(GOOD, newest).usable)].astype(np.float64)
    np.testing.assert_allclose(served.members[0].scaler.mean, everything.mean(axis=0), rtol=1e-12)
    assert len(scores) == body["review_rows"]
    card = read_card(store, body["model_id"])
    assert card["trained_through_ms"] == newest.open_time_ms[-1]
    assert (card["dataset_id"], card["review_skill"]) == ("d2", body["review_skill"])
    assert card["holdout"] == read_card(store, serving["model_id"])["holdout"]


def test_a_champion_that_lost_its_edge_is_retired_and_nothing_is_saved(tmp_path: Path, newest: Dataset) -> None:
    store = Store(tmp_path)
    serving = champion(store)
    models = store.list("models")
    body = review_champion(store, turned(newest, 2600), serving, NOTHING_LIVE, REAL, NOW)
    assert (body["decision"], body["rule"]) == ("retired", "lost_edge")
    assert body["review_skill"] < 0
    assert "the baseline serves" in body["reason"]
    assert store.list("models") == models


def test_the_walk_evaluates_only_rows_after_those_the_evaluated_model_learnt_from(newest: Dataset) -> None:
    through_ms = int(newest.open_time_ms[4000])
    review = walk_review(GOOD, newest, through_ms, REAL)
    assert review.span_ms == (newest.open_time_ms[4001], newest.open_time_ms[4798])
    assert review.rows == 4798 - 4000
    recent = walk_review(GOOD, newest, through_ms, REAL.model_copy(update={"review_days": 10.0}))
    assert recent.rows == 240
    assert recent.span_ms[1] == review.span_ms[1]


def test_the_walk_learns_from_nothing_that_it_evaluates(newest: Dataset) -> None:
    """Poisoned candles of the future leave the forecasts before them unchanged, as the nonconformity scores show."""
    refit = REAL.model_copy(update={"review_refit_days": 10.0})
    through_ms = int(newest.open_time_ms[3999])
    labels = newest.labels.copy()
    labels[4480:, 2] += 0.05
    labels[4480:, 0] += 0.05
    poisoned = walk_review(GOOD, replace(newest, labels=labels), through_ms, refit)
    clean = walk_review(GOOD, newest, through_ms, refit)
    np.testing.assert_array_equal(poisoned.band_scores.values[:480], clean.band_scores.values[:480])
    assert not np.array_equal(poisoned.band_scores.values[480:], clean.band_scores.values[480:])


def test_too_few_rows_are_an_error_and_no_verdict(newest: Dataset) -> None:
    with pytest.raises(CaseError, match="validation rows"):
        walk_review(GOOD, newest, int(newest.open_time_ms[4720]), REAL)


@pytest.mark.parametrize(
    ("live", "n", "retired"), [(1.3, 200, True), (1.3, 99, False), (1.0, 200, False), (0.8, 200, False)]
)
def test_a_live_record_that_is_surely_worse_retires_whatever_the_walk_says(
    newest: Dataset, live: float, n: int, retired: bool
) -> None:
    random = np.random.default_rng(5)
    baseline = random.uniform(0.5, 1.5, n)
    record = LiveRecord(list(baseline * live * random.uniform(0.9, 1.1, n)), list(baseline))
    review = walk_review(GOOD, newest, int(newest.open_time_ms[4000]), REAL)
    why = lost_edge(review, record, REAL)
    assert (why is not None) is retired
    if why:
        assert "over 200 live forecasts it is worse than the baseline" in why


def test_a_skill_at_the_margin_has_no_edge(newest: Dataset) -> None:
    review = walk_review(GOOD, newest, int(newest.open_time_ms[4000]), REAL)
    assert lost_edge(replace(review, skill=0.0), NOTHING_LIVE, REAL) is not None
    assert lost_edge(replace(review, skill=1e-6), NOTHING_LIVE, REAL) is None
    assert lost_edge(replace(review, skill=float("nan")), NOTHING_LIVE, REAL) is not None
    strict = REAL.model_copy(update={"minimal_review_skill": 0.5})
    assert "above +50.00% is required" in str(lost_edge(review, NOTHING_LIVE, strict))


def test_the_refit_is_no_other_than_a_fit_on_all_rows(tmp_path: Path, newest: Dataset) -> None:
    store = Store(tmp_path)
    body = review_champion(store, newest, champion(store), NOTHING_LIVE, REAL, NOW)
    _, served, _ = load_model(store, body["model_id"])
    prepared = prepare(GOOD, newest)
    window = prepared.windows_at(prepared.rows("holdout"))
    expected = fit_rows(prepared, np.flatnonzero(prepared.usable)).predict(window)
    np.testing.assert_allclose(served.predict(window), expected, rtol=0, atol=1e-12)
