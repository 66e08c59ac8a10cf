"""The lists and tables of the API against SQL over the published tables, and their errors."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pandas as pd
import pytest
from api_harness import ApiStore, make_application, serving, walk

from app.api.marts import CHAMPIONS, EQUITY, LEADERBOARD, MARKETS, SCORES, SIGNALS, TRADES, VERDICTS
from app.api.snapshots import READ
from ml.canonical import digest
from ml.errors import StoreError
from ml.forecasting.chain import Chain
from ml.store import Store


def column(client: httpx.Client, path: str, name: str) -> list[Any]:
    """A column of the first 500 items of a list."""
    separator = "&" if "?" in path else "?"
    response = client.get(f"{path}{separator}limit=500")
    assert response.status_code == 200, response.text
    return [item[name] for item in response.json()["items"]]


def test_every_list_has_the_rows_of_its_table_once(store: ApiStore) -> None:
    with serving(make_application(store)) as client:
        for listing in (MARKETS, LEADERBOARD, CHAMPIONS, VERDICTS, SCORES, SIGNALS, TRADES, EQUITY):
            assert listing.table in READ
            count = store.sql(f"select count(*) from {listing.table}")[0][0]
            assert count, listing.table
            if count > 3000:
                continue  # the longest one has the same code
            keys = [
                tuple(item[name] for name in listing.key)
                for page in walk(client, f"/v1/{listing.route}", limit=max(2, min(500, count // 3)))
                for item in page
            ]
            assert len(keys) == len(set(keys)) == count, listing.route
            assert keys == sorted(keys, reverse=listing.newest_first), listing.route


def test_filters_keep_the_rows_that_sql_keeps(store: ApiStore) -> None:
    cases = {
        "/v1/forecasts?current=true": "forecasts where is_current",
        "/v1/forecasts?late=true": "forecasts where late",
        "/v1/forecasts?market=BTC/USDT&timeframe=4h": "forecasts where symbol = 'BTC/USDT' and timeframe = '4h'",
        "/v1/forecasts?since=2024-04-21T14:00:00%2B02:00": "forecasts where target_open_time >= '2024-04-21 12:00'",
        "/v1/scores?since=2024-04-21": "scores where target_open_time >= '2024-04-21'",
        "/v1/verdicts?exchange=binance": "verdicts",
    }
    with serving(make_application(store)) as client:
        for path, source in cases.items():
            expected = [number for (number,) in store.sql(f"select sequence from {source} order by 1 desc")]
            assert expected and column(client, path, "sequence") == expected, path
        (signal, count) = store.sql("select signal, count(*) from trading_trades where part = 'paper' group by 1")[0]
        assert len(column(client, f"/v1/trades?part=paper&signal={signal}", "number")) == min(500, count)


def test_numbers_are_those_of_the_snapshot_and_times_are_utc(store: ApiStore) -> None:
    with serving(make_application(store)) as client:
        found = client.get("/v1/forecasts?limit=1&late=false").json()["items"][0]
        expected = store.database.execute("from forecasts where not late order by sequence desc limit 1").df().iloc[0]
        assert found["band"] == {"level": 0.8, "low": expected.band_low, "high": expected.band_high}
        assert found["baseline"]["name"] == expected.baseline and found["baseline"]["high"] == expected.baseline_high
        assert [one["level"] for one in found["intervals"]] == [0.5, 0.8, 0.95]
        assert found["target_open_time"] == expected.target_open_time.isoformat() + "Z" and found["score"] is None
        scored = next(one for one in client.get("/v1/forecasts").json()["items"] if one["score"])
        row = store.database.execute("from forecasts where sequence = ?", [scored["sequence"]]).df().iloc[0]
        assert scored["score"]["skill"] == pytest.approx(1 - row.error_pct / row.baseline_error_pct)
        best = client.get("/v1/leaderboard?market=BTC/USDT&timeframe=1h&limit=5").json()["items"]
        assert [one["rank"] for one in best] == [1, 2, 3, 4, 5]
        (live,) = store.sql("select case_key, live_skill from champions where symbol = 'BTC/USDT' and timeframe = '1h'")
        assert {one["case_key"]: one["live_skill"] for one in best}.get(live[0], live[1]) == live[1]


def test_a_forecast_has_the_proof_that_recomputes_its_hash(store: ApiStore) -> None:
    head = store.sql("select sequence, hash from forecasts order by 1 desc limit 1")[0]
    with serving(make_application(store)) as client:
        one = client.get("/v1/forecasts/5").json()
        proof = one["proof"]
        sealed = {"sequence": 5, "previous": proof["previous"], "body": proof["body"], **proof["origin"]}
        assert digest(sealed) == proof["hash"] == one["hash"]
        assert proof["previous"] == client.get("/v1/forecasts/4").json()["hash"]
        assert (proof["head"]["sequence"], proof["head"]["hash"]) == head
        assert client.get("/v1/forecasts/1").json()["proof"]["previous"] == "0" * 64
        missing = client.get("/v1/forecasts/5000")
        assert missing.status_code == 404 and f"the newest is {head[0]}" in missing.json()["detail"]
        assert client.get(f"/v1/forecasts/5?market={one['symbol']}").status_code == 200
        other = "ETH/USDT" if one["symbol"] != "ETH/USDT" else "BTC/USDT"
        assert client.get(f"/v1/forecasts/5?market={other}").status_code == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('"close":', '"close":1'), "does not match its hash"),
        (lambda text: "", "is not a sealed record"),
        (None, "is missing"),
    ],
)
def test_a_forecast_whose_record_was_changed_is_not_shown_as_proven(store: ApiStore, change: Any, said: str) -> None:
    path = "forecasts/0000000005.json"
    text = store.store.read(path).decode()
    store.store.delete(path)
    if change is not None:
        store.store.create(path, change(text).encode())
    with serving(make_application(store)) as client:
        answer = client.get("/v1/forecasts/5")
        assert answer.status_code == 503 and said in answer.json()["detail"], answer.text
        assert client.get("/v1/forecasts").status_code == 200


def test_a_record_that_was_sealed_again_with_another_body_is_not_shown_as_proven(store: ApiStore) -> None:
    path = "forecasts/0000000005.json"
    record = Chain(store.store, "forecasts").record(5)
    store.store.delete(path)
    body = {**record["body"], "close": 1.0}
    sealed: dict[str, Any] = {"sequence": 5, "previous": record["previous"], "body": body}
    text = json.dumps({**sealed, "hash": digest(sealed)}, sort_keys=True, separators=(",", ":"))
    store.store.create(path, text.encode())
    with serving(make_application(store)) as client:
        answer = client.get("/v1/forecasts/5")
        assert answer.status_code == 503 and "candleworks verify" in answer.json()["detail"]


def test_a_table_is_its_file(store: ApiStore) -> None:
    with serving(make_application(store)) as client:
        assert client.get("/v1/tables").json()["items"] == sorted(store.tables())
        answer = client.get("/v1/tables/results")
        frame = pd.read_parquet(io.BytesIO(answer.content))
        assert len(frame) == store.sql("select count(*) from results")[0][0]
        assert client.get("/v1/tables/results", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
        unknown = client.get("/v1/tables/warehouse")
        assert unknown.status_code == 404 and "There are: band_groups" in unknown.json()["detail"]


def test_empty_missing_unreadable_and_unpublished_are_four_states(store: ApiStore, tmp_path_factory: Any) -> None:
    with serving(make_application(store)) as client:
        empty = client.get("/v1/forecasts?since=2030-01-01")
        assert (empty.status_code, empty.json()) == (200, {"items": [], "next_cursor": None})
        store.store.replace("published/first/scores.parquet", b"no parquet")
    with serving(make_application(store)) as client:
        answer = client.get("/v1/scores")
        assert answer.status_code == 503 and "scores of the published snapshot" in answer.json()["detail"]
        assert client.get("/v1/forecasts").status_code == 200
        assert "Missing or unreadable: scores" in client.get("/v1/ready").text
        store.store.replace("published/current.json", b"{")
        broken = client.get("/v1/scores")
        assert broken.status_code == 503 and "current.json" in broken.json()["detail"]
    with serving(make_application(Store(tmp_path_factory.mktemp("nothing")))) as client:
        nothing = client.get("/v1/scores")
        assert nothing.status_code == 503 and "Nothing has been published yet" in nothing.json()["detail"]
        ready = client.get("/v1/ready")
        assert ready.status_code == 503 and ready.json()["snapshot_version"] is None


def test_bad_requests_are_problems_that_say_what_to_do(store: ApiStore) -> None:
    cases = {
        "/v1/forecasts?markt=BTC/USDT": (422, "query.markt"),
        "/v1/forecasts?limit=501": (422, "less than or equal to 500"),
        "/v1/forecasts?since=0.5": (422, "2026-01-31T12:00:00Z"),
        "/v1/forecasts?cursor=nonsense": (404, "next_cursor"),
        "/v1/forecasts?market=BTC/EUR": (404, "There are: symbol BTC/USDT, DOGE/USDT, ETH/USDT"),
        "/v1/leaderboard?timeframe=2h": (404, "timeframe 1h, 4h, 1d"),
        "/v1/nothing": (404, "/docs"),
        "/v1/stream?topics=weather": (422, "topics"),
    }
    with serving(make_application(store)) as client:
        for path, (status, said) in cases.items():
            answer = client.get(path)
            problem = answer.json()
            assert answer.status_code == problem["status"] == status and said in problem["detail"], (path, problem)
            assert answer.headers["content-type"] == "application/problem+json"
            assert problem["type"].startswith("urn:candleworks:") and "\n" not in problem["detail"]
        cursor = client.get("/v1/markets?limit=1").json()["next_cursor"]
        assert client.get(f"/v1/forecasts?cursor={cursor}").status_code == 404, "of another list"
        assert client.delete("/v1/markets").status_code == 405


def test_head_has_the_headers_alone_and_long_answers_are_compressed(store: ApiStore) -> None:
    with serving(make_application(store)) as client:
        get, head = client.get("/v1/forecasts"), client.head("/v1/forecasts")
        assert head.status_code == 200 and head.content == b"" and head.headers["etag"] == get.headers["etag"]
        assert head.headers["content-length"] == get.headers["content-length"]
        assert get.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in client.get("/v1/health").headers
        assert client.head("/v1/stream").status_code == 200


def test_a_body_that_is_too_large_is_413_whether_or_not_its_length_is_given(store: ApiStore) -> None:
    with serving(make_application(store, body_megabytes=1)) as client:
        kinds = {"Content-Type": "application/octet-stream"}
        for path in ("/v1/predict/charts", "/v2/models/charts/infer"):
            for content in (b"0" * 1_000_001, iter([b"0" * 600_000] * 2)):
                answer = client.post(path, content=content, headers=kinds)
                assert answer.status_code == 413, answer.text
                assert ("error" in answer.json()) == path.startswith("/v2")


def test_without_keys_only_requests_to_our_own_names_are_answered(store: ApiStore) -> None:
    with serving(make_application(store, key_digests={}), key=None) as client:
        assert client.get("/v1/champions").status_code == 200
        assert client.get("/v1/champions", headers={"Host": "attacker.example"}).status_code == 400


def test_a_store_of_another_schema_is_refused(store: ApiStore) -> None:
    store.store.replace("schema.json", b'{"schema_version": 99}')
    with pytest.raises(StoreError, match="has schema 99, this program has"):
        make_application(store)


def test_a_request_sees_one_version(store: ApiStore) -> None:
    """What was loaded stays when its files are removed by later versions."""
    application = make_application(store)
    with serving(application):
        held = application.state.snapshots.current()
        for number in range(5):
            store.publish(f"later {number}")
        assert not store.store.exists("published/first/forecasts.parquet")
        assert held.value("select max(target_open_time) from forecasts") == pd.Timestamp("2024-04-21 12:00")
        assert application.state.snapshots.current().version == "later 4"
