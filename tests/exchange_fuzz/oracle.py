"""What a load promises, held against the truth.

* What is stored is the truth, bit for bit, in every revision: the truth of an example never changes, and no spoiled
  answer is a lie that could be true (mutations.py). Each candle once, on the time grid, none that is still open.
* What is not stored is counted in `missing`, where it lies between stored candles. Where it lies before or behind all
  of them the load is not ok, or its message says where candles are wanting; or they are in `raw.gaps`: the load that
  did not get them has said so, and the next ones ask again only after a while.
* A load ends with a report or one line of a CandleworksError, and asks and waits a bounded number of times.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from flows.ingestion.history import Span
from flows.ingestion.ingest import LoadReport
from flows.workspace.database import Warehouse

LONGEST_MESSAGE = 500
MOST_REQUESTS = 400
LONGEST_PAUSES = 3600.0

Candle = tuple[float, ...]


class BrokenPromise(AssertionError):
    """A load that did what none may do."""


def require(kept: bool, what: str) -> None:
    if not kept:
        raise BrokenPromise(what)


@dataclass(frozen=True)
class Truth:
    """All candles that a market will ever have, by their open times."""

    candles: dict[int, Candle]
    length_ms: int

    @staticmethod
    def of(frame: pd.DataFrame, length_ms: int) -> Truth:
        opens = frame["open_time"].astype("datetime64[ms, UTC]").astype("int64").tolist()
        values = frame[["open", "high", "low", "close", "volume"]].to_numpy().tolist()
        return Truth({time: tuple(row) for time, row in zip(opens, values, strict=True)}, length_ms)

    def closed(self, now_ms: int) -> dict[int, Candle]:
        return {time: row for time, row in self.candles.items() if time + self.length_ms <= now_ms}


def stored_rows(warehouse: Warehouse) -> list[tuple[int, Candle]]:
    """Every revision of every candle, in the order of their times."""
    with warehouse.connect() as connection:
        rows = connection.execute(
            "select epoch_ms(open_time), open, high, low, close, volume from raw.candles order by 1, load_id"
        ).fetchall()
    return [(int(row[0]), tuple(row[1:])) for row in rows]


def known_gaps(warehouse: Warehouse, length_ms: int) -> list[Span]:
    """What the loads remember as missing."""
    with warehouse.connect() as connection:
        rows = connection.execute("select epoch_ms(first_open_time), epoch_ms(last_open_time) from raw.gaps").fetchall()
    return [Span(int(first), int(last) + length_ms) for first, last in rows]


def check_stored(rows: list[tuple[int, Candle]], truth: Truth, now_ms: int) -> None:
    """Nothing but the truth is stored."""
    times = [time for time, _ in rows]
    require(len(set(times)) == len(times), "a candle is stored twice, though the truth was not revised")
    for time, row in rows:
        true = truth.candles.get(time)
        require(true is not None, f"a candle that never was is stored: {time}")
        require(time + truth.length_ms <= now_ms, f"an open candle is stored: {time} at {now_ms}")
        require(row == true, f"{time} is stored as {row}, the truth is {true}")


def check_told(report: LoadReport, rows: list[tuple[int, Candle]], truth: Truth, span: Span, gaps: list[Span]) -> None:
    """What is not stored of the asked span is told."""
    times = [time for time, _ in rows]
    slots = (times[-1] - times[0]) // truth.length_ms + 1 if times else 0
    require(report.missing == slots - len(times), f"missing is {report.missing}, {slots - len(times)} are absent")
    if report.status != "ok" or report.message:
        return
    true = [time for time in truth.closed(span.until_ms) if time >= span.first_ms]
    outside = [time for time in true if not times or not times[0] <= time <= times[-1]]
    outside = [time for time in outside if not any(gap.first_ms <= time < gap.until_ms for gap in gaps)]
    require(not outside, f"ok without a word, but {len(outside)} candles are not there, the first of {outside[:1]}")


def check_words(message: str) -> None:
    require(len(message) <= LONGEST_MESSAGE, f"a message of {len(message)} letters: {message}")
    require(message.isprintable(), f"a message with letters that are none: {message!r}")
    require("Traceback" not in message, message)


def check_bounds(requests: int, slept: float) -> None:
    require(requests <= MOST_REQUESTS, f"{requests} requests")
    require(slept <= LONGEST_PAUSES, f"waited {slept:g} s")
