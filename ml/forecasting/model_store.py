"""Saved models: a folder ``models/<id>/`` with the members of an ensemble and its model card."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ml.canonical import digest
from ml.data.stored import arrays, sha256
from ml.data.targets import TARGETS
from ml.errors import CandleworksError, DamagedError, StoreError, StoreIOError
from ml.evaluation.forecaster import Ensemble, Member, Part, Scaler
from ml.evaluation.units import Units
from ml.forecasting.model_folder import CARD, REMEDY, ModelFolder, ModelSeal, SavedModel, card_path, write_folder
from ml.forecasting.novelty import Novelty
from ml.metrics.conformal import BandScores
from ml.models import MODELS
from ml.records import ModelCard
from ml.search.cases import TestCase
from ml.store import Store
from ml.texts import first_line

NOVELTY_FILE = "novelty.npz"
_SCORES_FILE = "band_scores.npz"
#: Models of earlier versions have these; loading one would run its content.
_PICKLED = (".joblib", ".pkl", ".pickle")


def model_id(case: TestCase, dataset_id: str, kind: str) -> str:
    """Id of the model of a case on a dataset; `kind` is "frozen" (as evaluated) or "served" (refitted)."""
    return digest([case.key, dataset_id, kind])[:24]


def save_model(
    store: Store,
    identity: str,
    case: TestCase,
    ensemble: Ensemble,
    band_scores: BandScores,
    card: ModelCard,
    novelty: Novelty | None = None,
) -> SavedModel:
    """Write members, nonconformity scores, novelty measure and card as a whole folder, with a hash of each file.

    Returns:
        The id, which is `identity` unless another model has it (see `write_folder`), and the hash of the card.
    """
    times = np.empty(0, np.int64) if band_scores.target_open_ms is None else band_scores.target_open_ms
    scores = io.BytesIO()
    np.savez(scores, values=band_scores.values, target_open_ms=times)
    files = {_SCORES_FILE: scores.getvalue()} | ({} if novelty is None else {NOVELTY_FILE: novelty.to_bytes()})
    with _scratch() as folder:
        _save_ensemble(folder, case, ensemble)
        for file in folder.rglob("*"):
            if file.is_file():
                files[file.relative_to(folder).as_posix()] = file.read_bytes()
    return write_folder(store, identity, files, case, card)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary folder, since the libraries save to and load from files.

    Raises:
        StoreIOError: it cannot be written, for example because its disk is full.
    """
    try:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    except OSError as error:
        raise StoreIOError(
            f"Cannot write temporary files to {tempfile.gettempdir()} ({error}). Free space there, then run again."
        ) from error


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
        members.append(Member(_load_scaler(place, case), model, TARGETS[case.target], Units.of(case)))
    return Ensemble(tuple(members), keeps_close=case.keeps_close)


def read_card(store: Store, identity: str, seal: ModelSeal | None = None) -> ModelCard:
    """The model card, checked against its seal (see `ModelFolder.open`).

    Raises:
        StoreError: there is no such model, or its card is damaged.
    """
    return ModelFolder.open(store, identity, seal).card


def usable_model(store: Store, identity: str, seal: ModelSeal | None = None) -> SavedModel | None:
    """A saved model that can be loaded, or None: its files are those of its card, and none is a pickle."""
    try:
        folder = ModelFolder.open(store, identity, seal)
        _refuse_pickles(identity, {name: folder.read(name) for name in folder.names()})
        return SavedModel(identity, sha256(store.read(card_path(identity))))
    except StoreError:
        return None


def saved_models(store: Store) -> list[str]:
    """Ids of all complete models, sorted."""
    paths = [path.split("/") for path in store.list("models")]
    # Folders that were set aside keep their files.
    return [path[1] for path in paths if path[2:] == [CARD] and not path[1].endswith(".corrupt")]


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


def load_model(store: Store, identity: str, seal: ModelSeal | None = None) -> tuple[TestCase, Ensemble, BandScores]:
    """The case, the ensemble and the nonconformity scores of a saved model; all files are checked before one is loaded.

    Args:
        store: that has it.
        identity: of the model.
        seal: what a sealed record says of it; None: looked up in the chains.

    Raises:
        StoreError: there is no such model, it is damaged, or an earlier version saved it in a form that is not loaded.
    """
    saved = ModelFolder.open(store, identity, seal)
    files = {name: saved.read(name) for name in saved.names()}
    _refuse_pickles(identity, files)
    with _scratch() as folder:
        for path, content in files.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        try:
            ensemble = _load_ensemble(folder, saved.case)
        except CandleworksError as error:
            raise DamagedError(f"Model {identity} is damaged: {error} {REMEDY}") from error
        except Exception as error:  # of any library that reads a damaged file
            raise DamagedError(f"Model {identity} is damaged ({first_line(error, 120)}). {REMEDY}") from error
    return saved.case, ensemble, _load_scores(files)


def _refuse_pickles(identity: str, files: Mapping[str, bytes]) -> None:
    """Models of some families were pickled by earlier versions."""
    if found := [name for name in files if name.endswith(_PICKLED)]:
        raise StoreError(
            f"Model {identity} was saved by an earlier version as a pickle ({found[0]}), which is not loaded, because "
            f"loading it runs its content. {REMEDY}"
        )


def _load_scores(files: Mapping[str, bytes]) -> BandScores:
    """The nonconformity scores; models of earlier versions have a file without times."""
    if _SCORES_FILE not in files:
        earlier = "band_scores.npy"
        if earlier not in files:
            raise DamagedError(f"{_SCORES_FILE} is missing. {REMEDY}")
        try:
            return BandScores(np.load(io.BytesIO(files[earlier]), allow_pickle=False), None)
        except (ValueError, OSError, EOFError):
            raise DamagedError(f"{earlier} is damaged. {REMEDY}") from None
    stored = arrays(files[_SCORES_FILE], _SCORES_FILE, ("values", "target_open_ms"), REMEDY)
    times = stored["target_open_ms"]
    return BandScores(stored["values"], times if len(times) else None)


def load_novelty(store: Store, identity: str, seal: ModelSeal | None = None) -> Novelty | None:
    """The novelty measure of a saved model; None if it has none, as those of earlier versions."""
    saved = ModelFolder.open(store, identity, seal)
    if NOVELTY_FILE not in saved.names():
        return None
    content = saved.read(NOVELTY_FILE)
    try:
        return Novelty.from_bytes(content, Units.of(saved.case))
    except Exception as error:  # of a card without hashes
        raise DamagedError(
            f"{NOVELTY_FILE} of model {identity} is damaged ({first_line(error, 120)}). {REMEDY}"
        ) from error


def _load_scaler(place: Path, case: TestCase) -> Scaler | None:
    """The scaler of a member; None if its family takes raw candles."""
    if MODELS[case.model].inputs != "features":
        return None
    path = place / "scaler.npz"
    if not path.exists():
        raise DamagedError(f"{place.name}/scaler.npz is missing.")
    stored = arrays(path.read_bytes(), f"{place.name}/scaler.npz", ("mean", "scale"), "")
    return Scaler(stored["mean"], stored["scale"])
