"""A demo that is killed and begun again ends as one that ran through (test_demo.py); then it is run twice more at once,
and step by step.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from ml.store import Store
from tests.flows.conftest import CommandLine
from tests.flows.shared_services import SharedServices
from tests.flows.simulation.test_demo import STEP_SECONDS, json_of, results_of, tables_of

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("small_dbt")]


def _kill_at(command_line: CommandLine, recorded: Path, stage: str) -> None:
    """Start the demo, and kill it as soon as it has stored the first file of a stage."""
    marker = command_line.home / "store" / stage
    assert not marker.exists(), "the kill before came too late"
    process = command_line.start("demo", "--candles", str(recorded), "--hours", "1")
    deadline = time.monotonic() + STEP_SECONDS
    while not (marker.is_dir() and any(marker.iterdir())):
        assert time.monotonic() < deadline, f"no {stage}"
        assert process.poll() is None, "the demo ended before it could be killed"
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == [], "a child outlived the demo"


@pytest.fixture(scope="module")
def completed(
    demo: tuple[CommandLine, str],
    recorded: Path,
    tmp_path_factory: pytest.TempPathFactory,
    shared_services: SharedServices,
) -> CommandLine:
    """A home whose demo was killed at its datasets, begun again, killed at its results, and begun again."""
    home = shared_services.with_migrated_prefect(tmp_path_factory.mktemp("killed") / "home")
    command_line = CommandLine(home, demo[0].config)
    for stage in ("datasets/current", "results"):
        _kill_at(command_line, recorded, stage)
    shared_services.attach(home)
    done = command_line.run("demo", "--candles", str(recorded), "--hours", "1")
    assert done.returncode == 0, done.stderr
    return command_line


@pytest.mark.timeout(1200)
def test_a_demo_that_was_killed_completes_with_the_same_numbers(
    demo: tuple[CommandLine, str], completed: CommandLine
) -> None:
    assert tables_of(completed.home) == tables_of(demo[0].home)
    assert results_of(completed.home) == pytest.approx(results_of(demo[0].home), rel=1e-12)


@dataclass(frozen=True)
class TwoMore:
    """Two further runs at once in one home, and what it held before and after them."""

    codes: tuple[int, int]
    errors: str
    tables: tuple[dict[str, int], dict[str, int]]
    files: tuple[dict[str, list[str]], dict[str, list[str]]]


@pytest.fixture(scope="module")
def two_more(completed: CommandLine, recorded: Path) -> TwoMore:
    home = completed.home
    again = ("demo", "--candles", str(recorded), "--hours", "1")
    tables, files = tables_of(home), _files(home)
    first = completed.start(*again)
    second = completed.run(*again)
    _, errors = first.communicate(timeout=STEP_SECONDS)
    codes = (first.returncode, second.returncode)
    return TwoMore(codes, errors + second.stderr, (tables, tables_of(home)), (files, _files(home)))


def _files(home: Path) -> dict[str, list[str]]:
    store = Store(home / "store")
    folders = ("datasets", "results", "claims", "models", "verdicts", "forecasts", "scores")
    return {folder: store.list(folder) for folder in folders}


def test_a_second_run_adds_nothing_anywhere(two_more: TwoMore) -> None:
    assert two_more.codes == (0, 0), two_more.errors
    assert two_more.tables[1] == two_more.tables[0]
    assert two_more.files[1] == two_more.files[0]


def test_two_demos_in_one_home_take_turns(two_more: TwoMore) -> None:
    assert two_more.codes == (0, 0), two_more.errors
    assert two_more.tables[1] == two_more.tables[0]


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


def test_every_step_can_be_run_by_hand_and_changes_nothing_that_is_done(completed: CommandLine, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(completed.home, home)
    command_line = CommandLine(home, completed.config)
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
