"""The examples of app/README.md are followed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
from api_harness import ApiStore, make_application, serving

from flows.notebook import remote
from tests.conftest import REPOSITORY

ADDRESS = "http://127.0.0.1:8502"
TEXT = (REPOSITORY / "app/README.md").read_text("utf-8").partition("# The HTTP API")[2]


def block(language: str) -> str:
    """The code of a language."""
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found[1]


def test_every_curl_of_the_readme_is_answered(store: ApiStore, tmp_path: Path) -> None:
    store.database.execute("update data_health set freshness = 'fresh', last_close_time = exchange_time")
    store.publish("fresh")
    lines = block("bash").splitlines()
    assert len(lines) >= 7
    with serving(make_application(store, key_digests={}), key=None) as client:
        for line in lines:
            program, *arguments = shlex.split(line)
            (url,) = [one for one in arguments if one.startswith(ADDRESS)]
            assert program == "curl"
            with client.stream("GET", url.removeprefix(ADDRESS)) as response:
                assert response.status_code == 200, line
                if "stream" in url:
                    assert "event: forecast" in response.iter_lines()
                    continue
                response.read()
            if "-o" in arguments:
                file = tmp_path / arguments[arguments.index("-o") + 1]
                file.write_bytes(response.content)
                assert len(pd.read_parquet(file))
            elif "items" in response.json():
                assert response.json()["items"], line


def test_the_python_of_the_readme_gives_a_frame(store: ApiStore) -> None:
    lines = block("python").replace("import candleworks as cw\n", "")
    with serving(make_application(store, key_digests={}), key=None) as client:
        names = {"cw": remote}
        exec(lines.replace(ADDRESS, str(client.base_url)).replace("remote.l", "frame = remote.l"), names)
    assert len(names["frame"])  # type: ignore[arg-type]
