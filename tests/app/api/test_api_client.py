"""`candleworks.connect`: the frames of the HTTP API are those of the home."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pandas as pd
import pytest
from api_harness import KEY, ApiStore, make_application, serving

from flows.notebook.remote import connect
from flows.notebook.snapshots import snapshot_frame
from flows.processes.ports import free_port
from flows.public import CandleworksError
from flows.public import open as open_home
from ml.errors import CandleDataError, ServiceError


@pytest.fixture
def home(api_store: ApiStore, tmp_path: Path) -> ApiStore:
    return api_store.copy(tmp_path / "store")


def test_the_frames_of_the_api_are_those_of_the_home(home: ApiStore, tmp_path: Path) -> None:
    local = open_home(tmp_path)
    with serving(make_application(home)) as client:
        remote = connect(str(client.base_url), KEY)
        assert remote.version() == "first" and "candleworks API http" in repr(remote)
        for name in ("leaderboard", "forecasts", "scores", "verdicts", "results"):
            for filters in ({}, {"symbol": "BTC/USDT", "timeframe": "1h"}):
                expected = getattr(local, name)(**filters)
                assert len(expected)
                pd.testing.assert_frame_equal(getattr(remote, name)(**filters), expected)
        candles = remote.candles("BTC/USDT", "1h")
        with pytest.warns(UserWarning, match="was never exported"):
            pd.testing.assert_frame_equal(candles, local.candles("BTC/USDT", "1h"))
        with pytest.raises(CandleDataError, match=r"No series has symbol='BTC/EUR'\. There are"):
            remote.leaderboard(symbol="BTC/EUR")


def test_a_table_is_downloaded_again_when_it_has_changed(home: ApiStore, monkeypatch: pytest.MonkeyPatch) -> None:
    count = home.sql("select count(*) from forecasts")[0][0]
    statuses: list[int] = []
    with serving(make_application(home)) as client:
        remote = connect(str(client.base_url), KEY)
        remote._client.event_hooks = {"response": [lambda answer: statuses.append(answer.status_code)]}
        assert len(remote.forecasts()) == len(remote.forecasts()) == count
        home.publish("second", forecasts=count - 3)
        assert len(remote.forecasts()) == count - 3
        assert len(snapshot_frame(home.store, "forecasts", "target_open_time")) == count - 3
    assert statuses == [200, 304, 200]


def test_errors_are_one_line_with_the_remedy(home: ApiStore) -> None:
    with serving(make_application(home)) as client:
        url = str(client.base_url)
        for key, said in ((None, "has no key"), ("cw_wrong", "is not known"), ("cw_ü", "")):
            with pytest.raises(ServiceError, match=f"{said}.*" + ("candleworks api-key" if said else "")) as error:
                connect(url, key)
            assert (len(error.value.lines()) == 1 and key != "cw_wrong") or "cw_wrong" not in str(error.value)
        assert httpx.get(f"{url}/v1/health").status_code == 200
    for address in (f"http://127.0.0.1:{free_port()}", "nonsense", "ftp://127.0.0.1"):
        with pytest.raises(CandleworksError, match=re.escape(address)) as failed:
            connect(address)
        assert "candleworks api" in str(failed.value)
