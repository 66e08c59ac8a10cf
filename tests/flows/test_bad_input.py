"""Bad input: one clear line that names what is wrong and the remedy, exit code 2, and nothing changed on disk."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pandas as pd
import pytest

from flows.replay import RecordedCandles, ReplayClock, ReplayServer
from tests.flows.conftest import CommandLine, hours
from tests.flows.shared_services import SharedServices

pytestmark = pytest.mark.e2e


def _refused(done: object, *parts: str) -> None:
    code, lines = done.returncode, done.stderr.strip().splitlines()  # type: ignore[attr-defined]
    assert code == 2, lines
    # Before the error there may be only the log of what was tried again.
    assert all("trying again" in line for line in lines[:-1])
    errors = lines[-1]
    assert errors.startswith("candleworks: ")
    for part in parts:
        assert part in errors


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("[exchange]\ncolour = 1", ["exchange.colour: unknown key", "Correct or remove that key"]),
        ('[markets]\ntimeframes = ["7h"]', ["unknown timeframe '7h'", "use one of 1m"]),
        ('[exchange]\nid = "mtgox"', ["mtgox"]),
    ],
)
def test_bad_settings(tmp_path: Path, recorded: Path, content: str, parts: list[str]) -> None:
    config = tmp_path / "candleworks.toml"
    config.write_text(content)
    home = tmp_path / "home"
    _refused(CommandLine(home, config).read("demo", "--candles", str(recorded)), *parts)
    assert not home.exists()


def test_a_market_without_candles_and_a_folder_that_is_not_there(tmp_path: Path, recorded: Path, config: Path) -> None:
    command_line = CommandLine(tmp_path / "home", config)
    unknown = command_line.read("demo", "--candles", str(recorded), "--markets", "DOGE/EUR")
    _refused(unknown, "No 1h candles of DOGE/EUR", "Recorded: BTC/USDT")
    _refused(command_line.read("demo", "--candles", str(tmp_path / "nowhere")), "does not exist")
    assert not (tmp_path / "home").exists()


def test_a_broken_parquet_file_is_named(tmp_path: Path, recorded: Path, config: Path) -> None:
    folder = tmp_path / "candles"
    shutil.copytree(recorded, folder)
    broken = folder / "binance" / "ETH-USDT" / "1h.parquet"
    broken.write_bytes(broken.read_bytes()[:5000])
    done = CommandLine(tmp_path / "home", config).read("demo", "--candles", str(folder))
    _refused(done, str(broken), "not a readable Parquet file", "Replace or remove it")
    assert not (tmp_path / "home").exists()


def test_a_file_without_rows_and_a_time_before_the_first_candle(tmp_path: Path, recorded: Path, config: Path) -> None:
    command_line = CommandLine(tmp_path / "home", config)
    early = command_line.read("demo", "--candles", str(recorded), "--now", "2023-06-01")
    _refused(early, "BTC/USDT has no candle yet", "begin at 2024-01-01T00:00", "--now")
    folder = tmp_path / "candles"
    shutil.copytree(recorded, folder)
    empty = folder / "binance" / "BTC-USDT" / "1h.parquet"
    pd.read_parquet(empty).head(0).to_parquet(empty)
    _refused(command_line.read("demo", "--candles", str(folder)), str(empty), "holds no candle", "Replace or remove it")
    assert not (tmp_path / "home").exists()


def test_a_home_that_cannot_be_written(tmp_path: Path, recorded: Path, config: Path) -> None:
    # A file where the folder should be: holds for root as well, whom no permission stops.
    (tmp_path / "file").write_text("")
    done = CommandLine(tmp_path / "file" / "home", config).read("demo", "--candles", str(recorded))
    _refused(done, "Cannot write to the home", "--home")
    assert (tmp_path / "file").read_text() == ""


def test_an_exchange_that_is_down(tmp_path: Path, config: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        down = tmp_path / "down.toml"
        down.write_text(config.read_text().replace("retries = 2", f'retries = 1\nbase_url = "http://127.0.0.1:{port}"'))
        done = CommandLine(tmp_path / "home", down).read("ingest")
    _refused(done, "failed at the time 2 times", "Check the connection")
    assert not (tmp_path / "home").exists()


def test_a_market_that_the_exchange_has_not(
    tmp_path: Path, recorded: Path, config: Path, shared_services: SharedServices
) -> None:
    with ReplayServer(RecordedCandles(recorded, "binance"), ReplayClock(hours(100))) as server:
        settings = tmp_path / "candleworks.toml"
        text = config.read_text().replace("retries = 2", f'retries = 1\nbase_url = "{server.url}"')
        settings.write_text(text.replace('"ETH/USDT"', '"DOGE/EUR"').replace('"BTC/USDT"', '"DOGE/USD"'))
        _refused(CommandLine(tmp_path / "home", settings).read("ingest"), "no market 'DOGE/USD'", "Correct `symbols`")
        assert not (tmp_path / "home").exists()
        # beside a market that loads it is one failed load
        settings.write_text(text.replace('"ETH/USDT"', '"DOGE/EUR"'))
        done = CommandLine(shared_services.attach(tmp_path / "home"), settings).run("ingest")
    assert done.returncode == 1, done.stderr
    assert "failed" in done.stdout


def test_a_port_that_is_in_use(tmp_path: Path, config: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = CommandLine(tmp_path / "home", config).run("up", "--server-port", str(port))
    _refused(done, f"{port}", "--server-port")
    assert not (tmp_path / "home").exists()


def test_commands_before_there_is_anything_say_what_to_run(tmp_path: Path, config: Path) -> None:
    command_line = CommandLine(tmp_path / "home", config)
    _refused(command_line.read("features"), "Run `candleworks transform` first")
    _refused(command_line.read("reproduce", "abc"), "no result has the key 'abc'")
    empty = command_line.read("leaderboard")
    assert (empty.returncode, empty.stdout.strip()) == (0, "Leaderboard (validation): none")
    assert not (tmp_path / "home").exists()
