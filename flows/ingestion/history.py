"""Which spans of a series a load requests: missing candles before and between the stored ones, and the end.

Candles that an exchange did not return stay recorded as missing (raw.gaps) and are requested again with growing pauses:
a quarter of the gap's age at the last request, at least an hour and at most a week.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from ml.timeframes import DAY_MS, HOUR_MS, naive_utc

#: The open times of a series, and whether the newest revision of each withdraws the candle.
OPENS = """
    select open_time, arg_max(close is null, load_id) as withdrawn from raw.candles
    where exchange = ? and symbol = ? and timeframe = ? group by open_time
"""
#: Maximum number of spans before the end per load; the others wait for the next load.
MOST_SPANS = 10
LONGEST_REST_MS = 7 * DAY_MS


@dataclass(frozen=True)
class Span:
    """Open times from `first_ms` to `until_ms` (excluded)."""

    first_ms: int
    until_ms: int

    def holds(self, other: Span) -> bool:
        return self.first_ms <= other.first_ms and other.until_ms <= self.until_ms


@dataclass(frozen=True)
class Extent:
    """The first and the last open time stored, withdrawn or not, and how many candles are absent or withdrawn there."""

    first_ms: int
    last_ms: int
    missing: int


@dataclass(frozen=True)
class Gap:
    """A span without candles, how often it was requested, and when last (exchange's time; None: never)."""

    span: Span
    requests: int = 0
    last_requested_ms: int | None = None

    def is_due(self, now_ms: int) -> bool:
        if self.last_requested_ms is None:
            return True
        age = self.last_requested_ms - self.span.until_ms
        return now_ms - self.last_requested_ms >= min(max(age // 4, HOUR_MS), LONGEST_REST_MS)


def stored_extent(connection: duckdb.DuckDBPyConnection, key: list[str], length_ms: int) -> Extent | None:
    """The stored extent of a series; None where nothing is stored."""
    row = connection.execute(
        f"select epoch_ms(min(open_time)), epoch_ms(max(open_time)), count(*) filter (not withdrawn) from ({OPENS})",
        key,
    ).fetchone()
    if row is None or row[0] is None:
        return None
    first, last, there = (int(value) for value in row)
    return Extent(first, last, (last - first) // length_ms + 1 - there)


def missing_spans(
    connection: duckdb.DuckDBPyConnection, key: list[str], stored: Extent | None, start_ms: int, length_ms: int
) -> list[Span]:
    """Spans without a stored candle from `start_ms` to the last stored one, in order; withdrawn ones count as missing.

    `stored` is the result of `stored_extent`.
    """
    if stored is None:
        return []
    spans = _spans_between(connection, key, length_ms) if stored.missing else []
    start_ms += -start_ms % length_ms
    if start_ms < stored.first_ms:
        spans.insert(0, Span(start_ms, stored.first_ms))
    return spans


def _spans_between(connection: duckdb.DuckDBPyConnection, key: list[str], length_ms: int) -> list[Span]:
    """Spans without a candle between stored ones, in order."""
    times = connection.execute(
        "select open_ms, next_ms from (select epoch_ms(open_time) as open_ms, lead(epoch_ms(open_time)) over "
        f"(order by open_time) as next_ms from ({OPENS}) where not withdrawn) "
        "where next_ms - open_ms > ? order by open_ms",
        [*key, length_ms],
    ).fetchall()
    return [Span(int(before) + length_ms, int(after)) for before, after in times]


def known_gaps(connection: duckdb.DuckDBPyConnection, key: list[str], missing: list[Span], length_ms: int) -> list[Gap]:
    """The missing spans with their recorded requests; one that was never requested as a whole is new."""
    if not missing:
        return []
    rows = connection.execute(
        "select epoch_ms(first_open_time), epoch_ms(last_open_time), requests, epoch_ms(last_requested_at) "
        "from raw.gaps where exchange = ? and symbol = ? and timeframe = ? order by 1",
        key,
    ).fetchall()
    known = [
        Gap(Span(int(first), int(last) + length_ms), int(requests), int(asked)) for first, last, requests, asked in rows
    ]
    gaps = []
    for span in missing:
        asked = next((gap for gap in known if gap.span.holds(span)), None)
        gaps.append(Gap(span) if asked is None else Gap(span, asked.requests, asked.last_requested_ms))
    return gaps


def asked_for(gaps: list[Gap], asked: list[Span], now_ms: int) -> list[Gap]:
    """The gaps after a load: those inside the requested spans count one more request."""
    return [
        Gap(gap.span, gap.requests + 1, now_ms) if any(span.holds(gap.span) for span in asked) else gap for gap in gaps
    ]


def due_spans(gaps: list[Gap], now_ms: int, near_ms: int) -> list[Span]:
    """Spans to request again, joined where they are near; if there are too many, those that waited longest."""
    due = sorted((gap for gap in gaps if gap.is_due(now_ms)), key=lambda gap: gap.last_requested_ms or 0)[:MOST_SPANS]
    return joined([gap.span for gap in due], near_ms)


def write_gaps(connection: duckdb.DuckDBPyConnection, key: list[str], gaps: list[Gap], length_ms: int) -> None:
    """Record the gaps of a series that were requested."""
    rows = [
        [*key, naive_utc(one.span.first_ms), naive_utc(one.span.until_ms - length_ms), one.requests, naive_utc(asked)]
        for one in gaps
        if (asked := one.last_requested_ms) is not None
    ]
    connection.execute("delete from raw.gaps where exchange = ? and symbol = ? and timeframe = ?", key)
    if rows:
        connection.executemany("insert into raw.gaps values (?, ?, ?, ?, ?, ?, ?)", rows)


def joined(spans: list[Span], near_ms: int = 0) -> list[Span]:
    """Spans in order; those that overlap, touch or together last no longer than `near_ms` are joined."""
    result: list[Span] = []
    for span in sorted(spans, key=lambda one: one.first_ms):
        last = result[-1] if result else None
        if last and (span.first_ms <= last.until_ms or span.until_ms - last.first_ms <= near_ms):
            result[-1] = Span(last.first_ms, max(last.until_ms, span.until_ms))
        else:
            result.append(span)
    return result
