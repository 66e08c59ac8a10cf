"""The signing key of a home, which seals the records of its chains.

It is a secret file (`secret_files`) in the home, never in the store, and holds which records were in the chains when it
was made: those stay valid without its signature. It is made when the first record is sealed. A home whose chains have
signed records and that has no key gets no new one in silence: `candleworks new-key` makes one, and from then on
`candleworks verify` says since when.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.workspace.secret_files import read_secret_file, write_secret_file
from ml.errors import CandleworksError, ConfigurationError, ServiceError, StoreError
from ml.forecasting.chain import Chain
from ml.forecasting.seals import CHAINS, verify_chains
from ml.forecasting.trust import AcceptedHead, Trust
from ml.signatures import SigningKey
from ml.store import Store

_REMEDY = "Restore it from a backup of this home, or make a new key with `candleworks new-key`."


class _Head(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sequence: int
    hash: str


class _Content(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(extra="forbid")

    private: str
    since: str
    accepted: dict[str, _Head]


class HomeKey:
    """The key of a home and the records that it accepts.

    Attributes:
        key: signs records.
        trust: which records of the chains the home accepts.
    """

    def __init__(self, content: _Content) -> None:
        self.key = SigningKey(content.private)
        accepted = {name: AcceptedHead(head.sequence, head.hash) for name, head in content.accepted.items()}
        self.trust = Trust(self.key.public, content.since, accepted)


def signing_key_path(home: Path) -> Path:
    """The file of a home's signing key."""
    return home / "signing-key"


def find_key(home: Path, store: Store) -> HomeKey | None:
    """The key of a home; None where it has none yet and no chain has a signed record.

    Raises:
        ServiceError: the file is missing though records are signed, or others may read it, or it is broken.
    """
    path = signing_key_path(home)
    with suppress(FileNotFoundError):
        return _read(path)
    if signed := next(_signed_chains(store), ""):
        raise ServiceError(
            f"{path} is missing, and the chain {signed} has signed records. {_REMEDY} A copy of the store without its "
            "home is verified with `candleworks verify --key KEY`."
        )
    return None


def home_key(home: Path, store: Store, now: datetime) -> HomeKey:
    """The key of a home, made if there is none yet.

    Args:
        home: the folder of the home.
        store: with its chains.
        now: UTC; stored with a new key.

    Raises:
        ServiceError: see `find_key`, or it cannot be written.
        StoreError: the last record of a chain is bad.
    """
    found = find_key(home, store)
    if found is None:
        write_secret_file(signing_key_path(home), _new_content(store, now))
        return _read(signing_key_path(home))  # of several processes that made one at once all use the first
    return found


def renew_key(home: Path, store: Store, now: datetime) -> HomeKey:
    """Replace the key of a home by a new one that accepts all present records, which must be whole.

    Raises:
        ConfigurationError: there is no such home.
        StoreError: a chain does not verify; nothing was changed.
    """
    if not home.is_dir():
        raise ConfigurationError(f"There is no home {home}. Give its folder with --home.")
    if problem := next((report.problem for report in verify_chains(store) if report.problem), ""):
        raise StoreError(f"The present records cannot be accepted: {problem}")
    write_secret_file(signing_key_path(home), _new_content(store, now), replace=True)
    return _read(signing_key_path(home))


def _new_content(store: Store, now: datetime) -> str:
    heads = {name: Chain(store, name).head() for name in CHAINS}
    accepted = {name: _Head(sequence=sequence, hash=last) for name, (sequence, last) in heads.items() if sequence}
    content = _Content(private=SigningKey.create().text, since=now.isoformat(timespec="seconds"), accepted=accepted)
    return content.model_dump_json()


def _signed_chains(store: Store) -> Iterator[str]:
    """Names of the chains whose last record is signed; a chain that cannot be read is left to its verification."""
    for name in CHAINS:
        with suppress(StoreError):
            sequence, _ = Chain(store, name).head()
            if sequence and "key" in Chain(store, name).record(sequence):
                yield name


def _read(path: Path) -> HomeKey:
    text = read_secret_file(path, _REMEDY)
    try:
        return HomeKey(_Content.model_validate_json(text))
    except (ValidationError, CandleworksError):
        raise ServiceError(f"{path} is not a signing key. {_REMEDY}") from None
