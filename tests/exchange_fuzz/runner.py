"""Plays examples: each load with its spoiled answers, then loads without mutations, until everything is there."""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from flows.ingestion.exchange import exchange_time_ms
from flows.ingestion.history import Span, known_gaps, missing_spans, stored_extent
from flows.ingestion.ingest import LoadReport, ingest_market, series_key
from flows.settings import load_settings
from ml.errors import CandleworksError
from ml.timeframes import HOUR_MS
from tests.exchange_fuzz import oracle
from tests.exchange_fuzz.families import FAMILIES, Family
from tests.exchange_fuzz.oracle import BrokenPromise
from tests.exchange_fuzz.strategies import FIRST_MS, Example, Load, examples, smaller
from tests.exchange_fuzz.transport import MemoryInstallation, Transport, empty_warehouse, surroundings
from tests.fakes import KrakenFake
from tests.fakes.kraken import KEPT

MOST_CLEAN_LOADS = 12
MOST_MEMORY_MB = 600.0


@dataclass
class Tally:
    """What was played."""

    examples: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    families: Counter[str] = field(default_factory=Counter)
    most_requests: int = 0

    def lines(self) -> list[str]:
        def counts(counter: Counter[str]) -> str:
            return ", ".join(f"{name} {count:,}" for name, count in sorted(counter.items()))

        return [
            f"{self.examples:,} examples; loads that ended {counts(self.ends)}; {self.most_requests} requests at most",
            f"examples of each exchange: {counts(self.families)}",
            f"examples with answers of each kind: {counts(self.kinds)}",
        ]


def check(count: int, first: int, say: Callable[[str], None] = lambda _: None) -> Tally:
    """Play `count` examples drawn from the seed `first`.

    Raises:
        BrokenPromise: an example broke one; the message holds the smallest one found.
    """
    tally = Tally()

    @seed(first)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(examples())
    def one(example: Example) -> None:
        try:
            play(example, tally)
        except Exception as error:
            small, words = _smallest(example, str(error))
            raise BrokenPromise(f"{words}\n{small}") from error
        if tally.examples % 1000 == 0:
            say(f"  {tally.examples:,} examples")

    one()
    return tally


def drill(count: int, seed: int, say: Callable[[str], None]) -> list[str]:
    """Play `count` examples; what is wrong, in words."""
    before = peak_memory_mb()
    try:
        tally = check(count, seed, say)
    except BrokenPromise as broken:
        return str(broken).splitlines()
    for line in tally.lines():
        say(f"  {line}")
    grown = peak_memory_mb() - before
    say(f"  {grown:,.0f} MB more than before at most")
    return [f"the loads took {grown:,.0f} MB"] if grown > MOST_MEMORY_MB else []


def peak_memory_mb() -> float:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _smallest(example: Example, words: str) -> tuple[Example, str]:
    """The simplest example that breaks a promise too, whichever."""
    for simpler in smaller(example):
        try:
            play(simpler)
        except Exception as error:
            return _smallest(simpler, str(error))
    return example, words


def play(example: Example, tally: Tally | None = None) -> None:
    """Play one example.

    Raises:
        BrokenPromise: a load broke one.
    """
    playing = _Play(example)
    for load in example.loads:
        playing.spoiled(load)
    playing.heal()
    if tally is not None:
        tally.examples += 1
        tally.families[example.family] += 1
        tally.kinds.update(playing.line.applied.keys())
        tally.ends.update(playing.ends)
        tally.most_requests = max(tally.most_requests, playing.most_requests)


