"""Events of signals and fills, and which of them a target wants."""

from __future__ import annotations

import pytest

from flows.notices.delivery import wants
from flows.notices.events import Event, RecordedEvent, read_event
from flows.notices.signals import fill_events, is_due, signal_events
from flows.settings import TargetSettings
from ml.errors import StoreError
from tests.flows.notices.conftest import T0, at, fill_event, fill_row, signal_row


def directions(*steps: int | None) -> list[tuple[int, str]]:
    """Hour and direction of the events of one series."""
    rows = [signal_row(hour, steps) for hour, steps in enumerate(steps)]
    return [(event.time.hour - 1, str(event.fields["direction"])) for event in signal_events(rows)]


def test_an_event_is_a_row_whose_step_differs_from_that_before() -> None:
    assert directions(0, 0, 1, 1, 2, 1, 0, -1, -3, 0) == [
        (2, "rises"), (4, "rises"), (5, "falls"), (6, "falls"), (7, "falls"), (8, "falls"), (9, "rises")
    ]  # fmt: skip
    assert directions() == directions(2) == directions(2, 2) == []
    assert directions(None, 0, 1, None) == [(2, "rises"), (3, "falls")], "without a score inside"


def test_series_and_signals_are_not_compared_with_each_other() -> None:
    other = [signal_row(hour, 3, symbol="ETH/USDT") for hour in range(2)]
    second = [signal_row(hour, 5, signal="second") for hour in range(2)]
    assert signal_events([signal_row(0, 1), signal_row(1, 1), *other, *second]) == []


def test_an_event_has_an_identity_that_does_not_depend_on_the_other_rows() -> None:
    rows = [signal_row(hour, hour) for hour in range(5)]
    assert [e.id for e in signal_events(rows)][2:] == [e.id for e in signal_events(rows[2:])]
    (again,) = signal_events([rows[0], signal_row(1, 1, score=0.9)])
    assert again.id == signal_events(rows)[0].id
    assert len({event.id for event in signal_events(rows)}) == 4


def test_an_event_has_price_signs_and_score() -> None:
    (event,) = signal_events([signal_row(0, 1), signal_row(1, 2, score=0.31)])
    assert (event.time, event.fields["time"]) == (at(2), "2024-01-01 02:00")
    wanted = {"price": 43210.5, "signs": "▲▲", "score": 0.31, "band": 2, "previous_band": 1, "direction": "rises"}
    assert {name: event.fields[name] for name in wanted} == wanted


def test_a_step_is_repeated_at_its_own_interval() -> None:
    rows = [signal_row(hour, steps) for hour, steps in enumerate([0, 1, 1, 1, 2, 2, 2, 2, 2, 0, 0, 0])]
    interval = {1: 4, 2: 2}
    events = signal_events(rows, [{}, interval])
    due = [event.time.hour for event in events if is_due(event, interval)]
    # Candles that close at hours: 2 and 5 and 10 are changes; step 1 repeats at 4, step 2 at 6 and 8.
    assert due == [2, 4, 5, 6, 8, 10]
    assert [event.time.hour for event in events if is_due(event, {})] == [2, 5, 10]
    assert [event.time.hour for event in events if is_due(event, {3: 1})] == [2, 5, 10], "step 3 is not reached"
    down = [signal_row(hour, -2) for hour in range(4)]
    assert [event.time.hour for event in signal_events(down, [interval])] == [2, 4], "falling steps count alike"


def test_a_fill_is_an_event() -> None:
    (event,) = fill_events([fill_row(3)])
    assert (event.kind, event.key, event.time) == ("transaction", "f3", at(3))
    assert event.fields["balance"] == 9989.2


def test_filters_exclude_kinds_markets_and_timeframes() -> None:
    def target(**filters: object) -> TargetSettings:
        return TargetSettings(name="a", kind="console", **filters)  # type: ignore[arg-type]

    fill = RecordedEvent(fill_event("a"), T0)
    alarm = RecordedEvent(Event("silence", "pipeline", T0, {"hours": 3.0}, 1), T0)
    market = RecordedEvent(Event("stale", "m", T0, {"symbol": "ETH/USDT"}, 1), T0)
    truth = [
        (target(), True, True, True),
        (target(events=["transaction"]), True, False, False),
        (target(events=["silence", "stale"]), False, True, True),
        (target(symbols=["BTC/USDT"]), True, True, False),
        (target(symbols=["ETH/USDT"]), False, True, True),
        (target(timeframes=["4h"]), False, True, True),
        (target(timeframes=["1h", "4h"], symbols=["BTC/USDT", "ETH/USDT"]), True, True, True),
    ]
    for one, *wanted in truth:
        assert [wants(one, event) for event in (fill, alarm, market)] == wanted, one


def test_an_event_reads_back_as_it_was_recorded() -> None:
    (event,) = signal_events([signal_row(0, 1), signal_row(1, 2, price=None)])
    assert read_event(event.to_json(at(5)), "path") == RecordedEvent(event, at(5))


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"kind": "stale"', b"\xff", b'{"fields": 1}'])
def test_a_file_that_is_no_event_is_an_error_with_a_remedy(content: bytes) -> None:
    with pytest.raises(StoreError, match=r"a\.json is no recorded event. Delete it, then run again"):
        read_event(content, "notices/events/a.json")
