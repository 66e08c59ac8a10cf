"""Outages of an exchange, as opposed to hours without trades.

A flat candle without volume at the previous close is an observation: no trade happened. During an outage no trade was
possible, and such a candle says nothing. Two signs reveal an outage. The second needs all markets of an exchange, so
this module runs once a load is complete:

* the exchange lost adjacent candles: the quiet run touches a gap between stored candles;
* no market of the exchange traded in the same interval, and that is unlikely to be a coincidence.

A coincidence is measured as the expected number of intervals in which all markets are still if they are independent
and each keeps its own share of quiet intervals: intervals x product of the shares. The expectation is computed in four
scopes: the whole series, the same hour of all days, the same hour of all weeks (markets that sleep at night or at the
weekend sleep together), and the surrounding intervals (quiet times cluster). An outage is reported where none of the
four reaches `CHANCE`. A market's share is measured where another market trades. Of the spells that all markets spend
still only the tested one is added (as one event, however long it is), unless they are a `HABIT`: exchanges are often
down at the same hour, but not on every twentieth day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from expectations.defects import (
    apart,
    direct_before,
    millisecond_opens,
    quiet_candles,
    quiet_runs_at_gaps,
)

CHANCE = 0.05
AROUND = 500
"""Surrounding intervals on either side."""

HABIT = 0.05
"""Share of intervals spent still by all markets from which on this is normal trading behaviour, not an outage."""

HOUR_MS = 3_600_000
ABSENT_MS = 72 * HOUR_MS
"""A market without candles for longer is absent (delisted, not loaded); the longest recorded outage is 33 hours."""

_TRADED, _QUIET, _MISSING, _ABSENT = range(4)


@dataclass(frozen=True)
class _Stored:
    """One market's stored candles: ascending unique opens, and which of them are quiet."""

    opens: np.ndarray
    quiet: np.ndarray

    def without(self, opens: np.ndarray) -> _Stored:
        """The market as if some of its candles were not stored."""
        kept = ~np.isin(self.opens, opens)
        return _Stored(self.opens[kept], self.quiet[kept])


def outage_opens(markets: dict[str, pd.DataFrame], timeframe_ms: int) -> dict[str, list[int]]:
    """Stored candles that only fill an outage of the exchange.

    Idempotent: without the candles it returns, the same call returns none.

    Args:
        markets: Stored candles of each market of one exchange, all of one timeframe: columns open_time (datetimes;
            naive ones are UTC) or open_ms, open, high, low, close, volume. Any order; the last copy is used.
        timeframe_ms: Length of a candle.

    Returns:
        For each market the ascending open times, in ms since 1970 UTC, of its flat candles of volume 0 that are part
        of an outage.
    """
    stored = {name: _stored(candles, timeframe_ms) for name, candles in markets.items()}
    found: dict[str, set[int]] = {name: set() for name in markets}
    # A found candle counts as missing, which may reveal further ones.
    once = _named(stored, timeframe_ms)
    while any(map(len, once.values())):
        for name, opens in once.items():
            found[name].update(opens.tolist())
            stored[name] = stored[name].without(opens)
        once = _named(stored, timeframe_ms)
    return {name: sorted(opens) for name, opens in found.items()}


def _named(stored: dict[str, _Stored], timeframe_ms: int) -> dict[str, np.ndarray]:
    """Open times of each market's quiet candles that are part of an outage, found in one pass."""
    shared = _shared_stillness([each for each in stored.values() if len(each.opens)], timeframe_ms)
    found = {}
    for name, each in stored.items():
        common = each.quiet & np.isin(each.opens, shared)
        # A candle filled in all markets counts as missing, so the rest of its quiet run is found too.
        own = quiet_runs_at_gaps(each.opens, each.quiet, timeframe_ms, missing=common)
        found[name] = each.opens[common | own]
    return found


def _stored(candles: pd.DataFrame, timeframe_ms: int) -> _Stored:
    opens = millisecond_opens(candles)
    quiet, closes = quiet_candles(candles), candles["close"].to_numpy(dtype=float)
    timed = np.flatnonzero(np.isfinite(opens))
    order = timed[np.argsort(opens[timed], kind="stable")]
    last = np.append(np.diff(opens[order]) > 0, True)[: len(order)]
    order = order[last]
    whole, quiet, closes = opens[order].astype(np.int64), quiet[order], closes[order]
    moved = direct_before(whole, timeframe_ms) & apart(closes, np.append(np.nan, closes[:-1])[: len(closes)])
    return _Stored(whole, quiet & ~moved)


