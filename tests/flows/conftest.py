"""Recorded candles, settings and homes for the tests of the flows. Nothing here leaves the machine."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import duckdb
import psutil
import pytest

from flows.cli import main
from flows.settings import load_settings
from flows.warehouse.transform import PROJECT_VARIABLE
from flows.workspace.database import Warehouse
from flows.workspace.workspace import Workspace
from ml.data.simulation import simulate
from ml.timeframes import HOUR_MS
from tests.expectations.frames import plain_broken_rows
from tests.flows.shared_services import SharedServices
from tests.installed import Installed

START_MS = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
SYMBOLS = ("BTC/USDT", "ETH/USDT")
#: 130 days; the last candle closes at midnight, so that a daily and a 4-hourly candle close with it.
ROWS = 130 * 24

SPACE = """
[[space]]
name = "linear"
model = "ridge"
weights = "inverse_scale"
[space.groups]
range = "on"
calendar = "both"
[space.columns]
range_high_mean_72 = "off"
range_low_mean_72 = "off"
range_high_mean_168 = "off"
range_low_mean_168 = "off"
[space.params]
alpha = [300.0, 1000.0]

[[space]]
name = "trees"
model = "hist_gradient_boosting"
[space.groups]
range = "on"
[space.params]
trees = [20, 40]
"""


SETTINGS = """
[exchange]
retries = 2
[markets]
symbols = ["BTC/USDT", "ETH/USDT"]
base_timeframe = "1h"
timeframes = ["1h", "4h"]
history_start = 2024-01-01T00:00:00Z
[sweep]
search_spaces = ["space.toml"]
chunk_seconds = 0.4
processes = 2
[promotion]
minimal_days = 10
alpha = 0.2
"""


@pytest.fixture
def plain_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate without Great Expectations, whose verdict is the same (tests/expectations/test_properties.py)."""
    monkeypatch.setattr("expectations.gate.broken_rows", plain_broken_rows)


def record_candles(folder: Path) -> Path:
    """Write hourly candles of two simulated markets, in the layout of recorded ones."""
    for symbol, frame in simulate(SYMBOLS, "1h", START_MS, ROWS, seed=11).items():
        target = folder / "binance" / symbol.replace("/", "-")
        target.mkdir(parents=True)
        frame.to_parquet(target / "1h.parquet")
    return folder


def write_settings(folder: Path) -> Path:
    """Settings of these markets with a small search space."""
    (folder / "space.toml").write_text(SPACE)
    path = folder / "candleworks.toml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recorded hourly candles of two simulated markets, in the layout of real ones."""
    return record_candles(tmp_path_factory.mktemp("candles"))


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings with a small search space."""
    return write_settings(tmp_path_factory.mktemp("settings"))


@pytest.fixture(scope="session", autouse=True)
def new_warehouses_are_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A new warehouse takes all migrations, a tenth of a second: it is made once a process, and copied from then on.

    Gives the file that is copied. Creation itself is tested in tests/flows/workspace/test_database.py.
    """
    empty = Warehouse(tmp_path_factory.mktemp("empty") / "empty.duckdb")
    create = Warehouse._create

    def copy(warehouse: Warehouse) -> None:
        if not empty.path.exists():
            create(empty)
        shutil.copyfile(empty.path, warehouse.path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Warehouse, "_create", copy)
        yield empty.path


