"""What sealed chains must say beyond their hashes: times that never run backwards, each thing once.

A forger who changes a record and seals all records behind it again leaves a chain whose hashes hold. Where that moves a
time before what it is said to have known, or before the record in front of it, the order of the records tells; all
else only a head tells that was published before (`verify_chains` with `heads`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml.errors import ConfigurationError, StoreError
from ml.forecasting.chain import GENESIS, Chain
from ml.store import Store

CHAINS = ("verdicts", "forecasts", "scores")
#: Says what is wrong with the next record of a chain; "" where nothing is.
Rules = Callable[[Mapping[str, Any]], str]
_HEAD = re.compile(rf"(?:({'|'.join(CHAINS)}):)?([0-9a-f]{{64}})")


@dataclass(frozen=True)
class ChainReport:
    """What came out for one chain.

    Attributes:
        records: whole records from the first one on; all of them where `problem` is empty.
        head: hash of the last one of these.
        problem: the first bad record and the remedy; empty where the chain is whole.
    """

    chain: str
    records: int
    head: str
    problem: str


class ForecastRules:
    """What a forecast must say, given those before it."""

    def __init__(self) -> None:
        self._last_issued: datetime | None = None
        self._last_target: dict[tuple[str, ...], datetime] = {}
        #: Hash of a forecast -> when its candle closes.
        self.known: dict[str, datetime] = {}

    def __call__(self, record: Mapping[str, Any]) -> str:
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
            (not information <= opens <= deadline <= closes or opens == closes, "its times are in no possible order"),
            (issued < information, "it claims to be issued before its information was there"),
            (
                last_issued is not None and issued < last_issued,
                "it claims to be issued before the record in front of it",
            ),
            (
                last_target is not None and opens <= last_target,
                "its candle is not behind that of the forecast of its series before it",
            ),
            # Records without a deadline do not tell the grace they were issued in; past the close all of them are late.
            (
                body["late"] == in_time and ("deadline" in body or not in_time),
                "it is late and says otherwise, or says so and is not",
            ),
        )


class ScoreRules:
    """What a score must say, given the forecasts and the scores before it.

    Args:
        closes: hash of each good forecast -> when its candle closes.
        all_known: whether these are all forecasts; behind a bad one nobody knows what was sealed.
    """

    def __init__(self, closes: Mapping[str, datetime], all_known: bool) -> None:
        self._closes = closes
        self._all_known = all_known
        self._last_scored: datetime | None = None
        self._counts: dict[str, int] = {}

    def __call__(self, record: Mapping[str, Any]) -> str:
        """Check one record and remember it."""
        body = record["body"]
        forecast, scored = body["forecast_hash"], _time(body["scored_at"])
        last_scored, self._last_scored = self._last_scored, scored
        count = self._counts.get(forecast, 0)
        self._counts[forecast] = count + 1
        closes, revision = self._closes.get(forecast), body.get("revision", 0)
        return _first(
            (closes is None and self._all_known, "no sealed forecast has the hash that it scores"),
            (closes is not None and scored < closes, "it claims to be scored before its candle closed"),
            (
                last_scored is not None and scored < last_scored,
                "it claims to be scored before the record in front of it",
            ),
            (revision != count, f"it is score {count} of its forecast and says {revision}"),
        )


def _first(*complaints: tuple[bool, str]) -> str:
    """The first complaint that is true."""
    return next((text for is_true, text in complaints if is_true), "")


def _time(text: str) -> datetime:
    """A stamp with its offset; one without cannot be compared and raises as any other broken record does."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text} has no offset from UTC")
    return time


def _series(body: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(body[name] for name in ("exchange", "symbol", "timeframe"))


def _no_rules(_: Mapping[str, Any]) -> str:
    return ""


def read_heads(heads: Sequence[str]) -> list[tuple[str | None, str]]:
    """Published heads, ``HASH`` or ``CHAIN:HASH``, as chain (None: any) and hash.

    Raises:
        ConfigurationError: one is neither.
    """
    found = []
    for head in heads:
        match = _HEAD.fullmatch(head.strip().lower())
        if match is None:
            raise ConfigurationError(
                f"--head {head!r} is no published head. Give 64 hexadecimal digits, or CHAIN:DIGITS with one of the "
                f"chains {', '.join(CHAINS)}."
            )
        found.append((match[1], match[2]))
    return found


def verify_chains(store: Store, heads: Sequence[str] = ()) -> list[ChainReport]:
    """Check all chains, their hashes and what their records say.

    Args:
        heads: hashes published earlier, see `read_heads`; each has to be a record of its chain, or of any chain.

    Raises:
        ConfigurationError: a head is none.
    """
    published = read_heads(heads)
    hashes = {name: [GENESIS] for name in CHAINS}
    forecasts = ForecastRules()
    problems = {
        "verdicts": _walk(Chain(store, "verdicts"), _no_rules, hashes["verdicts"]),
        "forecasts": _walk(Chain(store, "forecasts"), forecasts, hashes["forecasts"]),
    }
    scores = ScoreRules(forecasts.known, all_known=not problems["forecasts"])
    problems["scores"] = _walk(Chain(store, "scores"), scores, hashes["scores"])
    for chain, value in published:
        _look_for(value, [chain] if chain else list(CHAINS), hashes, problems)
    return [ChainReport(name, len(hashes[name]) - 1, hashes[name][-1], problems[name]) for name in CHAINS]


def _walk(chain: Chain, rules: Rules, hashes: list[str]) -> str:
    """Append the hash of every good record up to the first bad one; returns what is wrong with that."""
    try:
        for record in chain.checked_records():
            try:
                wrong = rules(record)
            except (KeyError, TypeError, ValueError, AttributeError):
                wrong = "it lacks what such a record must say"
            if wrong:
                return f"{chain.bad_record(record['sequence'])}: {wrong}. Restore the store from a backup."
            hashes.append(record["hash"])
    except StoreError as error:
        return str(error)
    return ""


def _look_for(value: str, names: Sequence[str], hashes: Mapping[str, list[str]], problems: dict[str, str]) -> None:
    """Where none of the chains has the published hash, say so of each; behind a bad record it may well stand."""
    if any(value in hashes[name] or problems[name] for name in names):
        return
    where = names[0] if len(names) == 1 else "any chain"
    for name in names:
        problems[name] = (
            f"no record of {where} has the published hash {value[:16]}...: a chain was cut or rewritten. "
            "Restore the store from a backup."
        )
