"""Model cards: what a reader needs stands on them, and cards of earlier versions can still be read."""

from __future__ import annotations

import pytest

from ml.forecasting.model_store import read_card, saved_models
from ml.promotion.gate import decide_promotion
from ml.promotion.model_card import card_entries, card_summary
from ml.promotion.rules import PromotionContext
from ml.store import Store
from ml.version import code_version
from tests.trials import GOOD, REAL, market_with_edge, result


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """With the models of one champion."""
    store, market = Store(tmp_path_factory.mktemp("cards")), market_with_edge()
    context = PromotionContext(now_ms=1_700_000_000_000, n_trials=52, spa_p_value=0.004)
    assert decide_promotion(store, market, result(GOOD, market, store), None, REAL, context).decision == "promoted"
    return store


def test_a_champion_has_a_card_as_evaluated_and_one_as_it_serves(store: Store) -> None:
    cards = [read_card(store, identity) for identity in saved_models(store)]
    by_kind = {row["kind"]: row for row in map(card_summary, cards)}
    assert set(by_kind) == {"frozen", "served"}
    assert by_kind["frozen"]["trained_through"] < by_kind["served"]["trained_through"]
    assert by_kind["served"]["n_trials"] == 52


def test_a_card_says_what_the_model_is_for_how_it_was_chosen_and_what_it_is_worth(store: Store) -> None:
    (card,) = [
        card for card in map(lambda name: read_card(store, name), saved_models(store)) if "served" in card["kind"]
    ]
    entries = card_entries(card)
    assert entries["series"] == "BTC/USDT 1h on test"
    assert "next candle" in entries["intended use"]
    assert "best of all cases tried" in entries["limits"]
    assert entries["trials"] == "52 cases were tried on the series"
    assert f"skill {card['selection']['skill']:+.2%} on " in entries["selection"]
    assert entries["paired test"].endswith("SPA p of the whole search 0.004")
    assert f"skill {card['holdout']['skill']:+.2%} on {card['holdout_rows']} rows" in entries["holdout"]
    assert entries["features"] == "range_24, range_6, return_1"
    assert (entries["seeds"], entries["code"], entries["dataset"]) == ("0", code_version(), "d1")
    assert "-" not in entries.values()


def test_a_card_of_an_earlier_version_is_read_with_what_it_has() -> None:
    old = {
        "dataset_id": "d0",
        "selection": {"rmse_pct": 0.5, "skill": 0.1, "baseline": "ewma_range", "code_version": "0.1"},
        "holdout": {"skill": 0.05},
        "trained_through_ms": 1_600_000_000_000,
        "kind": "served: refitted on all closed rows",
        "model_id": "m0",
        "case": GOOD.model_dump(mode="json"),
        "case_key": GOOD.key,
    }
    assert card_summary(old)["n_trials"] is None
    entries = card_entries(old)
    assert (entries["trials"], entries["intended use"]) == ("-", "-")
    assert entries["holdout"].startswith("skill +5.00% on ? rows")
