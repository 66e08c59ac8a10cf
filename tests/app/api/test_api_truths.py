"""The known truths of the HTTP API, each one test named after it; those of charts are in test_api_chart_truths."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

import httpx
import pytest
from api_harness import KEY, PUBLISHED_AT, ApiStore, Clock, events, make_application, serving, walk

from app.api.keys import name_of
from app.api.problems import ApiError
from ml.data.stored import object_bytes
from ml.forecasting.published import POINTER, current_version


def test_05_the_same_version_answers_304_and_a_new_one_200(store: ApiStore) -> None:
    with serving(make_application(store)) as client:
        first = client.get("/v1/forecasts?limit=3&late=false")
        tag = first.headers["etag"]
        assert first.status_code == 200 and tag.startswith('"')
        assert first.headers["cache-control"] == "private, max-age=5"
        assert first.headers["x-snapshot-version"] == "first"
        assert first.headers["x-exchange-time"] == "2024-04-21T12:05:03Z"
        again = client.get("/v1/forecasts?late=false&limit=3", headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        other = client.get("/v1/forecasts?limit=4&late=false", headers={"If-None-Match": tag})
        assert other.status_code == 200
        store.publish("second")
        new = client.get("/v1/forecasts?limit=3&late=false", headers={"If-None-Match": tag})
        assert new.status_code == 200 and new.headers["x-snapshot-version"] == "second"


def test_05_the_tag_is_made_without_the_query(store: ApiStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(make_application(store)) as client:
        tag = client.get("/v1/leaderboard").headers["etag"]
        monkeypatch.setattr("app.api.marts.read_page", lambda *_: pytest.fail("the query ran"))
        assert client.get("/v1/leaderboard", headers={"If-None-Match": tag}).status_code == 304


def test_06_a_walk_sees_each_sequence_once_while_versions_are_published(store: ApiStore) -> None:
    count = store.sql("select count(*) from forecasts")[0][0]
    store.publish("fewer", forecasts=count - 10)
    seen: list[int] = []
    with serving(make_application(store)) as client:
        for number, page in enumerate(walk(client, "/v1/forecasts", limit=7)):
            seen += [item["sequence"] for item in page]
            store.publish(f"version {number}", forecasts=count - 9 + number)
    assert seen == list(range(count - 10, 0, -1))


def test_07_a_stream_resumes_after_the_last_event_without_loss_or_repetition(store: ApiStore) -> None:
    count = store.sql("select count(*) from forecasts")[0][0]
    store.publish("fewer", forecasts=count - 5)
    with serving(make_application(store)) as client:
        before = events(client, 12, "0", topics="forecast")
        k = int(before[-1][0])
        # While the client is away, a version is published.
        store.publish("all")
        after = events(client, count - k, str(k), topics="forecast")
    assert int(after[0][0]) == k + 1
    assert [int(one[0]) for one in before + after] == list(range(1, count + 1))


def test_08_without_a_key_or_with_a_wrong_one_401_and_no_key_in_a_log(
    store: ApiStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(make_application(store), key=None) as client:
        for headers in ({}, {"X-API-Key": "cw_wrong"}, {"X-API-Key": ""}):
            refused = client.get(f"/v1/champions?key={KEY}", headers=headers)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("ApiKey")
            assert refused.headers["content-type"] == "application/problem+json"
            assert "candleworks api-key" in refused.json()["detail"]
        assert client.get("/v2", headers={"X-API-Key": "cw_wrong"}).json()["error"].startswith("This key is not known")
        assert client.get("/v1/champions", headers={"X-API-Key": KEY}).status_code == 200
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("app.")]
    assert "- GET /v1/champions 401" in ours and "tests GET /v1/champions 200" in ours
    assert not any(KEY in record.getMessage() for record in caplog.records if record.name != "httpx")


def test_08_every_digest_is_compared_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    monkeypatch.setattr("app.api.keys.hmac.compare_digest", lambda a, b: compared.append(b) or a == b)
    digests = {"a": "sha256:" + "0" * 64, "b": "sha256:" + "1" * 64}
    for key in ("wrong", None):
        with pytest.raises(ApiError):
            name_of(key, digests)
    assert compared == [*digests.values()] * 2


def test_09_the_call_after_the_limit_is_429_with_retry_after_and_then_200(store: ApiStore) -> None:
    clock = Clock()
    with serving(make_application(store, clock, calls_per_minute=6)) as client:
        answers = [client.get("/v1/markets") for _ in range(7)]
        assert [one.status_code for one in answers] == [200] * 6 + [429]
        assert answers[0].headers["ratelimit-policy"] == '"key";q=6;w=60'
        assert answers[0].headers["ratelimit"] == '"key";r=5;t=10'
        wait = int(answers[-1].headers["retry-after"])
        assert wait == 10 and "calls_per_minute" in answers[-1].json()["detail"]
        assert client.get("/v1/health").status_code == 200, "it needs no key, and has no limit"
        clock.seconds += wait
        assert client.get("/v1/markets").status_code == 200
        assert client.get("/v1/markets").status_code == 429


def test_11_a_stale_snapshot_is_not_ready_and_names_the_series_while_health_stays_200(store: ApiStore) -> None:
    clock = Clock()
    store.database.execute("update data_health set freshness = 'fresh', last_close_time = '2024-04-21 12:00:00'")
    store.publish("fresh")
    with serving(make_application(store, clock), key=None) as client:
        ready = client.get("/v1/ready")
        assert (ready.status_code, ready.json()["status"], ready.json()["stale"]) == (200, "ready", [])
        # Two hours later nothing newer was published.
        clock.now = PUBLISHED_AT + timedelta(hours=2)
        stale = client.get("/v1/ready")
        assert stale.status_code == 503
        assert stale.json()["stale"] == [f"binance {symbol}/USDT 1h" for symbol in ("BTC", "DOGE", "ETH")]
        assert stale.json()["age_seconds"] == 7200
        assert client.get("/v1/health").json() == {"status": "ok"}
    store.database.execute("update data_health set freshness = 'stale' where symbol = 'DOGE/USDT' and timeframe = '4h'")
    store.publish("stale")
    with serving(make_application(store), key=None) as client:
        assert client.get("/v1/ready").json()["stale"] == ["binance DOGE/USDT 4h"]


@pytest.mark.parametrize("name", ["published_at", "exchange_time"])
@pytest.mark.parametrize("text", ["", "yesterday"])
def test_11_a_snapshot_without_a_time_is_not_ready(store: ApiStore, name: str, text: str) -> None:
    store.database.execute("update data_health set freshness = 'fresh', last_close_time = '2024-04-21 12:00:00'")
    store.publish("timeless")
    pointer = current_version(store.store) or {}
    store.store.replace(POINTER, object_bytes({**pointer, name: text}))
    with serving(make_application(store), key=None) as client:
        ready = client.get("/v1/ready")
    assert ready.status_code == 503
    assert [check["name"] for check in ready.json()["checks"] if not check["ok"]] == ["times"]


def test_12_a_client_made_from_the_schema_calls_every_route(store: ApiStore) -> None:
    with serving(make_application(store)) as client:
        schema = client.get("/v1/openapi.json").json()
        assert schema["openapi"].startswith("3.1")
        called = []
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                if path == "/v1/stream":
                    continue  # it never ends: 07
                response = _call(client, schema, path, method, operation)
                assert str(response.status_code) in operation["responses"], (path, method, response.text[:300])
                assert response.status_code < 500 or "chart-model" in response.text or path == "/v1/ready"
                called.append(path)
    assert {"/v1/forecasts/{sequence}", "/v1/predict/charts", "/v2/models/{name}/infer", "/v1/tables/{name}"} < set(
        called
    )
    assert len(called) >= 22


def _call(
    client: httpx.Client, schema: dict[str, object], path: str, method: str, operation: dict[str, object]
) -> httpx.Response:
    """Call an operation with values of the types that its parameters have."""
    values: dict[str, object] = {"sequence": 3, "name": "forecasts", "model_version": "1"}
    names = {one["name"]: one for one in operation.get("parameters", [])}  # type: ignore[attr-defined]
    for name in [name for name, one in names.items() if one["in"] == "path"]:
        path = path.replace(f"{{{name}}}", str(values[name]))
    query = {"limit": 2} if "limit" in names else {}
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})  # type: ignore[attr-defined]
    examples = [one["value"] for one in body.get("examples", {}).values()]
    content = json.dumps(examples[0] if examples else {"inputs": []}) if body else None
    return client.request(method, path, params=query, content=content, headers={"Content-Type": "application/json"})
