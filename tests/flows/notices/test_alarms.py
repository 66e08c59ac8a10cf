"""Alarms: one when a fact turns bad, one all-clear when it turns good, by an injected clock."""

from __future__ import annotations

import io
import json
from datetime import datetime
from typing import Any

import pandas as pd
import pytest

from flows.notices.alarms import (
    Fact,
    alarm_events,
    chain_facts,
    chains_are_due,
    collect_facts,
    coverage_facts,
    open_alarms,
    remember_verified,
    silence_fact,
    stale_facts,
)
from flows.notices.events import Event
from flows.notices.outbox import Outbox
from flows.settings import NoticeSettings
from ml.forecasting.chain import Chain
from ml.forecasting.published import POINTER, publish_version
from ml.forecasting.seals import ChainReport, verify_chains
from ml.store import Store
from tests.flows.notices.conftest import SERIES, T0, at


class Watch:
    """Records the events that facts lead to, as a run does."""

    def __init__(self, store: Store) -> None:
        self.store, self.outbox = store, Outbox(store)

    def see(self, now: datetime, *facts: Fact) -> list[str]:
        """Templates of the events that a run at a time adds."""
        known = self.outbox.contents().events
        of_kinds: dict[str, list[Fact]] = {}
        for fact in facts:
            of_kinds.setdefault(fact.kind, []).append(fact)
        return self.record(of_kinds, known, now)

    def record(self, facts: dict[str, list[Fact]], known: set[str], now: datetime) -> list[str]:
        events = alarm_events(facts, known, lambda name: self.outbox.event(name).event, now)
        return [event.template for event in self.outbox.record(events, known, now)]


@pytest.fixture
def watch(store: Store) -> Watch:
    return Watch(store)


def fact(is_bad: bool | None, key: str = "a", kind: str = "chain") -> Fact:
    return Fact(kind, key, is_bad, {"chain": key, "records": 1, "problem": "p"})


def test_one_alarm_and_one_all_clear_each(watch: Watch) -> None:
    states = [False, True, True, None, True, False, False, None, True, True, False]
    added = [watch.see(at(hour), fact(state)) for hour, state in enumerate(states)]
    assert added == [[], ["chain"], [], [], [], ["chain_over"], [], [], ["chain"], [], ["chain_over"]]
    assert not open_alarms(watch.outbox.contents().events)


def test_subjects_and_kinds_have_alarms_of_their_own(watch: Watch) -> None:
    assert watch.see(T0, fact(True, "a"), fact(True, "b"), fact(True, "a", "stale")) == ["chain", "chain", "stale"]
    assert watch.see(at(1), fact(False, "a"), fact(True, "b"), fact(True, "a", "stale")) == ["chain_over"]
    assert len(open_alarms(watch.outbox.contents().events)) == 2


def test_a_kind_that_is_not_known_changes_nothing_and_a_subject_that_left_ends_its_alarm(watch: Watch) -> None:
    watch.see(T0, fact(True, "a"), fact(True, "b"))
    assert watch.see(at(1), fact(True, "a", "stale")) == ["stale"], "no facts about chains"
    assert watch.see(at(2), fact(True, "b")) == ["chain_over"]
    events = [watch.outbox.event(name).event for name in watch.outbox.contents().events]
    (over,) = [event for event in events if event.is_over]
    assert (over.key, over.fields["note"]) == ("a", "It is no longer watched.")


def test_of_two_processes_that_see_the_same_one_raises_the_alarm(watch: Watch) -> None:
    known = watch.outbox.contents().events
    facts = {"chain": [fact(True)]}
    assert [watch.record(facts, known, at(hour)) for hour in range(2)] == [["chain"], []]
    # The slower one, with an old listing, meets an alarm that is over: nothing is raised again.
    watch.see(at(2), fact(False))
    assert watch.record(facts, known, at(3)) == []


def publish(store: Store, exchange_time: str | None, **tables: pd.DataFrame) -> None:
    contents = {}
    for name, frame in tables.items():
        buffer = io.BytesIO()
        frame.to_parquet(buffer)
        contents[name] = buffer.getvalue()
    version = f"v{exchange_time}".replace(":", "")
    publish_version(store, version, contents, {"published_at": "x", "exchange_time": exchange_time})


def silent(store: Store, hours: float) -> bool | None:
    return silence_fact(store, at(hours), 3.0).is_bad


def test_the_pipeline_is_silent_when_the_published_time_has_not_moved_for_too_long(store: Store) -> None:
    assert not silent(store, 0), "it was never run: the first check begins to wait"
    assert not silent(store, 3)
    assert silent(store, 3.1)
    publish(store, "2024-06-01T00:00:00+00:00")  # the clocks of exchange and machine may differ by years
    assert not silent(store, 4)
    assert not silent(store, 7)
    assert silent(store, 7.1)
    fact = silence_fact(store, at(8.5), 3.0)
    assert fact.fields == {"since": "2024-01-01 04:00", "hours": 4.5, "limit_hours": 3.0}
    publish(store, "2024-06-01T01:00:00+00:00")
    assert not silent(store, 9)


