"""Models that were changed by somebody, cut off by a disk, or saved by an earlier version: named, and never run."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from ml.errors import DamagedError, StoreError
from ml.evaluation.evaluate import fit_and_evaluate
from ml.forecasting.chain import Chain
from ml.forecasting.model_folder import ModelSeal, SavedModel, card_path, seal_of
from ml.forecasting.model_store import load_model, load_novelty, read_card, save_model, saved_models, usable_model
from ml.metrics.conformal import BandScores
from ml.models.estimators import load_estimators
from ml.promotion.champion_case import champion_card, champion_case, is_loadable
from ml.promotion.gate import decide_promotion
from ml.promotion.review import LiveRecord, review_champion
from ml.promotion.rules import PromotionContext
from ml.store import Store
from tests.synthetic import make_case, make_dataset
from tests.trials import GOOD, REAL, market_with_edge, result

CASE = make_case()
FITTED = fit_and_evaluate(CASE, make_dataset(600))[2]
REMEDY = "Restore it from a backup, or let the model be fitted again: `candleworks review`"


class Burglar:
    """An object whose loading runs code."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def champion(store: Store, identity: str = "m1", **changes: object) -> dict[str, Any]:
    """A saved model, and the verdict that seals its card."""
    saved = save_model(store, identity, CASE, FITTED, BandScores(np.arange(60.0), None), {"kind": "served"})
    verdict = {
        "decision": "promoted",
        "case_key": CASE.key,
        "model": "ridge",
        "model_id": saved.id,
        "model_card_sha256": saved.card_sha256,
        **changes,
    }
    Chain(store, "verdicts").append(verdict)  # type: ignore[arg-type]
    return verdict


def edit_card(store: Store, identity: str = "m1", **changes: object) -> None:
    card = json.loads(store.read(card_path(identity)))
    store.replace(card_path(identity), json.dumps({**card, **changes}, indent=1).encode())


def as_of_an_earlier_version(store: Store, identity: str = "m1") -> None:
    card = json.loads(store.read(card_path(identity)))
    del card["files"]
    store.replace(card_path(identity), json.dumps(card, indent=1).encode())


def test_a_pickle_that_is_smuggled_in_is_not_run(tmp_path: Path) -> None:
    store, mark = Store(tmp_path / "store"), tmp_path / "burgled"
    verdict = champion(store)
    forest = make_case(model="random_forest").model_dump(mode="json")
    edit_card(store, case=forest)
    for name in ("forest.joblib", "forest.skops", "ridge.npz"):
        store.replace(f"models/m1/seed-0/{name}", pickle.dumps(Burglar(mark)))
    for seal in (seal_of(verdict), None):  # as the forecast reads it, and as who knows the id only
        with pytest.raises(DamagedError, match=r"card.json is not the model card that was sealed\. Restore it"):
            load_model(store, "m1", seal)
    # Of a verdict of an earlier version only the key of the case is known.
    with pytest.raises(DamagedError, match="another case than the one that was sealed"):
        load_model(store, "m1", ModelSeal(None, CASE.key))
    edit_card(store, case=forest, case_key=make_case(model="random_forest").key)
    with pytest.raises(DamagedError, match="another case than the one that was sealed"):
        load_model(store, "m1", ModelSeal(None, CASE.key))
    # And where nothing is known of it, the files themselves are no pickles.
    as_of_an_earlier_version(store)
    with pytest.raises(StoreError, match=r"saved by an earlier version as a pickle \(seed-0/forest.joblib\)"):
        load_model(store, "m1", ModelSeal())
    store.delete("models/m1/seed-0/forest.joblib")
    with pytest.raises(DamagedError, match=f"Model m1 is damaged .*{REMEDY}"):
        load_model(store, "m1", ModelSeal())
    assert not mark.exists()


def test_an_archive_of_other_types_than_those_of_models_is_refused(tmp_path: Path) -> None:
    skops.io.dump(Burglar(tmp_path / "burgled"), tmp_path / "forest.skops")
    with pytest.raises(StoreError, match=r"forest.skops has objects of types that no model has"):
        load_estimators(tmp_path / "forest.skops")
    assert not (tmp_path / "burgled").exists()


def test_the_whole_model_of_another_champion_is_not_taken_for_this_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    verdict = champion(store)
    other = fit_and_evaluate(CASE, make_dataset(600, seed=9))[2]
    save_model(store, "m2", CASE, other, BandScores(np.arange(60.0), None), {"kind": "served"})
    for path in store.list("models/m2"):
        store.replace(path.replace("/m2/", "/m1/"), store.read(path))
    with pytest.raises(DamagedError, match="not the model card that was sealed"):
        load_model(store, "m1", seal_of(verdict))


