"""Events of signals and paper fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from flows.messages import FieldValue
from flows.notices.events import Event, shown_time
from flows.notices.rows import FillRow, SignalRow
from ml.timeframes import TIMEFRAMES, as_utc

#: See `TargetSettings.band_interval`.
Intervals = Mapping[int, int]


def signal_events(rows: Sequence[SignalRow], intervals: Sequence[Intervals] = ()) -> list[Event]:
    """One event per row whose step differs from that of the row before, or which an interval repeats.

    Args:
        rows: ordered by series, signal and time. The first of each is compared with none: it is no change.
        intervals: those of all targets; a target takes of the events those that `is_due` names.
    """
    return [
        _signal_event(before, row)
        for before, row in pairwise(rows)
        if _signal(before) == _signal(row)
        and (_steps(row) != _steps(before) or any(_repeats(row, interval) for interval in intervals))
    ]


def fill_events(rows: Sequence[FillRow]) -> list[Event]:
    """One event per fill."""
    return [
        Event(
            kind="transaction",
            key=row["hash"],
            time=as_utc(row["time"]),
            fields={
                **_series(row),
                "signal": row["signal"],
                "time": shown_time(row["time"]),
                "side": row["side"],
                "price": row["price"],
                "quantity": row["quantity"],
                "fee": row["fee"],
                "reason": row["reason"],
                "balance": row["balance"],
            },
        )
        for row in rows
    ]


def is_due(event: Event, interval: Intervals) -> bool:
    """Whether a target wants a `score_band` event: a change always, else where its own interval repeats the step."""
    fields = event.fields
    if fields["band"] != fields["previous_band"]:
        return True
    length_ms = TIMEFRAMES[str(fields["timeframe"])]
    return _is_repeated(fields["band"], round(event.time.timestamp() * 1000) // length_ms, interval)


def _repeats(row: SignalRow, interval: Intervals) -> bool:
    number = round(as_utc(row["close_time"]).timestamp() * 1000) // TIMEFRAMES[row["timeframe"]]
    return _is_repeated(_steps(row), number, interval)


def _is_repeated(steps: FieldValue, candle: int, interval: Intervals) -> bool:
    """Whether the candle with a number since 1970 is one of every n, n being the interval of the highest step."""
    reached = [step for step in interval if step <= abs(int(steps or 0))]
    return bool(reached) and candle % interval[max(reached)] == 0


def _signal_event(before: SignalRow, row: SignalRow) -> Event:
    names = ("exchange", "symbol", "timeframe", "signal")
    return Event(
        kind="score_band",
        key="|".join([*(str(row.get(name)) for name in names), as_utc(row["open_time"]).isoformat()]),
        time=as_utc(row["close_time"]),
        fields={
            **_series(row),
            "signal": row["signal"],
            "time": shown_time(row["close_time"]),
            "price": row["price"],
            "score": row["score"],
            "side": None if row["side"] is None else int(row["side"]),
            "band": _steps(row),
            "previous_band": _steps(before),
            "signs": row["signs"],
            "direction": _direction(_steps(before), _steps(row)),
        },
    )


def _steps(row: SignalRow) -> int:
    """Signed steps beyond the threshold; a signal without a score is inside."""
    return row["band"] or 0


def _direction(before: int, now: int) -> str:
    return "unchanged" if now == before else "rises" if now > before else "falls"


def _series(row: SignalRow | FillRow) -> dict[str, str]:
    return {"exchange": row["exchange"], "symbol": row["symbol"], "timeframe": row["timeframe"]}


def _signal(row: SignalRow) -> tuple[str, ...]:
    return row["exchange"], row["symbol"], row["timeframe"], row["signal"]
