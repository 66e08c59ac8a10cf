"""The warm worker: what flows get from it, that they do without it, and what dies with it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

from expectations.gate import check_batch
from expectations.report import MarketContext
from flows.processes.children import child_environment, start_child, stop_child
from flows.settings import Settings
from flows.warehouse import dbt_process, warm_worker
from flows.warehouse.dbt_process import process_for
from flows.warehouse.marts import transform, transforming
from flows.warehouse.transform import dbt_place
from flows.warehouse.warm_worker import find_warm_worker, warm_dbt, warm_gate, warm_worker_record
from flows.workspace.workspace import Workspace
from ml.errors import CandleDataError

pytestmark = [pytest.mark.warehouse, pytest.mark.usefixtures("small_dbt")]

HOURLY = MarketContext.of("binance", "BTC/USDT", "1h")
OWNER_ONLY = 0o600


def candles(rows: int = 48) -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC").astype("datetime64[ms, UTC]")
    prices = dict.fromkeys(("open", "close"), 100.0) | {"high": 101.0, "low": 99.0, "volume": 5.0}
    return pd.DataFrame({"open_time": times} | prices)


def now_ms(frame: pd.DataFrame) -> int:
    return int(frame["open_time"].iloc[-1].timestamp() * 1000) + 3_600_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def process(home: Path, small_dbt: None) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "flows.server.warm_worker", str(home)]
    child = start_child(command, child_environment(), home / "warm_worker.log")
    try:
        deadline = time.monotonic() + 120
        while find_warm_worker(home) is None:
            assert child.poll() is None, (home / "warm_worker.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield child
    finally:
        stop_child(child)


@pytest.mark.usefixtures("process")
def test_the_warm_worker_judges_as_the_gate_does(home: Path) -> None:
    frame = candles()
    frame.loc[7, "low"] = -1.0

    evaluated, expected = (gate(frame, HOURLY, now_ms(frame), None, None) for gate in (warm_gate(home), check_batch))

    assert evaluated.checks == expected.checks
    pd.testing.assert_frame_equal(evaluated.good, expected.good)
    pd.testing.assert_frame_equal(evaluated.quarantined, expected.quarantined)
    assert len(evaluated.quarantined) == 1


@pytest.mark.usefixtures("process")
def test_an_error_of_the_gate_comes_back_as_itself(home: Path) -> None:
    with pytest.raises(CandleDataError):
        warm_gate(home)(candles().drop(columns="low"), HOURLY, 0, None, None)


@pytest.mark.usefixtures("process")
def test_the_warm_worker_transforms_and_the_flow_loads_no_dbt(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbt_process, "DbtProcess", None)  # would fail
    workspace = Workspace(home, Settings())

    with transforming(workspace):
        for half in ("candles", "store"):
            assert "models built" in transform(workspace, half)
            with workspace.warehouse.connect():
                pass  # the file is free


@pytest.mark.usefixtures("process")
def test_a_failed_command_says_why_and_harms_no_later_one(home: Path) -> None:
    workspace = Workspace(home, Settings())
    place = dbt_place(workspace.warehouse.path, target_path=workspace.dbt_target, log_path=workspace.logs)

    with warm_dbt(home)(place) as dbt:
        assert dbt.run(["run", "--no-such-option"]) != 0
        assert "no-such-option" in dbt.output.read_text()
    assert "models built" in transform(workspace, "store")


def test_the_command_of_a_process_that_died_is_ended(
    home: Path, process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    # A client that asks for something long and is killed: a macro that waits for a minute.
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text("name: slow\nprofile: slow\nversion: 1.0.0\nconfig-version: 2\n")
    (project / "profiles.yml").write_text(
        f"slow: {{target: a, outputs: {{a: {{type: duckdb, path: '{tmp_path / 'slow.duckdb'}'}}}}}}"
    )
    slow = "select count(*) as n from range(10000000000) a, range(10000) b where a.range % 7 = b.range % 5"
    (project / "models" / "slow.sql").write_text(slow)
    variables = {"DBT_PROJECT_DIR": str(project), "DBT_PROFILES_DIR": str(project)}
    code = (
        "from pathlib import Path; from flows.warehouse.dbt_process import DbtPlace\n"
        "from flows.warehouse.warm_worker import warm_dbt\n"
        f"place = DbtPlace.of(Path({str(project)!r}), {variables!r}, Path({str(tmp_path / 'target')!r}))\n"
        f"with warm_dbt(Path({str(home)!r}))(place) as dbt: dbt.run(['run'])"
    )
    before = {child.pid for child in psutil.Process(process.pid).children()}
    client = subprocess.Popen([sys.executable, "-c", code], env=child_environment())
    deadline = time.monotonic() + 60
    while not (tmp_path / "slow.duckdb").exists():
        assert time.monotonic() < deadline
        assert client.poll() is None
        time.sleep(0.1)
    assert {child.pid for child in psutil.Process(process.pid).children()} > before

    client.kill()
    client.wait()

    while {child.pid for child in psutil.Process(process.pid).children()} > before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert find_warm_worker(home) is not None


@pytest.mark.usefixtures("process")
def test_only_the_owner_can_read_the_warm_workers_address_and_the_key_is_needed(home: Path, tmp_path: Path) -> None:
    record = warm_worker_record(home)
    assert record.stat().st_mode & 0o777 == OWNER_ONLY
    forged = warm_worker_record(tmp_path)
    forged.parent.mkdir()
    forged.write_text(json.dumps(json.loads(record.read_text()) | {"key": "00" * 32}))

    assert find_warm_worker(tmp_path) is None


def test_without_a_process_the_flow_does_the_work_itself(tmp_path: Path) -> None:
    frame = candles()

    assert warm_gate(tmp_path)(frame, HOURLY, now_ms(frame), None, None).good.shape == frame.shape
    assert find_warm_worker(tmp_path) is None


def test_a_process_that_ended_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended:
        def check_batch(self, *_: object) -> None:
            raise EOFError

    monkeypatch.setattr(warm_worker, "find_warm_worker", lambda _: Ended())
    frame = candles()

    assert warm_gate(tmp_path)(frame, HOURLY, now_ms(frame), None, None).good.shape == frame.shape


def test_a_record_of_a_process_that_is_gone_misleads_nobody(tmp_path: Path) -> None:
    path = warm_worker_record(tmp_path)
    path.parent.mkdir()
    for content in ('{"port": 1, "key": "00"}', "{", '{"port": 1}', '{"port": 1, "key": "no hex"}'):
        path.write_text(content)
        assert find_warm_worker(tmp_path) is None
    place = dbt_place(tmp_path / "none.duckdb", target_path=tmp_path / "target", log_path=tmp_path)
    with warm_dbt(tmp_path)(place) as ours, process_for(place) as own:
        assert type(ours) is type(own)
