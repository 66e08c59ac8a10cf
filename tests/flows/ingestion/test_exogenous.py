"""Exogenous series: stored once with the time from which they were available; nonsense changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.ingestion.exogenous import ExogenousReport, load_exogenous, read_exogenous
from flows.replay import RecordedCandles, ReplayClock, ReplayServer
from flows.warehouse.transform import run_dbt
from flows.workspace.workspace import Workspace
from ml.errors import CandleDataError, CandleworksError, ConfigurationError
from tests.flows.conftest import CommandLine, hours, installation_at
from tests.flows.shared_services import SharedServices

pytestmark = pytest.mark.warehouse

FILE = "available_at,value,remark\n2024-01-01T02:00Z,2\n2024-01-01 00:00:00,0.5\n2024-01-01T02:00:00+01:00,1e3\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return installation_at(tmp_path / "home", "http://127.0.0.1:9")


def _write(folder: Path, content: str) -> Path:
    path = folder / "values.csv"
    path.write_text(content)
    return path


def _load(workspace: Workspace, path: Path, symbol: str = "", name: str = "sentiment") -> ExogenousReport:
    return load_exogenous(workspace, name, symbol, read_exogenous(path), hours(100))


def _query(workspace: Workspace, sql: str) -> list[Any]:
    with workspace.warehouse.connect() as connection:
        return connection.execute(sql).fetchall()


def test_values_are_stored_in_utc_with_the_load_that_brought_them(workspace: Workspace, tmp_path: Path) -> None:
    report = _load(workspace, _write(tmp_path, FILE), "BTC/USDT")
    assert report == ExogenousReport("sentiment", "BTC/USDT", received=3, inserted=3, revised=0)
    rows = _query(workspace, "select name, symbol, available_at::varchar, value, load_id from raw.outside order by 3")
    assert rows == [
        ("sentiment", "BTC/USDT", "2024-01-01 00:00:00", 0.5, 1),
        ("sentiment", "BTC/USDT", "2024-01-01 01:00:00", 1000.0, 1),  # two o'clock an hour east of Greenwich
        ("sentiment", "BTC/USDT", "2024-01-01 02:00:00", 2.0, 1),
    ]
    loads = _query(workspace, "select exchange, symbol, timeframe, rows_inserted, status, message from raw.loads")
    assert loads == [("outside", "BTC/USDT", "", 3, "ok", "sentiment")]


@pytest.mark.usefixtures("small_dbt", "loaded_small_dbt")
def test_the_same_file_again_adds_nothing_and_a_changed_value_is_kept_beside_the_old_one(
    workspace: Workspace, tmp_path: Path
) -> None:
    _load(workspace, _write(tmp_path, FILE))
    again = _load(workspace, _write(tmp_path, FILE))
    assert (again.received, again.inserted, again.revised) == (3, 0, 0)
    changed = _load(workspace, _write(tmp_path, FILE.replace(",0.5", ",0.7") + "2024-01-02,4\n"))
    assert (changed.received, changed.inserted, changed.revised) == (4, 1, 1)
    _load(workspace, _write(tmp_path, FILE))  # and back
    assert _query(workspace, "select max(load_id), count(*) from raw.loads") == [(3, 3)]
    stored = _query(workspace, "select value, load_id from raw.outside where available_at = '2024-01-01' order by 2")
    assert stored == [(0.5, 1), (0.7, 2), (0.5, 3)]
    warehouse = workspace.warehouse
    folders = {"target_path": workspace.dbt_target, "log_path": workspace.logs}
    run_dbt(warehouse.path, ["build", "--select", "stg_outside__values"], **folders)
    newest = _query(workspace, "select value, load_id from staging.stg_outside__values order by available_at")
    assert newest == [(0.5, 3), (1000.0, 1), (2.0, 1), (4.0, 2)]


def test_a_value_of_a_market_and_of_all_and_of_another_slot_are_no_revisions(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "values.parquet"
    frame = pd.DataFrame({"available_at": pd.to_datetime(["2024-01-01 00:00", "2024-01-01 08:00"]), "value": [1, 2]})
    frame.to_parquet(path)
    for symbol, name in (("", "sentiment"), ("BTC/USDT", "sentiment"), ("BTC/USDT", "funding_rate")):
        assert _load(workspace, path, symbol, name).inserted == 2
    assert _query(workspace, "select count(*) from raw.outside") == [(6,)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("time,value\n2024-01-01,1\n", r"lacks the columns available_at\. It needs available_at value"),
        ("available_at,value\n", "holds no value"),
        ("", "cannot be read"),
        ("available_at,value\nyesterday,1\n", "'yesterday' in available_at. Write times like"),
        ("available_at,value\n,1\n2024-01-01,2\n", "'nan' in available_at. Write times like"),
        ("available_at,value\n1704067200,1\n", "numbers in available_at. Write times like"),
        ("available_at,value\n2024-01-01T00:00Z,1\n2024-01-01T01:00+01:00,2\n", "more than once. Keep one"),
        ("available_at,value\n2024-01-01,high\n", "'high' in value. Give a finite number"),
        ("available_at,value\n2024-01-01,\n", "'nan' in value. Give a finite number"),
        ("available_at,value\n2024-01-01,inf\n", "'inf' in value. Give a finite number"),
        ("available_at,value\n2024-01-01,1\n2024-01-05 05:00,1\n", "cannot be known yet: .* Give the times"),
    ],
)
def test_a_file_of_nonsense_is_one_line_with_the_remedy_and_changes_nothing(
    workspace: Workspace, tmp_path: Path, content: str, message: str
) -> None:
    path = _write(tmp_path, content)
    with pytest.raises(CandleDataError, match=message) as caught:
        _load(workspace, path)
    assert "\n" not in str(caught.value)
    assert not workspace.home.exists()


def test_a_file_that_is_not_there_or_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(CandleDataError, match=r"none\.csv cannot be read"):
        read_exogenous(tmp_path / "none.csv")
    with pytest.raises(CandleDataError, match=r"values\.json is neither CSV nor Parquet"):
        read_exogenous(tmp_path / "values.json")
    broken = tmp_path / "values.parquet"
    broken.write_text("no parquet")
    with pytest.raises(CandleDataError, match=r"values\.parquet cannot be read"):
        read_exogenous(broken)


@pytest.mark.parametrize(
    ("name", "symbol", "message"),
    [
        ("weather", "", "no exogenous series 'weather'. Use one of sentiment funding_rate order_book"),
        ("sentiment", "DOGE/EUR", "'DOGE/EUR' is not a market of the settings. Use one of BTC/USDT ETH/USDT"),
    ],
)
def test_an_unknown_slot_or_market_is_refused(
    workspace: Workspace, tmp_path: Path, name: str, symbol: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        _load(workspace, _write(tmp_path, FILE), symbol, name)
    assert not workspace.home.exists()


def test_the_command_prints_counts_and_refuses_in_one_line(
    tmp_path: Path, recorded: Path, config: Path, shared_services: SharedServices
) -> None:
    path = _write(tmp_path, FILE)
    with ReplayServer(RecordedCandles(recorded, "binance"), ReplayClock(hours(100))) as server:
        settings = tmp_path / "candleworks.toml"
        settings.write_text(config.read_text().replace("retries = 2", f'retries = 1\nbase_url = "{server.url}"'))
        command_line = CommandLine(tmp_path / "home", settings)
        refused = command_line.read("outside", "weather", str(path))
        assert not (tmp_path / "home").exists()
        shared_services.attach(command_line.home)
        done = command_line.run("outside", "order_book", str(path), "--symbol", "ETH/USDT")
    assert (refused.returncode, refused.stderr.count("\n")) == (CandleworksError.exit_code, 1)
    assert "no exogenous series 'weather'" in refused.stderr
    assert (done.returncode, done.stdout) == (0, "order_book of ETH/USDT: 3 values read, 3 new, 0 revised\n")
