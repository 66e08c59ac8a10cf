"""Arrivals: the order in which a home first saw the result files of its store, and what it did not accept.

Of two results of a case the first counts. Times in a result are those of its worker, who may write any; so the home
keeps its own order, in a file outside the store. A file is checked once, when it arrives: its content
(`ml.execution.result_checks`), and by whose key it is signed. One that fails is set aside in the store under
``.corrupt``, with the reason here. Later readers compare the hash of a file with that of its arrival.

When a home counts for the first time, it accepts all result files that are there, signed or not. From the first file
that is signed with a key it knows, new files without such a signature are set aside.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from ml.data.parquet import read_parquet
from ml.data.stored import sha256
from ml.errors import StoreError
from ml.execution.result_checks import problem_of
from ml.execution.result_signatures import public_key_of
from ml.store import Store
from ml.texts import one_line

_logger = logging.getLogger(__name__)

_TABLES = (
    "create table if not exists arrivals (number integer primary key, path text unique not null, "
    "digest text not null, public_key text not null)",
    "create table if not exists refusals (number integer primary key, path text not null, reason text not null)",
)
#: How long a process waits for another one that records arrivals.
WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Signer:
    """Whose key it is.

    Attributes:
        name: of a lent machine; "" of the home, whose results name their machine themselves.
        revoked: whether its new results are no longer accepted.
    """

    name: str = ""
    revoked: bool = False


Signers = Mapping[str, Signer]


@dataclass(frozen=True)
class Refusal:
    """A result file that was set aside: its path now, and why."""

    path: str
    reason: str


class _Accepted(NamedTuple):
    """An accepted file: its place in the order, the SHA-256 of its content, the key that signed it ("" for none)."""

    number: int
    digest: str
    public_key: str


@dataclass(frozen=True)
class Arrivals:
    """The arrivals of one home.

    Args:
        path: the file that keeps them, made when it is first needed.
        signers: the known keys, read anew for each group of new files: public key -> whose it is.
    """

    path: Path
    signers: Callable[[], Signers]
    #: As last read, so that not each file costs a connection; and names of signers, which never change.
    _accepted: dict[str, _Accepted] = field(default_factory=dict, init=False, compare=False, repr=False)
    _names: dict[str, Signer] = field(default_factory=dict, init=False, compare=False, repr=False)

    def in_order(self, store: Store, paths: Sequence[str]) -> list[str]:
        """Those of the result files that were accepted, in the order of their arrival; new ones are checked first.

        Raises:
            StoreError: the file of arrivals cannot be read or written.
        """
        if not paths and not self.path.exists():  # to look at an empty store makes no home
            return []
        known = self._read()
        if new := [path for path in paths if path not in known]:
            self._admit(store, new, first=not known)
            known = self._read()
        return sorted((path for path in paths if path in known), key=lambda path: known[path].number)

    def _read(self) -> dict[str, _Accepted]:
        with self._connection() as connection:
            rows = connection.execute("select path, number, digest, public_key from arrivals").fetchall()
        self._accepted.clear()
        self._accepted.update((path, _Accepted(*row)) for path, *row in rows)
        return self._accepted

    def _admit(self, store: Store, new: Sequence[str], *, first: bool) -> None:
        """Check new files and record those that pass; the others are set aside."""
        signers = self.signers()
        with self._connection() as connection:
            signing = connection.execute("select 1 from arrivals where public_key != '' limit 1").fetchone()
        passed: list[tuple[str, str, str]] = []
        for path in new:
            try:
                content = store.read(path)
            except FileNotFoundError:  # another process has set it aside
                continue
            public, reason = examined(content, path, signers, strictly=not first, unsigned=signing is None)
            if reason:
                self._set_aside(store, path, reason)
            else:
                passed.append((path, sha256(content), public))
        with self._connection() as connection:  # of several processes that see a file at once, one decides its place
            connection.executemany("insert or ignore into arrivals (path, digest, public_key) values (?, ?, ?)", passed)

    def _set_aside(self, store: Store, path: str, reason: str) -> None:
        if not store.exists(path):
            return
        aside = store.set_aside(path)
        _logger.warning("%s is set aside as %s: %s.", path, aside, reason.rstrip("."))
        with self._connection() as connection:
            connection.execute("delete from arrivals where path = ?", [path])
            connection.execute("insert into refusals (path, reason) values (?, ?)", [aside, reason])

    def checked(self, store: Store, path: str) -> tuple[bytes, Signer | None] | None:
        """Content and signer (None: unsigned) of an accepted file; None if it was deleted or not accepted.

        A file that was changed after its arrival is set aside.
        """
        if path not in self._accepted:
            self.in_order(store, [path])
        if path not in self._accepted:
            return None
        try:
            content = store.read(path)
        except FileNotFoundError:
            return None
        if sha256(content) != self._accepted[path].digest:
            # Another process may have accepted a new file of this name, or refused this one.
            accepted = self._read().get(path)
            if accepted is None:
                return None
            if sha256(content) != accepted.digest:
                self._set_aside(store, path, "it was changed after it had arrived")
                return None
        return content, self._signer_of(self._accepted[path].public_key)

    def _signer_of(self, public: str) -> Signer | None:
        if public and public not in self._names:
            self._names.update(self.signers())
        return self._names.get(public)

    def refusals(self) -> list[Refusal]:
        """The files that were set aside, oldest first."""
        if not self.path.exists():
            return []
        with self._connection() as connection:
            return [Refusal(*row) for row in connection.execute("select path, reason from refusals order by number")]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A transaction."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=WAIT_SECONDS)) as connection, connection:
                # Not only for a new file: another process may have made it a moment ago, without tables yet.
                for statement in _TABLES:
                    connection.execute(statement)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"Cannot read or write {self.path} ({error}). Check free space and permissions; if it is broken, "
                "delete it: all result files of the store then count in the order of their names."
            ) from error


def examined(content: bytes, path: str, signers: Signers, *, strictly: bool, unsigned: bool) -> tuple[str, str]:
    """The known public key that signed a result file ("" for none), and why it is not accepted ("" if it is).

    Args:
        content: of the file.
        path: of the file, ``results/<dataset>/<name>``.
        signers: the known keys.
        strictly: whether a signature by an unknown key counts against it.
        unsigned: whether a file without a signature is accepted.
    """
    try:
        table = read_parquet(content)
        public = public_key_of(content)
    except (pa.ArrowException, OSError) as error:
        return "", f"it is no readable Parquet file ({one_line(error)[:200]})"
    except ValueError as error:
        return "", str(error)
    signer = signers.get(public)
    if signer is None and public and strictly:
        return "", "it is signed with a key that this home does not know; lend its machine with `candleworks lend NAME`"
    if signer is not None and signer.revoked:
        return "", f"it is signed with the key of {signer.name}, which was revoked"
    if signer is None and not unsigned and strictly:
        return "", "it is not signed, and this home has signed results; lend its machine with `candleworks lend NAME`"
    return public if signer else "", problem_of(table, path.split("/")[1])


class HomeStore(Store):
    """A store as the home that it belongs to reads it: results count in the order of their arrival there."""

    def __init__(self, url: str, arrivals: Arrivals) -> None:
        super().__init__(url)
        self.arrivals = arrivals
