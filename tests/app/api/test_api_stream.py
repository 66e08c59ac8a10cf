"""The stream of events: its topics, its ids, and its limits."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from api_harness import ApiStore, events, make_application, serving

from app.api.events import id_of, positions_of
from ml.forecasting.chain import Chain


def _with_trading(store: ApiStore) -> int:
    """Signals with their places in the chain, and the fills that end the paper trades; returns the number of exits."""
    run = store.database.execute
    run(
        """
        create or replace table trading_signals as
        select row_number() over (order by issued_at, symbol, timeframe, signal) as sequence, * from trading_signals
        """
    )
    exits = run(
        """
        select distinct exchange, symbol, timeframe, signal, exit_time from trading_trades
        where part = 'paper' and exit_time is not null order by exit_time, exchange, symbol, timeframe, signal limit 20
        """
    ).fetchall()
    chain = Chain(store.store, "transactions")
    for exchange, symbol, timeframe, signal, exit_time in exits:
        body = {"exchange": exchange, "symbol": symbol, "timeframe": timeframe, "signal": signal}
        chain.append(cast(Any, {**body, "open_time": f"{exit_time.isoformat()}+00:00"}))
    store.publish("with trading")
    return len(exits)


def test_an_event_is_the_item_of_its_list(store: ApiStore) -> None:
    _with_trading(store)
    lists = {"forecast": "forecasts", "score": "scores", "verdict": "verdicts", "signal": "signals", "trade": "trades"}
    with serving(make_application(store)) as client:
        for topic, route in lists.items():
            found = events(client, 2, topics=topic, backlog="3")
            assert [one[1] for one in found] == [topic] * 2 and int(found[0][0]) < int(found[1][0])
            sequences = client.get(f"/v1/{route}?limit=500").json()["items"]
            assert json.loads(found[0][2]) in sequences, topic


def test_all_topics_resume_where_each_of_them_was(store: ApiStore) -> None:
    exits = _with_trading(store)
    (count,) = (
        sum(store.sql(f"select count(*) from {table}")[0][0] for table in ("forecasts", "scores", "verdicts"))
        + min(500, store.sql("select count(*) from trading_signals")[0][0])
        + exits,
    )
    with serving(make_application(store)) as client:
        nothing = "forecast:0,score:0,verdict:0,signal:0,trade:0"
        whole = [one[1:] for one in events(client, count, nothing)]
        assert len(set(whole)) == len(whole) >= count
        first = events(client, 90, nothing)
        rest = events(client, count - 90, first[-1][0])
        assert [one[1:] for one in first + rest] == whole


def test_ids_of_one_and_of_several_topics() -> None:
    assert id_of({"forecast": 12}) == "12"
    assert id_of({"forecast": 12, "score": 7}) == "forecast:12,score:7"
    assert positions_of("12", ["forecast"]) == {"forecast": 12}
    assert positions_of("forecast:12,score:7", ["score"]) == {"score": 7}
    for bad in ("12,13", "12", "weather:1", "forecast:x", "forecast", "forecast:-1", "²"):
        assert positions_of(bad, ["forecast", "score"]) is None


def test_an_id_of_another_stream_is_refused(store: ApiStore) -> None:
    with serving(make_application(store)) as client:
        for identity in ("abc", "12", "9" * 30):
            refused = client.get("/v1/stream?topics=forecast,score", headers={"Last-Event-ID": identity})
            assert refused.status_code == 404 and "Last-Event-ID" in refused.json()["detail"]


def test_more_clients_than_allowed_are_refused_until_one_is_gone(store: ApiStore) -> None:
    application = make_application(store, stream_clients=1)
    with serving(application) as client:
        with client.stream("GET", "/v1/stream?topics=verdict") as response:
            lines = response.iter_lines()
            assert (next(lines), next(lines)) == (": candleworks", "retry: 3000")
            refused = client.get("/v1/stream")
            assert refused.status_code == 503 and "stream_clients" in refused.json()["detail"]
        # The server sees that the connection has closed a moment later.
        while application.state.streams:
            client.get("/v1/health")
        assert events(client, 1, topics="verdict", backlog="1")


def test_a_stream_survives_a_version_that_lacks_a_table(store: ApiStore) -> None:
    count = store.sql("select count(*) from verdicts")[0][0]
    url = "/v1/stream?topics=verdict&backlog=1"
    with serving(make_application(store)) as client, client.stream("GET", url) as response:
        lines = response.iter_lines()
        while not next(lines).startswith("data: "):
            pass
        complete = store.database.execute("from verdicts").df()
        store.database.execute("drop table verdicts")
        store.publish("incomplete")
        while not (line := next(lines)).startswith(": The table verdicts"):
            assert not line.startswith("data: ")
        complete.loc[len(complete)] = complete.iloc[-1].to_dict() | {"sequence": count + 1}
        store.database.execute("create table verdicts as from complete")
        store.publish("complete")
        while not (line := next(lines)).startswith("data: "):
            pass
        assert json.loads(line.removeprefix("data: "))["sequence"] == count + 1


@pytest.mark.parametrize("topics", ["forecast,forecast", "forecast,"])
def test_odd_lists_of_topics(store: ApiStore, topics: str) -> None:
    with serving(make_application(store)) as client:
        if topics.endswith(","):
            assert client.get(f"/v1/stream?topics={topics}").status_code == 422
        else:
            assert len(events(client, 2, topics=topics, backlog="2")) == 2
