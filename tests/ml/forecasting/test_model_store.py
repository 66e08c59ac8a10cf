"""Saved models: complete, data that comes back, and found or named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ml.errors import StoreError
from ml.evaluation.evaluate import fit_and_evaluate
from ml.forecasting.model_store import card_path, load_model, model_id, read_card, save_model
from ml.metrics.conformal import BandScores
from ml.store import Store
from tests.synthetic import make_case, make_dataset


@pytest.mark.parametrize("url", ["folder", "memory://candleworks-models"])
def test_an_ensemble_comes_back_with_every_seed_its_scalers_and_its_scores(tmp_path: Path, url: str) -> None:
    store = Store(tmp_path if url == "folder" else url)
    case = make_case(model="lightgbm", params={"trees": 5, "leaves": 4}, seeds=(3, 1), lags=2)
    _, prepared, ensemble = fit_and_evaluate(case, make_dataset(1000))
    save_model(store, "m1", case, ensemble, BandScores(np.array([0.5, -0.25]), np.array([3, 7])), {"kind": "frozen"})
    same_case, loaded, scores = load_model(store, "m1")
    windows = prepared.windows_at(prepared.rows("validation"))
    assert same_case == case
    assert len(loaded.members) == 2
    for before, after in zip(ensemble.members, loaded.members, strict=True):
        np.testing.assert_allclose(after.predict(windows), before.predict(windows), rtol=0, atol=1e-12)
    np.testing.assert_allclose(loaded.predict(windows), ensemble.predict(windows), rtol=0, atol=1e-12)
    assert (scores.values.tolist(), scores.target_open_ms.tolist()) == ([0.5, -0.25], [3, 7])
    card = read_card(store, "m1")
    assert (card["model_id"], card["case_key"], card["kind"]) == ("m1", case.key, "frozen")


def without_hashes(store: Store, identity: str) -> None:
    """The card as earlier versions wrote it."""
    card = read_card(store, identity)
    del card["files"]
    store.replace(card_path(identity), json.dumps(card).encode())


def test_scores_of_an_earlier_version_have_no_times(tmp_path: Path) -> None:
    store, case = Store(tmp_path), make_case()
    _, _, ensemble = fit_and_evaluate(case, make_dataset(1000))
    save_model(store, "m1", case, ensemble, BandScores(np.array([0.5]), None), {})
    assert load_model(store, "m1")[2].target_open_ms is None
    (tmp_path / "models/m1/band_scores.npz").unlink()
    without_hashes(store, "m1")
    np.save(tmp_path / "models/m1/band_scores.npy", np.array([0.5, -0.25]))
    scores = load_model(store, "m1")[2]
    assert (scores.values.tolist(), scores.target_open_ms) == ([0.5, -0.25], None)


def test_an_id_names_case_dataset_and_kind() -> None:
    case = make_case()
    ids = [
        model_id(case, "d1", "frozen"),
        model_id(case, "d1", "served"),
        model_id(case, "d2", "frozen"),
        model_id(make_case(lags=2), "d1", "frozen"),
    ]
    assert len(set(ids)) == 4
    assert ids[0] == model_id(make_case(feature_set="a name for people"), "d1", "frozen")


def test_a_model_that_is_not_there_or_was_never_finished_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.replace("models/m1/band_scores.npz", b"half a model")
    for identity in ("m1", "m2"):
        with pytest.raises(StoreError, match=f"No model {identity} in"):
            load_model(store, identity)
