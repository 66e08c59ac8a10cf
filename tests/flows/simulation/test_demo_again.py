"""The demo of test_demo.py run once more, after its turn, and step by step."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from ml.store import Store
from tests.flows.conftest import STEP_SECONDS, CommandLine
from tests.flows.simulation.test_demo import json_of, tables_of

pytestmark = pytest.mark.e2e


def _files(home: Path) -> dict[str, list[str]]:
    store = Store(home / "store")
    folders = ("datasets", "results", "claims", "models", "verdicts", "forecasts", "scores")
    return {folder: store.list(folder) for folder in folders}


def test_a_further_demo_waits_for_its_turn_and_adds_nothing_anywhere(
    demo: tuple[CommandLine, str], recorded: Path
) -> None:
    command_line = demo[0]
    tables, files = tables_of(command_line.home), _files(command_line.home)
    with FileLock(command_line.home / "demo.lock"):  # as another demo in this home does
        further = command_line.start("demo", "--candles", str(recorded), "--hours", "1")
        assert further.stdout is not None
        assert "Another demo is running" in further.stdout.readline()
        assert tables_of(command_line.home) == tables
    _, errors = further.communicate(timeout=STEP_SECONDS)
    assert further.returncode == 0, errors
    assert tables_of(command_line.home) == tables
    assert _files(command_line.home) == files


def _check_court(command_line: CommandLine) -> None:
    """Verdicts and cards are readable, as tables and as records."""
    verdicts, models = json_of(command_line, "verdicts"), json_of(command_line, "models")
    promoted = [verdict for verdict in verdicts if verdict["decision"] == "promoted"]
    assert promoted
    assert {verdict["rule"] for verdict in promoted} == {"promoted"}
    # The clock of the recorded exchange, not the one of this machine.
    assert {verdict["decided_at"][:4] for verdict in verdicts} == {"2024"}
    assert {row["model_id"] for row in models} >= {verdict["model_id"] for verdict in promoted}
    readable = command_line.read("verdicts", "--symbol", promoted[0]["symbol"])
    assert promoted[0]["reason"][:12] in readable.stdout, readable.stdout + readable.stderr
    (card,) = json_of(command_line, "models", promoted[0]["model_id"])
    assert card["n_trials"] == promoted[0]["n_trials"]
    printed = command_line.read("models", promoted[0]["model_id"]).stdout
    assert "intended use" in printed
    assert "opened once" in printed
    assert command_line.read("models", "nonsense").returncode == 2


@pytest.mark.usefixtures("loaded_dbt")
def test_every_step_can_be_run_by_hand_and_changes_nothing_that_is_done(
    demo: tuple[CommandLine, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(demo[0].home, home)
    command_line = CommandLine(home, demo[0].config)
    before = tables_of(home)
    for step in (
        ["transform", "--all-tests"],
        ["publish"],
        ["sweep"],
        ["promote"],
        ["review"],
        ["validate", "--docs", str(tmp_path / "docs")],
        ["docs"],
    ):
        done = command_line.read(*step)
        assert done.returncode == 0, f"{step}: {done.stderr}"
    assert tables_of(home) == before
    assert list((tmp_path / "docs").rglob("index.html"))
    assert (home / "dbt" / "static_index.html").stat().st_size > 100_000
    _check_court(command_line)
    markdown = tmp_path / "table.md"
    markdown.write_text("before\n<!-- leaderboard:begin -->\n<!-- leaderboard:end -->\nafter\n")
    assert command_line.read("leaderboard", "--markdown", str(markdown)).returncode == 0
    lines = markdown.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert sum(line.startswith("| BTC/USDT") for line in lines) == 2  # the best case of each timeframe
