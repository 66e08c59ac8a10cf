"""Verification of sealed chains beyond their hashes: signatures, times that never run backwards, unique records.

A forger who changes a record and seals all later records again leaves a chain with valid hashes, but without the
signatures of the home (`ml.forecasting.trust`). In records from before signatures the rules here detect a time that was
moved before the information it is based on, or before the previous record. A chain that the owner of the key wrote anew
is detected only with a head that was published before (`verify_chains` with `heads`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ml.errors import ConfigurationError, StoreError
from ml.forecasting.chain import GENESIS, Chain
from ml.forecasting.trust import Anchor, Trust
from ml.records import ChainHead, SealedRecord, SeriesKey
from ml.store import Store

FORECAST_CHAINS = ("verdicts", "forecasts", "scores")
TRADING_CHAINS = ("rules", "signals", "transactions")
CHAINS = (*FORECAST_CHAINS, *TRADING_CHAINS)
#: Returns the error in the next record of a chain; "" if there is none.
Rules = Callable[[SealedRecord], str]
_HEAD = re.compile(rf"(?:({'|'.join(CHAINS)}):)?([0-9a-f]{{64}})")


@dataclass(frozen=True)
class ChainReport:
    """The result for one chain.

    Attributes:
        records: number of valid records before the first bad one; all if `problem` is empty.
        head: hash of the last of these.
        problem: the first bad record and the remedy; empty if the chain is intact.
        unsigned: how many of them are from before signatures.
        earlier_key: how many are signed with an earlier key of the home.
        replayed: how many say that their exchange was a recorded one.
        anchored: the newest of them whose hash a time-stamp authority has signed; 0: none.
        anchored_at: when; by its clock. None without an anchor.
        anchored_by: its name; empty without an anchor.
    """

    chain: str
    records: int
    head: str
    problem: str
    unsigned: int = 0
    earlier_key: int = 0
    replayed: int = 0
    anchored: int = 0
    anchored_at: datetime | None = None
    anchored_by: str = ""

    @property
    def note(self) -> str:
        """How its records differ from signed ones of a live exchange; empty if they do not."""
        parts = (
            (self.unsigned, "from before signatures"),
            (self.earlier_key, "signed with an earlier key"),
            (self.replayed, "of a recorded exchange"),
        )
        return ", ".join(f"{count:,} {text}" for count, text in parts if count)

    @property
    def anchor(self) -> str:
        """Until which record the chain is anchored, in words."""
        if self.anchored_at is None:
            return "not anchored"
        since = "" if self.anchored == self.records else ", not since"
        by = f"{self.anchored_at:%Y-%m-%d %H:%M} UTC, {self.anchored_by}"
        return f"anchored until record {self.anchored:,} ({by}){since}"


class ForecastRules:
    """Rules for a forecast, given the earlier ones."""

    def __init__(self) -> None:
        self._last_issued: datetime | None = None
        self._last_target: dict[tuple[str, ...], datetime] = {}
        #: Hash of a forecast -> when its candle closes.
        self.known: dict[str, datetime] = {}

    def __call__(self, record: SealedRecord) -> str:
        """Check one record and remember it."""
        body = record["body"]
        names = ("information_time", "target_open_time", "target_close_time", "issued_at")
        information, opens, closes, issued = (_time(body[name]) for name in names)
        series = _series(body)
        last_issued, last_target = self._last_issued, self._last_target.get(series)
        self._last_issued, self._last_target[series] = issued, opens
        self.known[record["hash"]] = closes
        deadline = _time(body["deadline"]) if "deadline" in body else closes
        in_time = issued <= deadline
        return _first(
            (not information <= opens <= deadline <= closes or opens == closes, "its times are out of order"),
            (issued < information, "it was issued before its information time"),
            (last_issued is not None and issued < last_issued, "it was issued before the previous record"),
            (
                last_target is not None and opens <= last_target,
                "its candle is not later than that of the previous forecast of its series",
            ),
            # The grace of records without a deadline is unknown; after the close all of them are late.
            (
                body["late"] == in_time and ("deadline" in body or not in_time),
                "its late flag does not match its times",
            ),
        )


class ScoreRules:
    """Rules for a score, given the forecasts and the earlier scores.

    Args:
        closes: hash of each valid forecast -> when its candle closes.
        all_known: whether these are all forecasts; False if the chain of forecasts has a bad record.
    """

    def __init__(self, closes: Mapping[str, datetime], all_known: bool) -> None:
        self._closes = closes
        self._all_known = all_known
        self._last_scored: datetime | None = None
        self._counts: dict[str, int] = {}

    def __call__(self, record: SealedRecord) -> str:
        """Check one record and remember it."""
        body = record["body"]
        forecast, scored = body["forecast_hash"], _time(body["scored_at"])
        last_scored, self._last_scored = self._last_scored, scored
        count = self._counts.get(forecast, 0)
        self._counts[forecast] = count + 1
        closes, revision = self._closes.get(forecast), body.get("revision", 0)
        return _first(
            (closes is None and self._all_known, "no sealed forecast has the hash that it scores"),
            (closes is not None and scored < closes, "it was scored before its candle closed"),
            (last_scored is not None and scored < last_scored, "it was scored before the previous record"),
            (revision != count, f"its revision is {revision}, expected {count}"),
        )


class SignalRules:
    """Rules for a signal, given the earlier ones: it is sealed after its candle, once per candle, and in time order."""

    def __init__(self) -> None:
        self._last_issued: datetime | None = None
        self._last_candle: dict[tuple[str, ...], datetime] = {}

    def __call__(self, record: SealedRecord) -> str:
        """Check one record and remember it."""
        body = record["body"]
        opens, closes, issued = (_time(body[name]) for name in ("open_time", "close_time", "issued_at"))
        signal = (*_series(body), body["signal"], body["signal_key"])
        last_issued, last_candle = self._last_issued, self._last_candle.get(signal)
        self._last_issued, self._last_candle[signal] = issued, opens
        return _first(
            (closes <= opens, "its times are out of order"),
            (issued < closes, "it was issued before its candle closed"),
            (last_issued is not None and issued < last_issued, "it was issued before the previous record"),
            (
                last_candle is not None and opens <= last_candle,
                "its candle is not later than that of the previous record of its signal",
            ),
        )


class TransactionRules:
    """Rules for a transaction, given the earlier ones: sealed after its candle opened, once per candle of a signal."""

    def __init__(self) -> None:
        self._last_candle: dict[tuple[str, ...], datetime] = {}

    def __call__(self, record: SealedRecord) -> str:
        """Check one record and remember it."""
        body = record["body"]
        opens, sealed = _time(body["open_time"]), _time(body["sealed_at"])
        signal = (*_series(body), body["signal"], body["signal_key"])
        last_candle, self._last_candle[signal] = self._last_candle.get(signal), opens
        return _first(
            (not body["fills"], "it has no fill"),
            (sealed < opens, "it was sealed before its candle opened"),
            (
                last_candle is not None and opens <= last_candle,
                "its candle is not later than that of the previous record of its signal",
            ),
        )


def _first(*complaints: tuple[bool, str]) -> str:
    """The text of the first true condition."""
    return next((text for is_true, text in complaints if is_true), "")


def _time(text: str) -> datetime:
    """A timestamp with its UTC offset; one without raises, like any other broken record."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text} has no offset from UTC")
    return time


