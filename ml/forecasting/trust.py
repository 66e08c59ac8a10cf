"""Whose records a home accepts in its chains: those that its own key signed, and those from before that key.

A hash chain alone can be extended or written anew by anyone who writes to the store. The key is not in the store, so
no other program can sign a record. When a home makes its key, it remembers the last record of each chain: up to there
records may lack a signature (earlier versions did not sign) or have that of an earlier key, and their hashes are fixed
by that last one. After it every record needs the signature of this key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ml.records import ChainHead, SealedRecord
from ml.signatures import SigningKey


@dataclass(frozen=True)
class AcceptedHead:
    """The last record of a chain when the key was made: number and hash; 0 and zeros of an empty chain."""

    sequence: int
    hash: str


@dataclass(frozen=True)
class Trust:
    """Which records of the chains a home accepts.

    Args:
        public: the home's public key, see `ml.signatures`.
        since: when the key was made, ISO 8601 UTC.
        accepted: chain -> its last record at that time; a chain that is not named was empty.
    """

    public: str
    since: str
    accepted: Mapping[str, AcceptedHead]

    def problem(self, chain: str, record: SealedRecord) -> str:
        """Why a home does not accept a record whose own signature, if it has one, is right; "" where it does."""
        head = self.accepted.get(chain)
        if head and record["sequence"] < head.sequence:
            return ""
        if head and record["sequence"] == head.sequence:
            changed = record["hash"] != head.hash
            return f"it is not the record that this home accepted with its key of {self.since}" if changed else ""
        if "key" not in record:
            return "it has no signature, and this home signs its records"
        if record["key"] != self.public:
            return "it is signed with another key than that of this home"
        return ""

    def accepts(self, chain: str, record: SealedRecord) -> bool:
        """Whether there is no `problem`."""
        return not self.problem(chain, record)

    def missing(self, chain: str, records: int) -> str:
        """Why a chain of so few records is not accepted; "" where it is."""
        head = self.accepted.get(chain)
        if head is None or records >= head.sequence:
            return ""
        return f"{chain} has {records} records, and this home accepted {head.sequence} with its key of {self.since}"


@dataclass(frozen=True)
class Anchor:
    """Heads of chains that existed at a time, by the word of a time-stamp authority (`ml.forecasting.time_stamps`).

    Attributes:
        heads: the anchored records.
        time: by the authority's clock, UTC.
        authority: the name in its certificate.
    """

    heads: tuple[ChainHead, ...]
    time: datetime
    authority: str

    def __str__(self) -> str:
        return f"{self.time:%Y-%m-%d %H:%M} UTC, {self.authority}"


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Sealer:
    """Seals records for one home.

    Args:
        key: signs them.
        trust: which earlier records may be continued.
        replayed: whether the exchange is a recorded one; each record says so.
        wall_clock: the machine's time, which each record carries; tests inject theirs.
    """

    key: SigningKey
    trust: Trust
    replayed: bool = False
    wall_clock: Callable[[], datetime] = _utc_now
