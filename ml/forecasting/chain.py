"""Sealed chains: tamper-evident hash chains of records.

Each record is a file ``<folder>/<sequence>.json``, created exclusively, with the hash of the previous record and the
signature of the home that sealed it (`ml.forecasting.trust`). Two concurrent writers cannot fork a chain: only one of
them can create the next number. Before each record the last one is checked: nothing is appended to a chain that has a
hole, or whose end is not what a home of this key wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ml.canonical import canonical_json, digest
from ml.errors import StoreError
from ml.forecasting.trust import Sealer
from ml.records import Body, SealedRecord
from ml.signatures import is_signed
from ml.store import Store

GENESIS = "0" * 64
_UNSIGNED = frozenset(("sequence", "previous", "body", "hash"))
_SIGNED = _UNSIGNED | {"chain", "key", "signature", "wall_time", "replayed"}
#: How often a folder is listed that other writers fill meanwhile.
_LISTINGS = 10
_RESTORE = "Restore the store from a backup."


def record_hash(record: SealedRecord) -> str:
    """The hash of a record: over all its fields but `hash` and `signature`."""
    return digest({name: value for name, value in record.items() if name not in ("hash", "signature")})


def _seal(chain: str, sequence: int, previous: str, body: Body, sealer: Sealer | None) -> SealedRecord:
    record: SealedRecord = {"sequence": sequence, "previous": previous, "body": body, "hash": ""}
    if sealer is not None:
        record["chain"], record["key"] = chain, sealer.key.public
        record["wall_time"], record["replayed"] = sealer.wall_clock().isoformat(), sealer.replayed
    record["hash"] = record_hash(record)
    if sealer is not None:
        record["signature"] = sealer.key.sign(_signed_bytes(record))
    return record


def _signed_bytes(record: SealedRecord) -> bytes:
    # With a name, so that a signature of anything else by this key fits no record.
    return f"candleworks record {record['hash']}".encode()


def _bad(path: str) -> str:
    return f"{path} is the first bad record"


class Chain:
    """The chain in one folder of the store.

    Args:
        store: where it is.
        folder: its name.
        sealer: signs new records; None: for reading. A chain of unsigned records, as earlier versions and tests
            write them, can be appended to without one, no other.
    """

    def __init__(self, store: Store, folder: str, sealer: Sealer | None = None) -> None:
        self._store = store
        self.folder = folder
        self._sealer = sealer
        self._written: SealedRecord | None = None

    def _path(self, sequence: int) -> str:
        return f"{self.folder}/{sequence:010d}.json"

    def _read(self, path: str) -> SealedRecord:
        try:
            record: SealedRecord = json.loads(self._store.read(path))
        except ValueError:
            raise StoreError(
                f"{path} is not a sealed record. `candleworks verify` shows where the chain breaks."
            ) from None
        return record

    def head(self) -> tuple[int, str]:
        """Sequence and hash of the last record; (0, 64 zeros) of an empty chain. Sequences start at 1.

        Raises:
            StoreError: a record is missing before it, or it is bad.
        """
        last = self._tail()
        return (last["sequence"], last["hash"]) if last else (0, GENESIS)

    def _listed(self) -> list[str]:
        """All files of the folder.

        A file that is created while a folder is listed may be missing though a later one is there: that is no hole.
        """
        paths: list[str] = []
        for _ in range(_LISTINGS):
            paths = self._store.list(self.folder)
            wanted = next((self._path(n) for n, path in enumerate(paths, 1) if path != self._path(n)), None)
            if wanted is None or wanted in paths or not self._store.exists(wanted):
                break
        return paths

    def _tail(self) -> SealedRecord | None:
        """The last record, checked with the one before it; None of an empty chain.

        Raises:
            StoreError: a record is missing, or one of the two is bad.
        """
        paths = self._listed()
        if not paths:
            return None
        for sequence, path in enumerate(paths, 1):
            if path != self._path(sequence):
                raise StoreError(f"{_bad(path)}: number {sequence} was expected there. {_RESTORE}")
        n = len(paths)
        return self.record(n, self.record(n - 1)["hash"] if n > 1 else GENESIS)

    def append(self, body: Body) -> SealedRecord:
        """Seal `body` as the next record and return the whole record.

        Raises:
            StoreError: the chain has a hole or a bad end, which would be sealed in, or cannot be written.
        """
        refused = -1
        while True:
            last = self._last_to_continue()
            sequence, previous = (last["sequence"], last["hash"]) if last else (0, GENESIS)
            path = self._path(sequence + 1)
            if sequence == refused:
                raise StoreError(
                    f"{path} cannot be created, though it is no record. Move the thing of this name out of "
                    f"{self._store.url}, then run again."
                )
            record = _seal(self.folder, sequence + 1, previous, body, self._sealer)
            try:
                self._store.create(path, canonical_json(record).encode())
            except FileExistsError:
                # Another writer took this number: seal again after its record, which must then be the last one.
                self._written, refused = None, sequence
                continue
            self._written = record
            return record

    def _last_to_continue(self) -> SealedRecord | None:
        """The last record, if a new one may follow it.

        After a record of our own the folder need not be listed again: if it is not the last, create fails.
        """
        if self._written is not None:
            last = self.record(self._written["sequence"], self._written["previous"])
            if last["hash"] != self._written["hash"]:
                raise StoreError(f"{self.bad_record(last['sequence'])}: it was changed after it was sealed. {_RESTORE}")
            return last
        found = self._tail()
        if found is None:
            return None
        if self._sealer is None:
            problem = "it is signed, and this writer has no key" if "key" in found else ""
        else:
            problem = self._sealer.trust.problem(self.folder, found)
        if problem:
            raise StoreError(
                f"{self.bad_record(found['sequence'])}: {problem}. Nothing was appended after it. {_RESTORE}"
            )
        return found

    def records(self, after: int = 0) -> Iterator[SealedRecord]:
        """Records with a sequence above `after`, in order."""
        start = self._path(after)
        for path in self._store.list(self.folder):
            if path > start:
                yield self._read(path)

    def verify(self, head: str | None = None) -> int:
        """Check every record against its seal and its predecessor.

        Args:
            head: a hash published earlier, which must be in the chain; detects a cut or rewritten chain.

        Returns:
            The number of records.

        Raises:
            StoreError: names the first bad record.
        """
        hashes = {GENESIS, *(record["hash"] for record in self.checked_records())}
        if head is not None and head not in hashes:
            raise StoreError(
                f"{self.folder}: no record has the published hash {head[:16]}...: the chain was cut or rewritten. "
                f"{_RESTORE}"
            )
        return len(hashes) - 1

    def checked_records(self, after: int = 0, previous: str = GENESIS) -> Iterator[SealedRecord]:
        """All records in order, each checked against its seal and its predecessor before it is yielded.

        Args:
            after: the number of a record that was checked before; those after it are read.
            previous: its hash.

        Raises:
            StoreError: names the first bad record.
        """
        for sequence, path in enumerate(self._listed()[after:], after + 1):
            record = self._checked(path, sequence, previous)
            previous = record["hash"]
            yield record

    def record(self, sequence: int, previous: str | None = None) -> SealedRecord:
        """One record, checked against its seal.

        Args:
            sequence: its number, from 1.
            previous: hash of the record before it, which it must name; None: not checked.

        Raises:
            StoreError: it is missing or bad.
        """
        path = self._path(sequence)
        try:
            return self._checked(path, sequence, previous)
        except FileNotFoundError:
            raise StoreError(f"{_bad(path)}: it is missing. {_RESTORE}") from None

    def bad_record(self, sequence: int) -> str:
        """The beginning of every error about a record."""
        return _bad(self._path(sequence))

    def _checked(self, path: str, sequence: int, previous: str | None) -> SealedRecord:
        bad = _bad(path)
        try:
            content = self._store.read(path)
            record: SealedRecord = json.loads(content)
            if record.keys() != _UNSIGNED and record.keys() != _SIGNED:
                raise ValueError("unknown fields")
            sealed = {**record, "hash": record_hash(record)}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StoreError(f"{bad}: it is not a sealed record. {_RESTORE}") from None
        if path != self._path(sequence) or record["sequence"] != sequence:
            raise StoreError(f"{bad}: number {sequence} was expected there. {_RESTORE}")
        if previous is not None and record["previous"] != previous:
            raise StoreError(f"{bad}: it does not follow the record before it. {_RESTORE}")
        # Byte for byte: a file that merely parses to the same content is not the sealed one.
        if content != canonical_json(sealed).encode():
            raise StoreError(f"{bad}: its content does not match its hash. {_RESTORE}")
        if "key" in record:
            if record["chain"] != self.folder:
                raise StoreError(f"{bad}: it was sealed for the chain {record['chain']}. {_RESTORE}")
            if not is_signed(_signed_bytes(record), str(record["signature"]), str(record["key"])):
                raise StoreError(f"{bad}: its signature is not that of its key. {_RESTORE}")
        return record