def test_a_snapshot_that_cannot_be_read_becomes_silence(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    publish(store, "2024-01-01T00:00:00+00:00")
    assert not silent(store, 0)
    store.replace(POINTER, b"{broken")
    assert not silent(store, 3)
    assert silent(store, 3.1)
    assert "is broken. Publish it again" in caplog.text


def health(symbol: str, timeframe: str, freshness: str, status: str = "ok") -> Any:
    close = None if freshness == "empty" else at(5).replace(tzinfo=None)
    return {
        **SERIES, "symbol": symbol, "timeframe": timeframe, "freshness": freshness, "last_load_status": status,
        "last_close_time": close,
    }  # fmt: skip


def test_a_market_is_stale_with_any_of_its_timeframes() -> None:
    truth = [
        (["fresh", "fresh"], "ok", False),
        (["stale", "fresh"], "ok", True),
        (["stale", "stale"], "failed", True),
        (["fresh", "fresh"], "failed", False),  # one load that failed: its candles are late soon enough
        (["fresh", "empty"], "ok", False),  # no complete candle of a long timeframe yet
        (["empty", "empty"], "ok", False),
        (["empty", "empty"], "failed", True),
        (["empty", "empty"], "stopped", True),
    ]
    for states, status, is_bad in truth:
        rows = [health("BTC/USDT", name, state, status) for name, state in zip(("1h", "4h"), states, strict=True)]
        (fact,) = stale_facts(rows)
        assert fact.is_bad is is_bad, (states, status)
    rows = [health("BTC/USDT", "1h", "stale"), health("ETH/USDT", "1h", "fresh"), health("BTC/USDT", "4h", "fresh")]
    facts = stale_facts(rows)
    assert [(fact.key, fact.is_bad) for fact in facts] == [("binance BTC/USDT", True), ("binance ETH/USDT", False)]
    assert (facts[0].fields["timeframes"], facts[0].fields["last_close"]) == ("1h", "2024-01-01 05:00")


def coverage(value: float, alarm: bool) -> Any:
    return {**SERIES, "level": 0.8, "coverage": value, "forecasts": 100, "alarm": alarm}


def test_a_coverage_at_the_edge_of_its_range_does_not_alternate(watch: Watch) -> None:
    values = [(0.71, False), (0.69, True), (0.71, False), (0.69, True), (0.73, False), (0.71, False), (0.91, True)]
    added = [watch.see(at(hour), *coverage_facts([coverage(*one)])) for hour, one in enumerate(values)]
    assert added == [[], ["coverage"], [], [], ["coverage_over"], [], ["coverage"]]


def test_a_chain_that_does_not_verify_is_bad() -> None:
    facts = chain_facts([ChainReport("forecasts", 3, "h", "bad record"), ChainReport("scores", 2, "h", "")])
    assert [(fact.key, fact.is_bad, fact.fields["records"]) for fact in facts] == [
        ("forecasts", True, 3), ("scores", False, 2)
    ]  # fmt: skip


def test_all_chains_are_verified_once_a_day_and_in_each_run_while_one_is_broken(store: Store) -> None:
    assert chains_are_due(store, [], T0, 24)
    remember_verified(store, T0)
    assert [chains_are_due(store, [], at(hour), 24) for hour in (1, 23, 24)] == [False, False, True]
    alarm = Event("chain", "scores", T0, {}, 1)
    assert chains_are_due(store, [alarm.id], at(1), 24)
    assert not chains_are_due(store, [alarm.id, Event("chain", "scores", T0, {}, 2).id], at(1), 24)


def test_facts_come_from_snapshot_and_store(store: Store) -> None:
    settings = NoticeSettings()
    facts = collect_facts(store, settings, [], T0)
    assert set(facts) == {"silence"}, "nothing is published, and chains are not asked for"
    stale = pd.DataFrame([health("BTC/USDT", "1h", "stale")])
    publish(store, "2024-01-01T00:00:00+00:00", data_health=stale, band_reliability=pd.DataFrame([coverage(0.5, True)]))
    Chain(store, "forecasts").append({"a": 1})
    path = "forecasts/0000000001.json"
    store.replace(path, store.read(path).replace(b'"a":1', b'"a":2'))
    facts = collect_facts(store, settings, [], at(1), lambda: verify_chains(store))
    assert [(kind, fact.key, fact.is_bad) for kind in facts for fact in facts[kind] if fact.is_bad] == [
        ("stale", "binance BTC/USDT", True),
        ("coverage", "binance BTC/USDT 1h 0.8", True),
        ("chain", "forecasts", True),
    ]
    assert "first bad record" in str(facts["chain"][1].fields["problem"])


def test_a_table_that_cannot_be_read_is_reported_and_changes_nothing(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    publish(store, "2024-01-01T00:00:00+00:00", data_health=pd.DataFrame([health("BTC/USDT", "1h", "stale")]))
    version = json.loads(store.read(POINTER))["version"]
    store.replace(f"published/{version}/data_health.parquet", b"broken")
    assert set(collect_facts(store, NoticeSettings(), [], T0)) == {"silence"}
    assert "The table data_health of the snapshot" in caplog.text