@pytest.fixture
def warehouses_kept_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The warehouses that a test opens stay open behind it: DuckDB takes 10 ms to set one up, and a load opens five.

    Not for tests that transform: dbt, another process, would find the file held.
    """
    connect = duckdb.connect
    kept: dict[str, duckdb.DuckDBPyConnection] = {}
    with contextlib.ExitStack() as stack:

        def connect_and_keep(path: str) -> duckdb.DuckDBPyConnection:
            # Not the one that is about to get its name.
            if path not in kept and path.endswith("warehouse.duckdb"):
                kept[path] = stack.enter_context(connect(path))
            return connect(path)

        monkeypatch.setattr(duckdb, "connect", connect_and_keep)
        yield


def _environment() -> dict[str, str]:
    """What a person has set who has set nothing for the program, but perhaps a dbt project."""
    ours = ("PREFECT_", "CANDLEWORKS_")
    return {name: value for name, value in os.environ.items() if name == PROJECT_VARIABLE or not name.startswith(ours)}


@dataclass(frozen=True)
class CommandLine:
    """Runs the program as a person would; `--home` and `--config` are added."""

    home: Path
    config: Path
    #: The program, and the folder in which it is started; default: of this checkout, and ours.
    program: tuple[str, ...] = (sys.executable, "-m", "flows")
    folder: Path | None = None

    def _words(self, arguments: tuple[str, ...]) -> list[str]:
        return [*arguments, "--home", str(self.home), "--config", str(self.config)]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        return subprocess.Popen(
            [*self.program, *self._words(arguments)],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment(),
        )

    def read(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command that starts nothing, in this process: to import the program again takes longer than to read."""
        output, errors, code = io.StringIO(), io.StringIO(), 0
        with (
            mock.patch.dict(os.environ, _environment(), clear=True),
            mock.patch.object(sys, "argv", ["candleworks", *self._words(arguments)]),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
        ):
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return subprocess.CompletedProcess(arguments, code, output.getvalue(), errors.getvalue())

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        with self.start(*arguments) as process:
            output, errors = process.communicate(timeout=STEP_SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


#: Where nothing is wrong a step takes a tenth of it, but tests share their machine.
STEP_SECONDS = 400


def _kill_at(command_line: CommandLine, arguments: tuple[str, ...], stage: str) -> None:
    """Start the demo, and kill it as soon as it has stored the first file of a stage."""
    marker = command_line.home / "store" / stage
    assert not marker.exists(), "the kill before came too late"
    process = command_line.start(*arguments)
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


@pytest.fixture(scope="session")
def demo(
    tmp_path_factory: pytest.TempPathFactory,
    recorded: Path,
    config: Path,
    installed: Installed,
    shared_services: SharedServices,
) -> tuple[CommandLine, str]:
    """A home in which the demo has run over recorded candles, from the wheel, and what it printed.

    It was killed at its datasets, begun again, killed at its results, and begun again. A demo that runs through, with a
    server of its own to the end, is in tests/test_readme.py.
    """
    folder = tmp_path_factory.mktemp("demo")
    shipped = installed.shipped_files()
    (folder / "empty").mkdir()
    command_line = CommandLine(folder / "home", config, (installed.program("candleworks"),), folder / "empty")
    arguments = ("demo", "--candles", str(recorded), "--hours", "1")
    for stage in ("datasets/current", "results"):
        _kill_at(command_line, arguments, stage)
    shared_services.attach(command_line.home)
    done = command_line.run(*arguments)
    assert done.returncode == 0, done.stderr
    assert installed.shipped_files() == shipped, "a workspace may be read-only"
    assert not list((folder / "empty").iterdir()), "all belongs into the home"
    return command_line, done.stdout


def installation_at(home: Path, base_url: str, **overrides: dict[str, object]) -> Workspace:
    """A workspace that talks to a recorded exchange, for tests that call plain functions."""
    defaults: dict[str, dict[str, object]] = {
        "exchange": {"base_url": base_url, "retries": 2, "timeout_seconds": 2.0},
        "markets": {
            "symbols": list(SYMBOLS),
            "base_timeframe": "1h",
            "timeframes": ["1h", "4h"],
            "history_start": datetime.fromtimestamp(START_MS / 1000, UTC),
        },
    }
    for section, values in overrides.items():
        defaults[section] = {**defaults.get(section, {}), **values}
    return Workspace(home, load_settings(None, defaults))


def hours(n: int) -> int:
    """The time n hours after the first candle opened, in milliseconds."""
    return START_MS + n * HOUR_MS
