"""The description of the API against its routes, and the page of documentation."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from api_harness import KEY, PUBLISHED_AT, ApiStore, ChartsByHand, make_application, serving

from app.api.forecasts import ProvenForecast
from tests.conftest import REPOSITORY


@pytest.mark.e2e
def test_10_schemathesis_is_clean(store: ApiStore, tmp_path: Path) -> None:
    store.database.execute("update data_health set freshness = 'fresh', last_close_time = exchange_time")
    store.publish("fresh", published_at=PUBLISHED_AT)
    application = make_application(store)
    ChartsByHand.into(application)
    with serving(application) as client:
        url = f"{client.base_url}/v1/openapi.json".replace("//v1", "/v1")
        options = ["--header", f"X-API-Key: {KEY}", "--max-examples", "6", "--seed", "1", "--no-color"]
        options += ["--request-timeout", "120"]  # of a machine that is busy with other things it is no failure
        phases = ["--phases", "fuzzing"]
        configured = ["--config-file", str(REPOSITORY / "schemathesis.toml")]
        command = [sys.executable, "-m", "schemathesis.cli", *configured, "run", url, *options, *phases]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, "\n".join(line[:200] for line in done.stdout.splitlines()[-120:])
    assert "Tested: 24" in done.stdout, done.stdout[-3000:]


def test_the_page_of_documentation_needs_no_other_server(store: ApiStore) -> None:
    with serving(make_application(store), key=None) as client:
        page = client.get("/docs").text
        sources = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(sources) == 3 and not any("//" in source for source in sources)
        for source in sources:
            assert client.get(source).status_code == 200, source
        assert client.get("/").headers["location"] == "/docs"


def test_routes_with_a_key_say_so_and_open_ones_do_not(store: ApiStore) -> None:
    with serving(make_application(store), key=None) as client:
        schema = client.get("/v1/openapi.json").json()
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                called = re.sub(r"\{\w+\}", "1", path)
                is_open = client.request(method, called).status_code != 401
                assert is_open == ("security" not in operation), path
    with serving(make_application(store, key_digests={}), key=None) as client:
        assert "securitySchemes" not in client.get("/v1/openapi.json").json()["components"]
        assert client.get("/v1/champions").status_code == 200


def test_an_answer_is_what_its_model_says(store: ApiStore) -> None:
    with serving(make_application(store)) as client:
        ProvenForecast.model_validate_json(client.get("/v1/forecasts/5").content)
