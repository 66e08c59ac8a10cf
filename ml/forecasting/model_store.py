"""Saved models: a folder ``models/<id>/`` with the members of an ensemble and its model card."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ml.canonical import digest
from ml.data.targets import TARGETS
from ml.errors import StoreError
from ml.evaluation.forecaster import Ensemble, Member, Part, Scaler
from ml.evaluation.units import Units
from ml.execution.former_keys import former_keys, under_todays_keys
from ml.forecasting.novelty import Novelty
from ml.metrics.conformal import BandScores
from ml.models import MODELS
from ml.records import ModelCard
from ml.search.cases import TestCase
from ml.store import Store

NOVELTY_FILE = "novelty.npz"


def model_id(case: TestCase, dataset_id: str, kind: str) -> str:
    """Id of the model of a case on a dataset; `kind` is "frozen" (as evaluated) or "served" (refitted)."""
    return digest([case.key, dataset_id, kind])[:24]


def card_path(identity: str) -> str:
    """The file that completes a saved model."""
    return f"models/{identity}/card.json"


def save_model(
    store: Store,
    identity: str,
    case: TestCase,
    ensemble: Ensemble,
    band_scores: BandScores,
    card: ModelCard,
    novelty: Novelty | None = None,
) -> None:
    """Write members, nonconformity scores, novelty measure and card.

    The card is last; a model without one is incomplete.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        times = np.empty(0, np.int64) if band_scores.target_open_ms is None else band_scores.target_open_ms
        np.savez(folder / "band_scores.npz", values=band_scores.values, target_open_ms=times)
        _save_ensemble(folder, case, ensemble)
        if novelty is not None:
            (folder / NOVELTY_FILE).write_bytes(novelty.to_bytes())
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                store.replace(f"models/{identity}/{file.relative_to(folder).as_posix()}", file.read_bytes())
    content = card | {"model_id": identity, "case": case.model_dump(mode="json"), "case_key": case.key}
    store.replace(card_path(identity), json.dumps(content, indent=1).encode())


def _save_ensemble(folder: Path, case: TestCase, ensemble: Ensemble) -> None:
    """A folder per seed, and for an ensemble case a folder per member with its seeds."""
    for part in ensemble.parts:
        _save_ensemble(folder / f"member-{part.case.key}", part.case, part.ensemble)
    for seed, member in zip(case.seeds, ensemble.members, strict=not ensemble.parts):
        place = folder / f"seed-{seed}"
        place.mkdir(parents=True)
        if member.scaler is not None:
            np.savez(place / "scaler.npz", mean=member.scaler.mean, scale=member.scaler.scale)
        member.model.save(place)


def _load_ensemble(folder: Path, case: TestCase) -> Ensemble:
    if case.members is not None:
        parts = [
            Part(one, case.member_columns(one), _load_ensemble(folder / f"member-{one.key}", one))
            for one in case.members
        ]
        return Ensemble(parts=tuple(parts))
    members = []
    for seed in case.seeds:
        place = folder / f"seed-{seed}"
        model = MODELS[case.model].build(case.params, seed)
        model.load(place)
        members.append(Member(_load_scaler(place), model, TARGETS[case.target], Units.of(case)))
    return Ensemble(tuple(members), keeps_close=case.keeps_close)


def read_card(store: Store, identity: str) -> ModelCard:
    """The model card.

    Raises:
        StoreError: there is no such model.
    """
    try:
        card: ModelCard = json.loads(store.read(card_path(identity)))
    except FileNotFoundError:
        raise StoreError(f"No model {identity} in {store.url}. Run `candleworks promote`.") from None
    return under_todays_keys(card, former_keys(store))


def saved_models(store: Store) -> list[str]:
    """Ids of all complete models, sorted."""
    return [path.split("/")[1] for path in store.list("models") if path.endswith("/card.json")]


def resolved(store: Store, identity: str) -> str:
    """The id of the saved model whose id begins with `identity`.

    Raises:
        StoreError: there is none, or there are several.
    """
    models = saved_models(store)
    found = [identity] if identity in models else [name for name in models if name.startswith(identity)]
    if not found:
        listed = few(models) or "none"
        raise StoreError(f"No model {identity} in {store.url}; there are: {listed}. `candleworks models` lists them.")
    if len(found) > 1:
        raise StoreError(f"{len(found)} models begin with {identity!r}: {', '.join(found)}. Give more of the id.")
    return found[0]


def few(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def load_model(store: Store, identity: str) -> tuple[TestCase, Ensemble, BandScores]:
    """The case, the ensemble and the nonconformity scores of a saved model.

    Raises:
        StoreError: there is no such model.
    """
    case = TestCase.model_validate(read_card(store, identity)["case"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prefix = f"models/{identity}/"
        for path in store.list(prefix.rstrip("/")):
            place = folder / path.removeprefix(prefix)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(store.read(path))
        ensemble = _load_ensemble(folder, case)
        band_scores = _load_scores(folder)
    return case, ensemble, band_scores


def _load_scores(folder: Path) -> BandScores:
    """The nonconformity scores; models of earlier versions have a file without times."""
    if not (folder / "band_scores.npz").exists():
        return BandScores(np.load(folder / "band_scores.npy", allow_pickle=False), None)
    with np.load(folder / "band_scores.npz", allow_pickle=False) as stored:
        times = stored["target_open_ms"]
        return BandScores(stored["values"], times if len(times) else None)


def load_novelty(store: Store, identity: str) -> Novelty | None:
    """The novelty measure of a saved model; None if it has none, as those of earlier versions."""
    path = f"models/{identity}/{NOVELTY_FILE}"
    if not store.exists(path):
        return None
    case = TestCase.model_validate(read_card(store, identity)["case"])
    return Novelty.from_bytes(store.read(path), Units.of(case))


def _load_scaler(place: Path) -> Scaler | None:
    """The scaler of a member; None if its family takes raw candles."""
    if not (place / "scaler.npz").exists():
        return None
    with np.load(place / "scaler.npz", allow_pickle=False) as stored:
        return Scaler(stored["mean"], stored["scale"])