@pytest.mark.parametrize("earlier", [False, True])
def test_every_file_that_is_missing_or_cut_off_is_named(tmp_path: Path, earlier: bool) -> None:
    for number, name in enumerate(("seed-0/scaler.npz", "seed-0/ridge.npz", "band_scores.npz")):
        for content in (None, b"", "half"):
            store = Store(tmp_path / f"{number}-{content!r}")
            save_model(store, "m1", CASE, FITTED, BandScores(np.arange(60.0), None), {"kind": "served"})
            if earlier:
                as_of_an_earlier_version(store)
            path = f"models/m1/{name}"
            whole = store.read(path)
            store.delete(path)
            if content is not None:
                store.replace(path, b"" if content == b"" else whole[: len(whole) // 2])
            with pytest.raises(
                DamagedError, match=rf"{name.rpartition('/')[2]}.*{REMEDY}|Model m1 is damaged.*{REMEDY}"
            ):
                load_model(store, "m1")
            assert usable_model(store, "m1") is None or earlier


def test_a_flipped_bit_anywhere_in_a_model_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    champion(store)
    random = np.random.default_rng(3)
    for path in store.list("models"):
        whole = store.read(path)
        for place in random.integers(0, len(whole), 6):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << int(random.integers(8))
            store.replace(path, bytes(flipped))
            with pytest.raises(DamagedError, match=r"was sealed|hash is not that of the model card"):
                load_model(store, "m1")
        store.replace(path, whole)
    assert load_model(store, "m1")[0] == CASE
    assert load_novelty(store, "m1") is None


def test_a_model_that_is_saved_again_differently_leaves_the_sealed_one_and_replaces_a_damaged_one(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    verdict = champion(store)
    scores = BandScores(np.arange(60.0), None)
    assert save_model(store, "m1", CASE, FITTED, scores, {"kind": "served"}).id == "m1"
    again = save_model(store, "m1", CASE, FITTED, scores, {"kind": "served", "n_trials": 2})
    assert again.id != "m1"
    assert load_model(store, "m1", seal_of(verdict))[0] == CASE
    assert isinstance(again, SavedModel)
    assert saved_models(store) == sorted(["m1", again.id])
    store.delete("models/m1/seed-0/scaler.npz")
    assert save_model(store, "m1", CASE, FITTED, scores, {"kind": "served"}).id == "m1"
    assert load_model(store, "m1", seal_of(verdict))[0] == CASE
    assert saved_models(store) == sorted(["m1", again.id])  # what was damaged is kept, and is no model
    assert [path for path in store.list("models/m1.corrupt") if path.endswith("card.json")]


def test_a_verdict_without_the_hash_of_a_card_is_accepted_and_a_later_one_takes_nothing_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    verdict = champion(store)
    earlier = {name: value for name, value in verdict.items() if name != "model_card_sha256"}
    Chain(store, "verdicts").append({**earlier, "decision": "retired"})  # type: ignore[arg-type]
    assert load_model(store, "m1", seal_of(earlier))[0] == CASE  # type: ignore[arg-type]
    edit_card(store, n_trials=1)
    assert read_card(store, "m1", seal_of(earlier))["n_trials"] == 1  # type: ignore[arg-type]
    with pytest.raises(DamagedError, match="not the model card that was sealed"):
        read_card(store, "m1")


def test_a_champion_whose_model_is_no_longer_loaded_is_refitted_by_its_review(tmp_path: Path) -> None:
    store, market = Store(tmp_path), market_with_edge()
    promoted = decide_promotion(store, market, result(GOOD, market, store), None, REAL)
    champion = {
        **market.series.key, "case_key": GOOD.key, "dataset_id": market.id, "frozen_model_id": promoted.frozen_model_id,
        "model_id": promoted.model_id, "holdout_skill": 0.1,
    }  # fmt: skip
    assert is_loadable(store, {**champion, "model_card_sha256": promoted.model_card_sha256})
    for identity in (promoted.model_id, promoted.frozen_model_id):
        as_of_an_earlier_version(store, str(identity))
        store.replace(f"models/{identity}/seed-0/forest.joblib", b"\\x80")
    assert not is_loadable(store, champion)  # type: ignore[arg-type]
    newest = replace(market_with_edge(4800), id="d2")
    body = review_champion(store, newest, champion, LiveRecord(), REAL, PromotionContext(now_ms=0))  # type: ignore[arg-type]
    assert (body["decision"], body["model_card_sha256"] is not None) == ("confirmed", True)
    assert load_model(store, body["model_id"], seal_of(body))[0] == GOOD
    # Also where not even a card is left: the case is that of the result that was promoted.
    store.delete("models")
    assert champion_case(store, champion) == GOOD  # type: ignore[arg-type]
    assert champion_card(store, champion)["holdout"] == {"skill": 0.1}  # type: ignore[arg-type]
    store.delete("results")
    with pytest.raises(StoreError, match="No model"):
        champion_case(store, champion)  # type: ignore[arg-type]
