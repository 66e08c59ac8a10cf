"""`candleworks sql`, `--version` and `--help`, in one process."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import PANELS
from flows.cli.application import application
from ml.errors import ConfigurationError, StoreError
from tests.flows.forecasting.test_seal_commands import publish, run

AT = datetime(2024, 1, 2, 3, tzinfo=UTC).replace(tzinfo=None)
BOARD = [
    {"exchange": "e", "symbol": symbol, "timeframe": "1h", "rank": 1, "skill": skill, "decided_at": AT}
    for symbol, skill in (("BTC/USDT", 0.03), ("ETH/USDT", None))
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish(tmp_path, leaderboard=BOARD, champions=[{"symbol": "BTC/USDT"}])
    return tmp_path


def test_sql_answers_as_a_table_as_json_and_as_csv(home: Path) -> None:
    question = "select symbol, skill, decided_at from leaderboard order by symbol"
    assert "BTC/USDT" in run(home, "sql", question).output
    as_json = json.loads(run(home, "sql", question, "--json").output)
    assert as_json == [
        {"symbol": "BTC/USDT", "skill": 0.03, "decided_at": "2024-01-02T03:00:00+00:00"},
        {"symbol": "ETH/USDT", "skill": None, "decided_at": "2024-01-02T03:00:00+00:00"},
    ]
    as_csv = list(csv.DictReader(io.StringIO(run(home, "sql", question, "--csv").output)))
    assert as_csv[0] == {"symbol": "BTC/USDT", "skill": "0.03", "decided_at": "2024-01-02T03:00:00+00:00"}
    assert as_csv[1]["skill"] == ""


def test_an_answer_without_rows_has_its_columns_in_csv(home: Path) -> None:
    question = "select symbol from leaderboard where rank > 5"
    assert run(home, "sql", question, "--csv").output.splitlines() == ["symbol"]
    assert run(home, "sql", question).output.strip() == "Answer: none"


def test_show_tables_lists_what_there_is(home: Path) -> None:
    assert {"champions", "leaderboard"} == {
        row["name"] for row in json.loads(run(home, "sql", "show tables", "--json").output)
    }


@pytest.mark.parametrize(
    "statement",
    [
        "select * from leaderbord",
        "select",
        "",
        "select * from read_csv('/etc/passwd')",
        "copy leaderboard to '/tmp/stolen.csv'",
        "attach '/tmp/other.duckdb'",
        "set enable_external_access = true",
    ],
)
def test_what_cannot_be_answered_is_one_line_with_the_tables_there_are(statement: str, home: Path) -> None:
    error = run(home, "sql", statement).exception
    assert isinstance(error, ConfigurationError), error
    assert "\n" not in str(error) and "champions, leaderboard" in str(error)


def test_json_and_csv_exclude_each_other(home: Path) -> None:
    assert isinstance(run(home, "sql", "select 1", "--json", "--csv").exception, ConfigurationError)


def test_a_home_without_a_snapshot_says_how_to_get_one(tmp_path: Path) -> None:
    error = run(tmp_path, "sql", "select 1").exception
    assert isinstance(error, StoreError) and "candleworks publish" in str(error)


@pytest.mark.parametrize("option", [("--symbol", "DOGE/USDT"), ("--timeframe", "2h")])
def test_a_filter_that_matches_nothing_names_what_there_is(option: tuple[str, str], home: Path) -> None:
    error = run(home, "leaderboard", *option).exception
    assert isinstance(error, ConfigurationError)
    assert option[1] in str(error) and ("BTC/USDT, ETH/USDT" if option[0] == "--symbol" else "1h") in str(error)


def test_the_version_is_printed() -> None:
    done = CliRunner().invoke(application, ["--version"])
    assert done.exit_code == 0 and done.output.startswith("candleworks 0.")


def test_help_groups_all_commands_in_order() -> None:
    printed = CliRunner().invoke(application, ["--help"]).output
    places = [printed.index(f" {panel} ") for panel in PANELS]
    assert places == sorted(places)
    assert {command.rich_help_panel for command in application.registered_commands} == set(PANELS)
    for command in application.registered_commands:
        assert command.callback is not None and (command.name or command.callback.__name__) in printed
    assert "--install-completion" in printed
