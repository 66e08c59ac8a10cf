"""The folder of a saved model: its files, their hashes in the model card, and the hash of the card in a sealed record.

Three links, all checked before anything is built from a file:

- the verdict that promoted a champion, or the record of a trading rule, has the SHA-256 of ``card.json``;
- the card has the SHA-256 of every other file;
- the case in the card has the key that the sealed record names, so the family is that of the verdict.

Folders are written whole and never changed. Records sealed by earlier versions lack the hash of the card, and cards of
earlier versions those of the files: such models are accepted by the key of their case, and the card says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, cast

from ml.canonical import digest
from ml.data.stored import json_object, sha256
from ml.errors import CaseError, DamagedError, StoreError
from ml.execution.former_keys import former_keys, under_todays_keys
from ml.forecasting.chain import Chain
from ml.records import ModelCard, VerdictRecord
from ml.search.cases import TestCase
from ml.store import Store

CARD = "card.json"
#: Keys that every card has had.
_KEYS = {"model_id": str, "case": dict, "case_key": str}
REMEDY = (
    "Restore it from a backup, or let the model be fitted again: `candleworks review` for a champion, "
    "`candleworks rules` for a signal, `candleworks chart-model` for charts."
)


@dataclass(frozen=True)
class ModelSeal:
    """What a sealed record says of a model; None where it does not.

    Attributes:
        card_sha256: hash of the model card.
        case_key: key of its case.
    """

    card_sha256: str | None = None
    case_key: str | None = None


@dataclass(frozen=True)
class SavedModel:
    """Where a model was saved: its id, and the hash of its card for the record that is sealed about it."""

    id: str
    card_sha256: str


def seal_of(champion: VerdictRecord) -> ModelSeal:
    """What the verdict of a champion says of the model that serves."""
    return ModelSeal(champion.get("model_card_sha256"), champion.get("case_key"))


def frozen_seal_of(champion: VerdictRecord) -> ModelSeal:
    """What the verdict of a champion says of the model that was evaluated."""
    return ModelSeal(champion.get("frozen_card_sha256"), champion.get("case_key"))


def model_seals(store: Store) -> dict[str, ModelSeal]:
    """What the sealed verdicts and trading rules say of their models, by id; later records prevail."""
    keys = former_keys(store)
    found: dict[str, ModelSeal] = {}
    for name, seals in (("verdicts", _seals_of_verdict), ("rules", seals_of_rule)):
        for record in Chain(store, name).records():
            for identity, seal in seals(under_todays_keys(record["body"], keys)):
                # A later record that says less, of an earlier version, takes nothing back.
                if identity not in found or seal.card_sha256 is not None:
                    found[identity] = seal
    return found


def _seals_of_verdict(verdict: VerdictRecord) -> Iterator[tuple[str, ModelSeal]]:
    if frozen := verdict.get("frozen_model_id"):
        yield frozen, frozen_seal_of(verdict)
    if serving := verdict.get("model_id"):
        yield serving, seal_of(verdict)


class ModelsOfRule(TypedDict, total=False):
    """The part of a trading rule (`ml.trading.records.RuleRecord`) that seals its models."""

    model_ids: list[str]
    model_cards: list[str]


def seals_of_rule(rule: ModelsOfRule) -> list[tuple[str, ModelSeal]]:
    """The models of a trading rule, and what its record says of each."""
    models = rule.get("model_ids", [])
    cards: Sequence[str | None] = rule.get("model_cards") or [None] * len(models)
    return [(identity, ModelSeal(card)) for identity, card in zip(models, cards, strict=True)]


@dataclass(frozen=True)
class ModelFolder:
    """A saved model whose card has been checked; `read` checks each file."""

    store: Store
    id: str
    card: ModelCard
    case: TestCase

    @classmethod
    def open(cls, store: Store, identity: str, seal: ModelSeal | None = None) -> ModelFolder:
        """The folder of a model.

        Args:
            store: that has it.
            identity: of the model.
            seal: what a sealed record says of it; None: looked up in the chains.

        Raises:
            StoreError: there is no such model.
            DamagedError: its card is damaged, or not the sealed one.
        """
        path = card_path(identity)
        try:
            content = store.read(path)
        except FileNotFoundError:
            raise StoreError(f"No model {identity} in {store.url}. Run `candleworks promote`.") from None
        known = seal or model_seals(store).get(identity, ModelSeal())
        if known.card_sha256 is not None and sha256(content) != known.card_sha256:
            raise DamagedError(f"{path} is not the model card that was sealed. {REMEDY}")
        card = cast(ModelCard, under_todays_keys(json_object(content, path, _KEYS, REMEDY), former_keys(store)))
        try:
            case = TestCase.model_validate(card["case"])
        except (ValueError, CaseError):
            raise DamagedError(f"{path} is damaged (without a valid 'case'). {REMEDY}") from None
        if case.key != card["case_key"] or known.case_key not in (None, case.key):
            raise DamagedError(f"{path} has another case than the one that was sealed. {REMEDY}")
        return cls(store, identity, card, case)

    def names(self) -> list[str]:
        """The files of the model but its card, relative to its folder; of a card of an earlier version, all there."""
        if "files" in self.card:
            return list(self.card["files"])
        prefix = f"models/{self.id}/"
        return [path.removeprefix(prefix) for path in self.store.list(f"models/{self.id}") if path != prefix + CARD]

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            DamagedError: it is missing, or not the one that was saved.
        """
        path = f"models/{self.id}/{name}"
        try:
            content = self.store.read(path)
        except FileNotFoundError:
            raise DamagedError(f"{path} is missing. {REMEDY}") from None
        if "files" in self.card and sha256(content) != self.card["files"].get(name):
            raise DamagedError(f"{path} is damaged (its hash is not that of the model card). {REMEDY}")
        return content


def card_path(identity: str) -> str:
    """The file that completes a saved model."""
    return f"models/{identity}/{CARD}"


def write_folder(
    store: Store, identity: str, files: Mapping[str, bytes], case: TestCase, card: ModelCard
) -> SavedModel:
    """Write a model as a whole folder, with its card.

    A complete model that is there already stays: the record that was sealed about it names its hash. With the same
    content it is the model; otherwise the new one gets another id.
    """
    hashes = {name: sha256(content) for name, content in sorted(files.items())}
    described = {"case": case.model_dump(mode="json"), "case_key": case.key, "files": hashes}
    while True:
        content = json.dumps(card | {"model_id": identity, **described}, indent=1).encode()
        saved = SavedModel(identity, sha256(content))
        if not store.exists(f"models/{identity}"):
            try:
                store.create_folder(f"models/{identity}", {**files, CARD: content})
                return saved
            except FileExistsError:
                pass  # another process was first
        if _is_whole(store, identity):
            if store.read(card_path(identity)) == content:
                return saved
            identity = digest([identity, saved.card_sha256])[:24]
        else:
            store.set_aside(f"models/{identity}")


def _is_whole(store: Store, identity: str) -> bool:
    try:
        folder = ModelFolder.open(store, identity)
        for name in folder.names():
            folder.read(name)
    except StoreError:
        return False
    return True
