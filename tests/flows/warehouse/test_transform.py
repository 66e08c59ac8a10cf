"""Running dbt: what it did, and when it fails, what failed, in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from flows.warehouse import transform
from flows.warehouse.transform import DbtSummary, feature_catalogue, run_dbt, write_markets
from flows.workspace.database import Warehouse
from ml.errors import CandleDataError, ConfigurationError, StoreError
from ml.series import Series

pytestmark = pytest.mark.warehouse

# cautious: not the test that needs the candles as well
MARKETS = ["build", "--select", "stg_exchange__markets", "--indirect-selection", "cautious"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an empty warehouse; dbt's manifest stays in it from test to test."""
    home = tmp_path_factory.mktemp("home")
    with Warehouse(home / "warehouse.duckdb").connect():
        pass
    return home


@pytest.fixture
def dbt(home: Path, small_dbt: None, loaded_small_dbt: None) -> Callable[[list[str]], DbtSummary]:
    def run(command: list[str]) -> DbtSummary:
        path = home / "warehouse.duckdb"
        return run_dbt(path, command, target_path=home / "dbt", log_path=home / "logs")

    return run


def test_a_run_tells_what_it_built_and_leaves_the_project_clean(
    dbt: Callable[[list[str]], DbtSummary], home: Path
) -> None:
    before = sorted(path for path in transform.dbt_project().rglob("*") if "__pycache__" not in path.parts)
    summary = dbt(MARKETS)
    assert (summary.models, summary.tests, summary.warnings) == (1, 1, 0)
    assert str(summary).startswith("1 models built, 1 tests passed in ")
    assert sorted(path for path in transform.dbt_project().rglob("*") if "__pycache__" not in path.parts) == before
    assert "Completed successfully" in (home / "logs" / "dbt.log").read_text("utf-8")
    assert (home / "dbt" / "manifest.json").exists()
    # the file is free again
    with Warehouse(home / "warehouse.duckdb").connect() as connection:
        assert connection.execute("SELECT count(*) FROM staging.stg_exchange__markets").fetchone() == (0,)


@pytest.mark.parametrize("named", ["dbt", "/nonexistent/dbt", str(Path(__file__).parent)])
def test_a_dbt_project_that_is_none_is_refused_before_anything_runs(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(transform.PROJECT_VARIABLE, named)
    with pytest.raises(ConfigurationError, match=f"{transform.PROJECT_VARIABLE} is {named}, .* or unset it"):
        transform.dbt_project()


def test_data_that_breaks_a_test_is_named_by_the_test(dbt: Callable[[list[str]], DbtSummary], home: Path) -> None:
    with Warehouse(home / "warehouse.duckdb").connect() as connection:
        row = "('twice', 'BTC/USDT', '1h')"
        connection.execute(f"INSERT INTO raw.markets (exchange, symbol, timeframe) VALUES {row}, {row}")
        connection.execute(f"INSERT INTO raw.series (exchange, symbol, timeframe) VALUES {row}")
    with pytest.raises(
        CandleDataError, match="breaks the dbt test unique_combination_of_columns_stg_exchange__markets"
    ) as caught:
        dbt(MARKETS)
    assert "\n" not in str(caught.value)
    with Warehouse(home / "warehouse.duckdb").connect() as connection:
        connection.execute("DELETE FROM raw.markets; DELETE FROM raw.series")


def test_a_warehouse_that_is_open_is_an_error_with_a_remedy(dbt: Callable[[list[str]], DbtSummary], home: Path) -> None:
    connection = duckdb.connect(str(home / "warehouse.duckdb"))
    try:
        with pytest.raises(StoreError, match="another process has the warehouse open; close it") as caught:
            dbt(MARKETS)
    finally:
        connection.close()
    assert "\n" not in str(caught.value)


def test_a_wrong_command_is_answered_in_the_words_of_dbt(dbt: Callable[[list[str]], DbtSummary]) -> None:
    with pytest.raises(StoreError, match=r"dbt stopped before the first model: .*No such option '--selec'"):
        dbt(["build", "--selec", "everything"])


def test_a_model_that_cannot_be_built_is_named_with_what_duckdb_said(
    dbt: Callable[[list[str]], DbtSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "dbt"
    shutil.copytree(transform.dbt_project(), project)
    monkeypatch.setenv(transform.PROJECT_VARIABLE, str(project))
    model = project / "models" / "staging" / "exchange" / "stg_exchange__markets.sql"
    model.write_text("select prize from {{ source('raw', 'markets') }}", "utf-8")
    with pytest.raises(StoreError, match=r"could not build stg_exchange__markets: .*prize.* log: .*dbt\.log") as caught:
        dbt(MARKETS)
    assert "\n" not in str(caught.value)


def test_there_is_no_feature_catalogue_before_the_first_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Run `candleworks transform` first"):
        feature_catalogue(tmp_path)


def test_the_feature_catalogue_tells_all_about_a_column(dbt: Callable[[list[str]], DbtSummary], home: Path) -> None:
    dbt(["parse"])
    (rsi,) = [entry for entry in feature_catalogue(home / "dbt") if entry["column"] == "rsi_14"]
    assert rsi == {
        "column": "rsi_14",
        "group": "rsi",
        "formula": "RSI(close, 14) / 100",
        "unit": "share",
        "lookback": 300,
        "relative": True,
        "description": "Relative strength index of 14 candles, from 0 to 1.",
    }


def test_markets_are_replaced_and_always_hold_the_base_timeframe(tmp_path: Path) -> None:
    series = [Series(exchange="binance", symbol=symbol, timeframe="4h") for symbol in ("BTC/USDT", "ETH/USDT")]
    with Warehouse(tmp_path / "w.duckdb").connect() as connection:
        for wanted in (series, series[:1]):
            write_markets(connection, wanted, "1h")
        rows = connection.execute("SELECT * FROM raw.markets ORDER BY timeframe").fetchall()
    assert rows == [
        ("binance", "BTC/USDT", "1h", "1h", 3_600_000, 3_600_000),
        ("binance", "BTC/USDT", "1h", "4h", 14_400_000, 3_600_000),
    ]


def test_a_timeframe_that_base_candles_cannot_make_is_refused(tmp_path: Path) -> None:
    series = [Series(exchange="binance", symbol="BTC/USDT", timeframe="3h")]
    message = "Timeframe 3h cannot be made of 2h candles"
    with (
        Warehouse(tmp_path / "w.duckdb").connect() as connection,
        pytest.raises(ConfigurationError, match=message),
    ):
        write_markets(connection, series, "2h")


def test_the_documentation_is_made_before_anything_was_built(
    dbt: Callable[[list[str]], DbtSummary], home: Path
) -> None:
    dbt(["docs", "generate", "--static"])
    assert (home / "dbt" / "static_index.html").stat().st_size > 1_000_000
