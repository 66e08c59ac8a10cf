"""What an example is, and the strategy that draws one.

What has many numbers (candles, which rows are hit) follows from seeds in an example. So it prints in a few lines, and
is played again from its text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from ml.timeframes import milliseconds, utc_ms
from tests.exchange_fuzz.families import FAMILIES
from tests.exchange_fuzz.mutations import KINDS

FIRST_MS = utc_ms("2024-03-04")
ALWAYS = 10**9
LATER = 800
"""Candles behind those that the first load may see: more than all loads of an example need."""


@dataclass(frozen=True)
class Market:
    """A market that is listed `unlisted` candles behind the start of the history.

    The first load sees `candles` of it at most; it `ends` with them, or goes on for as long as any loads last.
    """

    timeframe: str = "1h"
    candles: int = 60
    unlisted: int = 0
    holes: int = 0
    quiet: int = 0
    magnitude: int = 2
    ends: bool = False
    seed: int = 0

    @property
    def length_ms(self) -> int:
        return milliseconds(self.timeframe)

    @property
    def listed_ms(self) -> int:
        return FIRST_MS + self.unlisted * self.length_ms

    def frame(self) -> pd.DataFrame:
        """All candles that the market will ever have, as the fakes take them.

        Prices move little from one to the next: what the gate doubts about true candles is its own tests' subject.
        For the same reason no quiet candle lies beside a hole: the gate takes those for fillers of an outage.
        """
        rng = np.random.default_rng(self.seed)
        n = self.candles + (0 if self.ends else LATER)
        close = 10.0**self.magnitude * np.exp(np.cumsum(rng.normal(0, 0.003, n)))
        volume = rng.lognormal(3, 1, n) * 10.0 ** -min(self.magnitude, 3)
        absent, still = self._holes_and_quiet(rng, n)
        for i in np.flatnonzero(still):
            close[i] = close[i - 1]
        opening = np.append(close[0], close[:-1])
        high = np.maximum(opening, close) * (1 + rng.uniform(0, 0.002, n))
        low = np.minimum(opening, close) * (1 - rng.uniform(0, 0.002, n))
        high[still], low[still], volume[still] = close[still], close[still], 0.0
        opens = self.listed_ms + np.arange(n) * self.length_ms
        frame = pd.DataFrame(
            {
                "open_time": pd.to_datetime(opens, unit="ms", utc=True),
                "open": opening,
                "high": high,
                "low": low,
                "close": close,
                "volume": volume,
            }
        )
        return frame[~absent].reset_index(drop=True)

    def _holes_and_quiet(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        absent, still = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        for marks, count, longest in ((absent, self.holes, 12), (still, self.quiet, 4)):
            for _ in range(count):
                at = int(rng.integers(1, self.candles))
                marks[at : at + int(rng.integers(1, longest + 1))] = True
        absent[0] = False
        near = absent.copy()
        for step in range(1, 6):  # longer than a run of quiet ones, which would touch the hole with its other end
            near[step:] |= absent[:-step]
            near[:-step] |= absent[step:]
        return absent, still & ~near


@dataclass(frozen=True)
class Mutation:
    """A change of answers to a target's requests, from the `first` of a load on, `times` times."""

    kind: str
    target: str = "candles"
    first: int = 0
    times: int = ALWAYS
    seed: int = 0

    def hits(self, target: str, number: int) -> bool:
        return self.target == target and self.first <= number < self.first + self.times


@dataclass(frozen=True)
class Load:
    """A load `candles` (and `part` of one) after the one before; with a `span`, one of --from and --to.

    `span` are permille of the history so far, so that they are anywhere on the time grid or off it.
    """

    candles: int = 1
    part: int = 500
    span: tuple[int, int] | None = None
    mutations: tuple[Mutation, ...] = ()


@dataclass(frozen=True)
class Example:
    """A market at an exchange, and loads that are spoiled; the first is `seen` permille into the market's life."""

    family: str = "binance"
    market: Market = field(default_factory=Market)
    loads: tuple[Load, ...] = (Load(),)
    seen: int = 500
    retries: int = 1
    overlap: int = 3
    page: int = 1000


def examples() -> st.SearchStrategy[Example]:
    """Examples of all families, each drawn from one random seed.

    Hypothesis draws the seed and nothing else: it likes to repeat and to mutate what it has drawn, and of 394 examples
    drawn part by part 61 had an empty page and 2 another status.
    """
    return st.randoms(use_true_random=True).map(_example)


def _example(rng: Random) -> Example:
    family = rng.choice(sorted(FAMILIES))
    return Example(
        family=family,
        market=_market(rng, FAMILIES[family].timeframes),
        loads=tuple(_load(rng) for _ in range(rng.choice((1, 1, 2, 3)))),
        seen=rng.randint(1, 1000),
        retries=rng.choice((0, 0, 1, 2)),
        overlap=rng.choice((1, 3, 24)),
        page=rng.choice((1000, 1000, 100, 7)),
    )


def _market(rng: Random, timeframes: tuple[str, ...]) -> Market:
    return Market(
        timeframe=rng.choice(timeframes),
        candles=rng.randint(20, rng.choice((40, 90, 300))),
        unlisted=rng.choice((0, 0, rng.randint(0, 40), rng.randint(0, 400))),
        holes=rng.choice((0, 0, 1, 3)),
        quiet=rng.choice((0, 0, 0, 0, 2)),
        magnitude=rng.randint(-8, 6),
        ends=rng.random() < 0.2,
        seed=rng.randrange(2**16),
    )


def _load(rng: Random) -> Load:
    span = (rng.randint(0, 1000), rng.randint(0, 1000))
    return Load(
        candles=rng.randint(0, rng.choice((1, 3, 40))),
        part=rng.choice((0, rng.randint(0, 999), 999)),
        span=span if rng.random() < 0.2 else None,
        mutations=tuple(_mutation(rng) for _ in range(rng.choice((0, 1, 1, 1, 2, 3)))),
    )


def _mutation(rng: Random) -> Mutation:
    kind = rng.choice(sorted(KINDS))
    return Mutation(
        kind=kind,
        target=rng.choice(KINDS[kind].targets),
        first=rng.choice((0, 0, 1, 2, rng.randint(0, 6))),
        times=rng.choice((1, 1, 2, 3, ALWAYS)),
        seed=rng.randrange(2**16),
    )


def smaller(example: Example) -> Iterator[Example]:
    """Simpler examples to look for the same fault in, the simplest first."""
    for i, load in enumerate(example.loads):
        rest = example.loads[:i], example.loads[i + 1 :]
        if len(example.loads) > 1:
            yield replace(example, loads=(*rest[0], *rest[1]))
        for j in range(len(load.mutations)):
            yield replace(
                example,
                loads=(*rest[0], replace(load, mutations=load.mutations[:j] + load.mutations[j + 1 :]), *rest[1]),
            )
        if load.span is not None:
            yield replace(example, loads=(*rest[0], replace(load, span=None), *rest[1]))
    market = example.market
    for change in ({"holes": 0}, {"quiet": 0}, {"unlisted": 0}, {"ends": False}, {"candles": market.candles // 2}):
        simpler = replace(market, **change)  # type: ignore[arg-type]
        if simpler != market and simpler.candles >= 5:
            yield replace(example, market=simpler)
    plain = replace(example, retries=0, overlap=3, page=1000)
    if plain != example:
        yield plain