def _series(body: SeriesKey) -> tuple[str, ...]:
    return body["exchange"], body["symbol"], body["timeframe"]


def no_rules(_: SealedRecord) -> str:
    """The rules of a chain that has none."""
    return ""


def read_heads(heads: Sequence[str]) -> list[tuple[str | None, str]]:
    """Published heads, ``HASH`` or ``CHAIN:HASH``, as chain (None: any) and hash.

    Raises:
        ConfigurationError: one has neither form.
    """
    found = []
    for head in heads:
        match = _HEAD.fullmatch(head.strip().lower())
        if match is None:
            raise ConfigurationError(
                f"--head {head!r} is not a published head. Give 64 hexadecimal digits, or CHAIN:DIGITS with one of the "
                f"chains {', '.join(CHAINS)}."
            )
        found.append((match[1], match[2]))
    return found


def verify_chains(
    store: Store,
    heads: Sequence[str] = (),
    trust: Trust | None = None,
    verdicts: Rules = no_rules,
    anchors: Sequence[Anchor] = (),
    keys: Collection[str] = (),
) -> list[ChainReport]:
    """Check the hashes, the signatures and the content of all chains.

    Args:
        store: with the chains.
        heads: hashes published earlier, see `read_heads`; each must be the hash of a record of its chain, or of any
            chain.
        trust: which records the home accepts; None: any that is signed by the key it names, for a home without one.
            Without a home, `keys` has those of its owner.
        verdicts: the rules of verdicts, which belong to `ml.promotion.verdict_rules`.
        anchors: whose records the chains must have, oldest first.
        keys: public keys; signed records must have one of them. Empty: not checked.

    Raises:
        ConfigurationError: a head is malformed.
    """
    published = read_heads(heads)
    forecasts = ForecastRules()
    walks = {name: _Walk(Chain(store, name), trust, keys) for name in CHAINS}
    walks["verdicts"].walk(verdicts)
    walks["forecasts"].walk(forecasts)
    walks["scores"].walk(ScoreRules(forecasts.known, all_known=not walks["forecasts"].problem))
    walks["rules"].walk(no_rules)
    walks["signals"].walk(SignalRules())
    walks["transactions"].walk(TransactionRules())
    for anchor in anchors:
        for anchored in anchor.heads:
            if anchored["chain"] in walks:
                walks[anchored["chain"]].hold(anchor, anchored)
    hashes = {name: walk.hashes for name, walk in walks.items()}
    problems = {name: walk.problem for name, walk in walks.items()}
    for chain, value in published:
        _look_for(value, [chain] if chain else list(CHAINS), hashes, problems)
    return [walk.report(problems[name]) for name, walk in walks.items()]


