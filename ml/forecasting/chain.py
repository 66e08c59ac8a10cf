"""Sealed chains: tamper-evident hash chains of records.

Each record is a file ``<folder>/<sequence>.json``, created exclusively, with the hash of the previous record. Two
concurrent writers cannot fork a chain: only one of them can create the next number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ml.canonical import canonical_json, digest
from ml.errors import StoreError
from ml.records import Body, SealedRecord
from ml.store import Store

GENESIS = "0" * 64


def _seal(sequence: int, previous: str, body: Body) -> SealedRecord:
    content = {"sequence": sequence, "previous": previous, "body": body}
    return {"sequence": sequence, "previous": previous, "body": body, "hash": digest(content)}


def _bad(path: str) -> str:
    return f"{path} is the first bad record"


class Chain:
    """The chain in one folder of the store."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self.folder = folder
        self._written: tuple[int, str] | None = None

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
        """Sequence and hash of the last record; (0, 64 zeros) of an empty chain. Sequences start at 1."""
        paths = self._store.list(self.folder)
        if not paths:
            return 0, GENESIS
        last = self._read(paths[-1])
        return last["sequence"], last["hash"]

    def append(self, body: Body) -> SealedRecord:
        """Seal `body` as the next record and return the whole record."""
        while True:
            # After a record of our own the folder need not be listed again; if it is not the last, create fails.
            sequence, previous = self._written or self.head()
            record = _seal(sequence + 1, previous, body)
            try:
                self._store.create(self._path(sequence + 1), canonical_json(record).encode())
            except FileExistsError:
                self._written = None
                continue  # another writer took this number: seal again after its record
            self._written = record["sequence"], record["hash"]
            return record

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
                "Restore the store from a backup."
            )
        return len(hashes) - 1

    def checked_records(self) -> Iterator[SealedRecord]:
        """All records in order, each checked against its seal and its predecessor before it is yielded.

        Raises:
            StoreError: names the first bad record.
        """
        previous = GENESIS
        for sequence, path in enumerate(self._store.list(self.folder), 1):
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
            raise StoreError(f"{_bad(path)}: it is missing. Restore the store from a backup.") from None

    def bad_record(self, sequence: int) -> str:
        """The beginning of every error about a record."""
        return _bad(self._path(sequence))

    def _checked(self, path: str, sequence: int, previous: str | None) -> SealedRecord:
        bad = _bad(path)
        try:
            content = self._store.read(path)
            record: SealedRecord = json.loads(content)
            sealed = _seal(record["sequence"], record["previous"], record["body"])
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{bad}: it is not a sealed record. Restore the store from a backup.") from None
        if path != self._path(sequence) or record["sequence"] != sequence:
            raise StoreError(f"{bad}: number {sequence} was expected there. Restore the store from a backup.")
        if previous is not None and record["previous"] != previous:
            raise StoreError(f"{bad}: it does not follow the record before it. Restore the store from a backup.")
        # Byte for byte: a file that merely parses to the same content is not the sealed one.
        if content != canonical_json(sealed).encode():
            raise StoreError(f"{bad}: its content does not match its hash. Restore the store from a backup.")
        return record