def _states(stored: list[_Stored], timeframe_ms: int) -> tuple[np.ndarray, int]:
    """The state of each market in each interval, (markets, intervals), and the number of the first interval."""
    places = [each.opens // timeframe_ms for each in stored]
    first = min(int(each[0]) for each in places)
    last = max(int(each[-1]) for each in places)
    states = np.full((len(stored), last - first + 1), _ABSENT, dtype=np.int8)
    longest = max(3, ABSENT_MS // timeframe_ms)
    for row, each, place in zip(states, stored, places, strict=True):
        own = place - first
        steps = np.diff(own)
        row[own[0] : own[-1] + 1] = _MISSING
        for at in np.flatnonzero(steps > longest):
            row[own[at] + 1 : own[at + 1]] = _ABSENT
        row[own] = np.where(each.quiet, _QUIET, _TRADED)
    return states, first


def _shared_stillness(stored: list[_Stored], timeframe_ms: int) -> np.ndarray:
    """Open times, in ms, of intervals that all markets spent still and that chance does not explain."""
    if len(stored) < 2:
        return np.array([], dtype=np.int64)
    states, first = _states(stored, timeframe_ms)
    there = states != _ABSENT
    still = (states == _QUIET) | (states == _MISSING)
    together = (there.sum(axis=0) >= 2) & (states != _TRADED).all(axis=0)
    named = together & (states == _QUIET).any(axis=0)
    places = np.flatnonzero(named)
    if not len(places):
        return np.array([], dtype=np.int64)
    starts = places[np.append(True, np.diff(places) > 1)]
    spell = np.searchsorted(starts, places, side="right") - 1
    habits = _Habits(there & ~(together & ~named), still & ~together, starts, places, spell)
    expected = np.maximum(habits.overall(), habits.around())
    hours = (first + np.arange(states.shape[1], dtype=np.int64)) * timeframe_ms // HOUR_MS
    for period in (24, 24 * 7):
        expected = np.maximum(expected, habits.in_cells(hours % period, period))
    is_outage = expected < CHANCE
    opens: np.ndarray = (places[is_outage[spell]] + first) * timeframe_ms
    return opens


class _Habits:
    """Expected numbers of intervals that all markets of a spell spend still by chance, in four scopes.

    Args:
        there: Markets x intervals: the market is present (intervals that all markets miss are left out).
        alone: The market is still while another one trades.
        starts: First interval of each spell of common stillness.
        places: Intervals of the spells.
        spell: Number of the spell of each of `places`.
    """

    def __init__(
        self, there: np.ndarray, alone: np.ndarray, starts: np.ndarray, places: np.ndarray, spell: np.ndarray
    ) -> None:
        self._there, self._alone, self._starts, self._places, self._spell = there, alone, starts, places, spell
        self._of = there[:, starts]

    def _chance(
        self, alone: np.ndarray, together: np.ndarray, of: np.ndarray, around: np.ndarray, always: bool = False
    ) -> np.ndarray:
        """intervals x product of the shares of quiet ones over the markets present; arrays are (markets, spells).

        A scope in which a market is still only in rare common spells gives no evidence (0), unless `always`.
        """
        of = np.maximum(of, 1)
        habit = (together / of >= HABIT) & (together > 1)
        shares = np.where(around, np.minimum((alone + np.where(habit, together, 1)) / of, 1.0), 1.0)
        intervals = np.where(around, of, np.iinfo(np.int64).max).min(axis=0)
        has_evidence = always | (~around | habit | (alone > 0)).all(axis=0)
        expected: np.ndarray = np.where(has_evidence, intervals * np.prod(shares, axis=0), 0.0)
        return expected

    def overall(self) -> np.ndarray:
        alone, together, of = (marks.sum(axis=1)[:, None] for marks in (self._alone, self._of, self._there))
        return self._chance(alone, together, of, self._of, always=True)

    def around(self) -> np.ndarray:
        """Over the surrounding intervals."""
        ends = np.append(self._places[np.flatnonzero(np.diff(self._spell))], self._places[-1])
        low, high = np.maximum(self._starts - AROUND, 0), np.minimum(ends + AROUND + 1, self._there.shape[1])

        def between(marks: np.ndarray) -> np.ndarray:
            sums = np.concatenate([np.zeros((len(marks), 1), dtype=np.int64), marks.cumsum(axis=1, dtype=np.int64)], 1)
            counts: np.ndarray = sums[:, high] - sums[:, low]
            return counts

        begun = np.zeros_like(self._there)
        begun[:, self._starts] = self._of
        return self._chance(between(self._alone), between(begun), between(self._there), self._of)

    def in_cells(self, cells: np.ndarray, size: int) -> np.ndarray:
        """Over the same hour of other days or weeks; the median over the intervals of a long spell."""

        def totals(marks: np.ndarray) -> np.ndarray:
            return np.stack([np.bincount(cells[row], minlength=size) for row in marks])

        # A spell counts once in every cell that it touches.
        pairs = np.unique(self._spell * size + cells[self._places])
        spell, cell = pairs // size, pairs % size
        spells = np.stack([np.bincount(cell[of[spell]], minlength=size) for of in self._of])
        alone, there = totals(self._alone), totals(self._there)
        expected = self._chance(alone[:, cell], spells[:, cell], there[:, cell], self._of[:, spell])
        middle: np.ndarray = pd.Series(expected).groupby(spell).median().to_numpy()
        return middle