@dataclass
class _Walk:
    """A chain that is checked record by record, up to the first bad one.

    Attributes:
        hashes: of the valid records, after the one before the first.
        problem: the error of the first bad one.
    """

    chain: Chain
    trust: Trust | None
    keys: Collection[str] = ()
    hashes: list[str] = field(default_factory=lambda: [GENESIS])
    problem: str = ""
    _unsigned: int = 0
    _earlier_key: int = 0
    _replayed: int = 0
    _anchor: tuple[int, Anchor] | None = None

    def walk(self, rules: Rules) -> None:
        """Check all records."""
        try:
            for record in self.chain.checked_records():
                if wrong := self._wrong(record, rules):
                    bad = self.chain.bad_record(record["sequence"])
                    self.problem = f"{bad}: {wrong}. Restore the store from a backup."
                    return
                self._count(record)
            if self.trust is not None and (missing := self.trust.missing(self.chain.folder, len(self.hashes) - 1)):
                self.problem = f"{missing}: the chain was cut. Restore the store from a backup."
        except StoreError as error:
            self.problem = str(error)

    def _wrong(self, record: SealedRecord, rules: Rules) -> str:
        """The error in a record with a valid seal; "" if there is none."""
        if "key" not in record and len(self.hashes) - 1 > self._unsigned:
            return "it has no signature, and the record before it has one"
        if self.trust is not None and (refused := self.trust.problem(self.chain.folder, record)):
            return refused
        if self.keys and record.get("key", "") not in ("", *self.keys):
            return "it is signed with another key than the given ones"
        try:
            if "wall_time" in record:
                _time(record["wall_time"])
            return rules(record)
        except (KeyError, TypeError, ValueError, AttributeError):
            return "it lacks a required field, or has one of the wrong type"

    def _count(self, record: SealedRecord) -> None:
        self.hashes.append(record["hash"])
        self._unsigned += "key" not in record
        self._earlier_key += self.trust is not None and record.get("key", self.trust.public) != self.trust.public
        self._replayed += bool(record.get("replayed"))

    def hold(self, anchor: Anchor, head: ChainHead) -> None:
        """Compare the records with an anchored one; after a bad record nothing is known about it."""
        sequence = head["sequence"]
        if sequence == 0:
            return
        if sequence < len(self.hashes) and self.hashes[sequence] == head["hash"]:
            self._anchor = sequence, anchor
        elif sequence < len(self.hashes) or not self.problem:
            bad = self.chain.bad_record(min(sequence, len(self.hashes)))
            self.problem = (
                f"{bad}: record {sequence} was another one when it was anchored ({anchor}), the chain was cut or "
                "rewritten since. Restore the store from a backup."
            )

    def report(self, problem: str) -> ChainReport:
        """The result, with a problem that may have been found since."""
        return ChainReport(
            self.chain.folder,
            len(self.hashes) - 1,
            self.hashes[-1],
            problem,
            self._unsigned,
            self._earlier_key,
            self._replayed,
            *((self._anchor[0], self._anchor[1].time, self._anchor[1].authority) if self._anchor else ()),
        )


def _look_for(value: str, names: Sequence[str], hashes: Mapping[str, list[str]], problems: dict[str, str]) -> None:
    """Report a published hash that no named chain has, unless it may follow a bad record."""
    if any(value in hashes[name] or problems[name] for name in names):
        return
    where = names[0] if len(names) == 1 else "any chain"
    for name in names:
        problems[name] = (
            f"no record of {where} has the published hash {value[:16]}...: a chain was cut or rewritten. "
            "Restore the store from a backup."
        )
