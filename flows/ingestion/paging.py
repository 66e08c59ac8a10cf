"""All closed candles of a span, independent of how an exchange pages them.

An empty answer is not the end: some exchanges answer only a window of time, in which a market may be halted or not yet
listed. The next candle is then found through daily candles, or by bisection. Pages may hold fewer rows than requested,
rows before the window, or only its newest ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flows.ingestion.retrying import RefusedError
from ml.timeframes import DAY_MS

#: Rows of [open time ms, open, high, low, close, volume], oldest first.
Rows = list[list[float]]
#: Requests candles: (first open time in ms, maximum number of rows).
Ask = Callable[[int, int], Rows]

#: Empty windows after which the next candle is found by bisection.
MOST_EMPTY_WINDOWS = 24


class Days:
    """The days on which a market has candles, read in windows and cached.

    Args:
        ask: requests daily candles.
        window: days that one answer is certain to cover.
    """

    def __init__(self, ask: Ask, window: int) -> None:
        self._ask = ask
        self._window = window
        self._known: dict[int, list[int]] = {}
        self._none = False

    def first_from(self, first_ms: int, end_ms: int, began_ms: int) -> int | None:
        """The first day from `first_ms` on with a candle, `end_ms` if there is none; None without daily candles.

        Windows are read from `began_ms` on.
        """
        day = began_ms - began_ms % DAY_MS
        while day < end_ms and not self._none:
            later = [one for one in self._opens(day) if one + DAY_MS > first_ms]
            if later:
                return later[0]
            day += self._window * DAY_MS
        return None if self._none else end_ms

    def _opens(self, day: int) -> list[int]:
        if day not in self._known:
            try:
                self._known[day] = [int(row[0]) for row in self._ask(day, self._window)]
            except RefusedError:
                self._none = True
                return []
            # Candles of another length do not count as daily candles.
            self._none = any(one % DAY_MS for one in self._known[day])
        return [] if self._none else self._known[day]


class Pages:
    """The closed candles of one market in one span, page by page.

    Args:
        ask: requests them.
        length_ms: length of a candle.
        window: candles requested at once, which one answer is certain to cover.
        widest: the most candles that one answer can cover.
        first_ms, end_ms: the span, its end excluded; no candle that opens at the end or later is closed.
        days: the market's daily candles; None where there are none, or where the candles are daily or longer.
    """

    def __init__(
        self,
        ask: Ask,
        length_ms: int,
        window: int,
        widest: int,
        first_ms: int,
        end_ms: int,
        days: Days | None = None,
    ) -> None:
        self._ask = ask
        self._length = length_ms
        self._window = window
        self._widest = widest
        self._first_ms = first_ms
        self._end_ms = end_ms
        self._days = days

    def closed(self) -> Iterator[Rows]:
        """Pages with rows of the span, in no particular order."""
        cursor = looked_at = self._first_ms - self._first_ms % self._length
        empty = 0
        while cursor < self._end_ms:
            rows, went_on = self._page(cursor, self._window)
            closed = [row for row in rows if row[0] >= cursor]
            if closed:
                yield from self._older_end(cursor, int(closed[0][0]))
                yield closed
                if empty:
                    yield from self._before(cursor, closed, looked_at)
                cursor = looked_at = int(rows[-1][0]) + self._length
                empty = 0
            elif went_on:
                return  # the next candle is after the span
            else:
                empty += 1
                cursor = self._after_a_hole(cursor + self._window * self._length, looked_at, empty)

    def _page(self, start: int, limit: int) -> tuple[Rows, bool]:
        """Closed rows of the span, and whether the answer extends beyond it."""
        rows = self._ask(start, limit)
        of_span = [row for row in rows if self._first_ms - self._length < row[0] < self._end_ms]
        return of_span, bool(rows and rows[-1][0] >= self._end_ms)

    def _older_end(self, cursor: int, first: int) -> Iterator[Rows]:
        """Rows between `cursor` and `first` that an exchange left out by truncating a full window at its older end."""
        while 0 < first - cursor < self._window * self._length:
            rows, _ = self._page(cursor, (first - cursor) // self._length)
            older = [row for row in rows if cursor <= row[0] < first]
            if not older:
                return
            yield older
            first = int(older[0][0])

    def _before(self, cursor: int, closed: Rows, looked_at: int) -> Iterator[Rows]:
        """Candles before a window that follows empty ones and starts with a candle: it may start one step too late."""
        while closed and closed[0][0] == cursor > looked_at:
            last, cursor = cursor, max(looked_at, cursor - len(closed) * self._length)
            closed = [row for row in self._page(cursor, self._window)[0] if cursor <= row[0] < last]
            if closed:
                yield closed

    def _after_a_hole(self, cursor: int, began_ms: int, empty: int) -> int:
        """Where to continue after `empty` empty windows from `began_ms` to `cursor`; later times were not requested."""
        if cursor >= self._end_ms:
            return self._end_ms
        if self._days is not None:
            day = self._days.first_from(cursor, self._end_ms, began_ms)
            cursor = max(cursor, day) if day is not None else cursor
        if empty >= MOST_EMPTY_WINDOWS and cursor < self._end_ms:
            return self._bisect(cursor)
        return min(cursor, self._end_ms)

    def _bisect(self, low: int) -> int:
        """The first open time with a candle, assuming that the exchange has all later ones; the end if none."""
        high = self._end_ms
        window = self._widest * self._length
        while high - low > window:
            middle = low + (high - low) // 2
            middle -= middle % self._length
            rows = [row for row in self._ask(middle, self._widest) if row[0] >= middle]
            if rows and rows[0][0] > middle:
                return int(rows[0][0])
            if rows:
                high = middle
            else:
                low = middle + window
        return min(low, self._end_ms)
