"""Delivery: every event once per target, across restarts, retries, failures and changes of the settings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from flows.messages import ALARM_KINDS
from flows.notices.delivery import ATTEMPT_LIMIT, LONGEST_PAUSE, Delivered, deliver, pause_after
from flows.notices.events import Event
from flows.notices.outbox import Outbox
from flows.notices.targets import Delivery, Message
from flows.settings import NoticeSettings
from ml.errors import StoreIOError
from ml.store import Store
from tests.flows.notices.conftest import T0, at, fill_event, notice_settings

SENT = Delivery("sent")
REFUSED = Delivery("failed", "it answers 400")
DOWN = Delivery("failed", "it cannot be reached", is_down=True)


class Killed(BaseException):
    """The process ends here."""


@dataclass
class FakeSender:
    """Remembers messages; answers with the next of the given results, then that all is sent."""

    results: list[Delivery | BaseException] = field(default_factory=list)
    problem: str = ""
    is_repeatable: bool = False
    texts: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    before_answer: Callable[[], object] | None = None

    def send(self, message: Message) -> Delivery:
        self.ids.append(message["id"])
        self.texts.append(str(message["fields"].get("signal", message["kind"])))
        if self.before_answer:
            self.before_answer()
        result = self.results.pop(0) if self.results else SENT
        if isinstance(result, BaseException):
            raise result
        return result


class Home:
    """An outbox with targets; each run reads everything anew, as after a restart."""

    def __init__(self, store: Store, *names: str, **settings: Any) -> None:
        self.store, self.outbox = store, Outbox(store)
        self.senders = {name: FakeSender() for name in names}
        self.settings = self.with_targets(*names, **settings)

    def with_targets(self, *names: str, **settings: Any) -> NoticeSettings:
        return notice_settings(*({"name": name, "kind": "console"} for name in names), **settings)

    def add(self, *events: Event, now: datetime = T0) -> None:
        self.outbox.record(events, (), now)

    def run(self, now: datetime, settings: NoticeSettings | None = None, run_seconds: float = 60) -> Delivered:
        settings = settings or self.settings
        return deliver(Outbox(Store(self.store.url)), settings, now, self.senders, run_seconds)

    def states(self, name: str, event: Event) -> tuple[int, str]:
        return self.outbox.contents().last(name, event.id)


@pytest.fixture
def home(store: Store) -> Home:
    """Two targets that have begun."""
    home = Home(store, "one", "two")
    assert home.run(T0) == Delivered(0, ["one", "two"], [])
    return home


def test_each_event_is_sent_once_to_each_target(home: Home) -> None:
    home.add(fill_event("a"), fill_event("b", hour=2), now=at(1))
    home.add(fill_event("a"), now=at(2))
    assert home.run(at(1)) == Delivered(4, [], [])
    for hour in range(2, 5):
        assert home.run(at(hour)) == Delivered()
    assert [sender.texts for sender in home.senders.values()] == [["a", "b"]] * 2


def test_events_are_sent_in_the_order_of_recording_and_of_time(home: Home) -> None:
    home.add(fill_event("late", hour=9), fill_event("early", hour=1), now=at(1))
    home.add(fill_event("next", hour=0), now=at(2))
    home.run(at(3))
    assert home.senders["one"].texts == ["early", "late", "next"]


def test_a_target_that_fails_does_not_hold_the_others_and_is_tried_again_with_growing_pauses(home: Home) -> None:
    home.senders["one"].results = [REFUSED] * 3
    home.add(fill_event("a"), now=at(1))
    first = home.run(at(1))
    assert (first.sent, len(first.warnings)) == (1, 1)
    assert "failed in attempt 1 of 8 (it answers 400); attempt 2 is due at 2024-01-01 01:05 UTC" in first.warnings[0]
    for minute in range(60, 120):
        home.run(at(1) + timedelta(minutes=minute - 60))
    # After 5, 10 and 20 minutes.
    assert home.states("one", fill_event("a")) == (4, "sent")
    times = [home.outbox.mark("one", fill_event("a").id, n, "attempt")["at"][11:16] for n in range(1, 5)]
    assert times == ["01:00", "01:05", "01:15", "01:35"]
    assert len(set(home.senders["one"].ids)) == 1
    assert home.senders["two"].texts == ["a"]


def test_pauses_double_up_to_six_hours() -> None:
    minutes = [pause_after(n, 300).total_seconds() / 60 for n in range(1, 10)]
    assert minutes == [5, 10, 20, 40, 80, 160, 320, 360, 360]
    assert pause_after(50, 300) == LONGEST_PAUSE


def test_a_message_is_given_up_visibly_after_the_last_attempt(store: Store) -> None:
    home = Home(store, "one", attempts=3)
    home.run(T0)
    home.senders["one"].results = [REFUSED] * 9
    home.add(fill_event("a"), now=at(1))
    lines = [line for hour in range(1, 9) for line in home.run(at(hour)).warnings]
    assert len(lines) == 3
    assert "failed in attempt 3 of 3 (it answers 400); it is given up" in lines[-1]
    assert (len(home.senders["one"].ids), home.states("one", fill_event("a"))) == (3, (3, "failed"))


def test_a_refused_message_does_not_hold_the_next_one_but_a_target_that_is_down_gets_no_more(home: Home) -> None:
    home.senders["one"].results = [REFUSED]
    home.senders["two"].results = [DOWN]
    home.add(fill_event("a"), fill_event("b", hour=2), now=at(1))
    home.run(at(1))
    assert (home.senders["one"].texts, home.senders["two"].texts) == (["a", "b"], ["a"])
    home.run(at(1) + timedelta(minutes=4))
    assert home.senders["two"].texts == ["a"], "its pause holds for all events"
    home.run(at(1) + timedelta(minutes=5))
    assert home.senders["two"].texts == ["a", "a", "b"]


def test_a_process_that_dies_between_send_and_mark_has_not_sent_twice(home: Home) -> None:
    home.senders["one"].results = [Killed()]
    home.add(fill_event("a"), fill_event("b", hour=2), now=at(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda _: None)
        home.run(at(1))
    assert home.states("one", fill_event("a")) == (1, "attempt")
    assert home.run(at(1) + ATTEMPT_LIMIT / 2).warnings == [], "perhaps another process is still sending"
    later = home.run(at(1) + ATTEMPT_LIMIT)
    assert len(later.warnings) == 1
    assert "may have arrived (the program ended while it was sending); it is not sent again" in later.warnings[0]
    assert home.run(at(5)) == Delivered()
    assert home.states("one", fill_event("a")) == (1, "unknown")
    assert (home.senders["one"].texts, home.senders["two"].texts) == (["a", "b"], ["a", "b"])


def test_a_target_that_knows_its_messages_gets_one_again_after_a_death(home: Home) -> None:
    home.senders["one"].is_repeatable = True
    home.senders["one"].results = [Killed()]
    home.add(fill_event("a"), now=at(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda _: None)
        home.run(at(1))
    assert home.run(at(1)) == Delivered(1)
    assert home.states("one", fill_event("a")) == (1, "sent")


def test_a_message_without_an_answer_is_unknown_and_not_sent_again(home: Home) -> None:
    home.senders["one"].results = [Delivery("unknown", "TimeoutError", is_down=True)]
    home.add(fill_event("a"), now=at(1))
    assert "may have arrived (TimeoutError); it is not sent again" in home.run(at(1)).warnings[0]
    assert home.run(at(9)) == Delivered()
    assert home.states("one", fill_event("a")) == (1, "unknown")


def test_a_store_that_fails_stops_the_run_and_the_next_one_continues(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.add(fill_event("a"), now=at(1))
    with monkeypatch.context() as patch:

        def fail(*_: object) -> bool:
            raise StoreIOError("no space")

        patch.setattr(Outbox, "begin", fail)
        with pytest.raises(StoreIOError, match="no space"):
            home.run(at(1))
    assert home.run(at(2)) == Delivered(2)


def test_two_runs_at_the_same_time_send_once(home: Home) -> None:
    """The slower run begins with the same listing: it finds each attempt begun."""
    home.add(*(fill_event(f"e{n}", hour=n) for n in range(20)), now=at(1))
    together = threading.Barrier(2)
    senders = [{name: FakeSender() for name in ("one", "two")} for _ in range(2)]

    class Meeting(Outbox):
        def contents(self) -> Any:
            found = super().contents()
            together.wait(10)
            return found

    def run(own: dict[str, FakeSender]) -> None:
        deliver(Meeting(Store(home.store.url)), home.settings, at(1), own)

    threads = [threading.Thread(target=run, args=(own,)) for own in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for name in ("one", "two"):
        assert sorted(senders[0][name].texts + senders[1][name].texts) == sorted(f"e{n}" for n in range(20))


def test_a_send_that_does_not_end_holds_neither_the_others_nor_the_run(home: Home) -> None:
    release = threading.Event()
    home.senders["one"].before_answer = lambda: release.wait(30)
    home.add(fill_event("a"), fill_event("b", hour=2), now=at(1))
    done = home.run(at(1), run_seconds=0.05)
    threads = [thread for thread in threading.enumerate() if thread.name == "one"]
    release.set()
    for thread in threads:
        thread.join(30)
    assert home.senders["two"].texts == ["a", "b"]
    assert home.senders["one"].texts == ["a"], "an abandoned run begins no further message"
    assert any("a send takes longer than 0.05 s" in line for line in done.warnings)


def test_a_new_target_gets_no_old_events(home: Home) -> None:
    home.add(fill_event("old"), now=at(1))
    home.run(at(1))
    settings = home.with_targets("one", "two", "three")
    home.senders["three"] = FakeSender()
    home.add(fill_event("of the same run", hour=2), now=at(2))
    assert home.run(at(2), settings).begun == ["three"]
    home.add(fill_event("new", hour=3), now=at(3))
    home.run(at(3), settings)
    assert home.senders["three"].texts == ["new"]
    assert home.senders["one"].texts == ["old", "of the same run", "new"]


def test_a_target_that_was_removed_and_added_again_begins_anew(home: Home) -> None:
    home.senders["two"].results = [REFUSED]
    home.add(fill_event("before"), now=at(1))
    home.run(at(1))
    home.add(fill_event("meanwhile", hour=2), now=at(2))
    home.run(at(2), home.with_targets("one"))
    assert home.run(at(3)).begun == ["two"]
    home.add(fill_event("after", hour=4), now=at(4))
    home.run(at(4))
    assert home.senders["two"].texts == ["before", "after"]
    assert home.senders["one"].texts == ["before", "meanwhile", "after"]


def test_filters_decide_once(home: Home) -> None:
    """A filter that is removed later does not release the events that it has held back."""

    def filtered(**filters: Any) -> NoticeSettings:
        return notice_settings({"name": "one", "kind": "console", **filters}, {"name": "two", "kind": "console"})

    home.add(fill_event("btc"), fill_event("eth", symbol="ETH/USDT"), now=at(1))
    home.run(at(1), filtered(symbols=["BTC/USDT"]))
    home.add(fill_event("later", symbol="ETH/USDT"), now=at(2))
    home.run(at(2), filtered())
    assert home.senders["one"].texts == ["btc", "later"]


def alarm(number: int, kind: str = "chain", key: str = "scores") -> Event:
    return Event(kind, key, at(number), {"chain": key, "records": 1, "problem": "p", "note": ""}, number)


def test_the_end_of_an_alarm_waits_for_its_alarm(home: Home) -> None:
    home.senders["one"].results = [REFUSED]
    home.add(alarm(1), now=at(1))
    home.run(at(1))
    soon = at(1) + timedelta(minutes=1)
    home.add(alarm(2), alarm(1, key="forecasts"), now=soon)
    home.run(soon)
    assert home.senders["one"].texts == ["chain", "chain"], "an alarm of another subject does not wait"
    home.run(at(2))
    assert home.senders["one"].texts == ["chain", "chain", "chain", "chain_over"]
    assert home.senders["two"].texts == ["chain", "chain", "chain_over"]


def test_a_target_that_had_no_alarm_gets_no_all_clear(home: Home) -> None:
    for kind in ALARM_KINDS:
        home.add(alarm(1, kind), now=at(1))
    home.senders["three"] = FakeSender()
    settings = home.with_targets("one", "three")
    home.run(at(1), settings)
    for kind in ALARM_KINDS:
        home.add(alarm(2, kind), alarm(3, kind), now=at(2))
    home.run(at(2), settings)
    assert sorted(home.senders["three"].texts) == sorted(ALARM_KINDS)
    assert len(home.senders["one"].texts) == 3 * len(ALARM_KINDS)


def test_a_target_without_an_address_begins_when_it_has_one(home: Home) -> None:
    settings = home.with_targets("one", "four")
    home.senders["four"] = FakeSender(problem="its address is not set: set X in the environment")
    home.add(fill_event("a"), now=at(1))
    done = home.run(at(1), settings)
    assert done.warnings == ["Notices to four are not sent: its address is not set: set X in the environment."]
    home.senders["four"].problem = ""
    assert home.run(at(2), settings).begun == ["four"]
    home.add(fill_event("b"), now=at(3))
    home.senders["four"].problem = "lost"
    home.run(at(3), settings)
    home.senders["four"].problem = ""
    home.run(at(4), settings)
    assert home.senders["four"].texts == ["b"], "an event that came while the address was lost is not lost"


def test_texts_are_those_of_the_templates(store: Store) -> None:
    home = Home(store, "one", templates={"transaction": "{signal}: {price:.1f}"})
    home.run(T0)
    home.add(fill_event("a"), now=at(1))
    home.run(at(1))
    assert home.outbox.mark("one", fill_event("a").id, 1, "attempt")["text"] == "a: 1.0"