class _Play:
    """An example that is being played."""

    def __init__(self, example: Example) -> None:
        self._family: Family = FAMILIES[example.family]
        self._market = market = example.market
        frame = market.frame()
        self._truth = oracle.Truth.of(frame, market.length_ms)
        self._workspace = MemoryInstallation(Path("nowhere"), _settings(example, self._family))
        self._key = series_key(self._workspace, self._workspace.settings.sources(self._family.symbol)[0])
        seen = market.candles * example.seen // 1000
        self.line = Transport(self._family, market, frame)
        self.line.fake.now_ms = market.listed_ms + seen * market.length_ms
        self.ends: Counter[str] = Counter()
        self.most_requests = 0
        empty_warehouse()

    @property
    def _now_ms(self) -> int:
        return self.line.fake.now_ms

    def spoiled(self, load: Load) -> None:
        """One load of the example."""
        length = self._market.length_ms
        later = self._now_ms - self._now_ms % length + load.candles * length + load.part * length // 1000
        self.line.fake.now_ms = max(self._now_ms, later)
        self.line.begin(load.mutations)
        report = self._load(self._span(load))
        self.ends["no time" if report is None else report.status] += 1

    def _span(self, load: Load) -> Span | None:
        if load.span is None:
            return None
        so_far = self._now_ms - FIRST_MS
        first, until = (FIRST_MS + so_far * permille // 1000 for permille in sorted(load.span))
        return Span(first, until) if first < until else None

    def _load(self, span: Span | None) -> LoadReport | None:
        """Load, and hold it against the truth; None if the exchange's time was not to be had."""
        with surroundings(self.line):
            try:
                now_ms = exchange_time_ms(self._workspace.settings)
            except CandleworksError as error:
                oracle.check_words(str(error))
                return None
            report = ingest_market(self._workspace, self._family.symbol, now_ms, span=span)
        self.most_requests = max(self.most_requests, self.line.requests)
        oracle.check_words(report.message)
        oracle.check_bounds(self.line.requests, self.line.slept)
        rows = oracle.stored_rows(self._workspace.warehouse)
        oracle.check_stored(rows, self._truth, self._now_ms)
        whole = Span(FIRST_MS, min(now_ms, self._now_ms))
        asked = whole if span is None else Span(span.first_ms, min(span.until_ms, whole.until_ms))
        gaps = oracle.known_gaps(self._workspace.warehouse, self._market.length_ms)
        oracle.check_told(report, rows, self._truth, asked, gaps)
        return report

    def heal(self) -> None:
        """Loads without mutations, as late as gaps are asked for again, until everything is there."""
        for _ in range(MOST_CLEAN_LOADS):
            self.line.fake.now_ms += self._rest_ms()
            report, absent = self._clean()
            if absent:  # behind a leap of the clock the newest candle of a market that stands still waits for this
                report, absent = self._clean()
            if not absent:
                break
        words = f"{report.status}, though nothing was spoiled: {report.message}"
        oracle.require(report.status in ("ok", "partial") or not self._reachable(), words)
        oracle.require(not absent, f"{len(absent)} candles never came, the first of {min(absent, default=0)}")
        self.ends[f"healed {report.status}"] += 1

    def _clean(self) -> tuple[LoadReport, set[int]]:
        """A load without mutations, and what is absent behind it of all that the exchange can still say."""
        self.line.begin(())
        report = self._load(None)
        oracle.require(report is not None, "no time, though nothing was spoiled")
        assert report is not None
        oracle.require(
            report.status in ("ok", "partial"), f"{report.status}, though nothing was spoiled: {report.message}"
        )
        rows = oracle.stored_rows(self._workspace.warehouse)
        return report, self._reachable() - {time for time, _ in rows}

    def _rest_ms(self) -> int:
        """When all known gaps are due."""
        length = self._market.length_ms
        with self._workspace.warehouse.connect() as connection:
            stored = stored_extent(connection, self._key, length)
            missing = missing_spans(connection, self._key, stored, FIRST_MS, length)
            gaps = known_gaps(connection, self._key, missing, length)
        rest = length
        while not all(gap.is_due(self._now_ms + rest) for gap in gaps):
            rest += max(length, HOUR_MS)
        return rest

    def _reachable(self) -> set[int]:
        """What the exchange can still say."""
        times = list(self._truth.closed(self._now_ms))
        return set(times[-KEPT + 1 :] if isinstance(self.line.fake, KrakenFake) else times)


def _settings(example: Example, family: Family):  # type: ignore[no-untyped-def]
    return load_settings(
        None,
        {
            "exchange": {"id": family.exchange, "retries": example.retries},
            "markets": {
                "symbols": [family.symbol],
                "base_timeframe": example.market.timeframe,
                "timeframes": [example.market.timeframe],
                "history_start": "2024-03-04",
            },
            "ingest": {"overlap_candles": example.overlap, "page_size": example.page},
        },
    )
