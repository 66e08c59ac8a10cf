"""`candleworks ingest` as the README shows it, and as it is mistyped."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ml.timeframes import DAY_MS, utc_ms
from tests.conftest import REPOSITORY
from tests.fakes import BinanceFake
from tests.flows.conftest import CommandLine
from tests.flows.ingestion.walks import walk
from tests.flows.shared_services import SharedServices

pytestmark = pytest.mark.e2e


@dataclass
class Loading:
    fake: BinanceFake
    command_line: CommandLine


@pytest.fixture(scope="module")
def loading(tmp_path_factory: pytest.TempPathFactory, shared_services: SharedServices) -> Iterator[Loading]:
    """An exchange with one market, and a home that has loaded it once."""
    folder = tmp_path_factory.mktemp("ingest")
    with BinanceFake({"BTC/USDT": walk("2024-01-01", 24 * 50)}, utc_ms("2024-02-10T00:30")) as fake:
        config = folder / "candleworks.toml"
        config.write_text(
            f'[exchange]\nbase_url = "{fake.url}"\nretries = 1\n'
            '[markets]\nsymbols = ["BTC/USDT"]\ntimeframes = ["1h"]\nhistory_start = 2024-01-01\n'
        )
        command_line = CommandLine(folder / "home", config)
        done = command_line.run("ingest", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert '"inserted": 960' in done.stdout
        shared_services.attach(command_line.home)
        yield Loading(fake, command_line)


def readme_command() -> list[str]:
    found = re.search(
        r"^candleworks (ingest --from .*)$", (REPOSITORY / "flows/README.md").read_text("utf-8"), re.MULTILINE
    )
    assert found
    return shlex.split(found.group(1))


def test_the_range_of_the_readme_is_read_again(loading: Loading) -> None:
    loading.fake.requests.clear()
    done = loading.command_line.run(*readme_command(), "--json")
    assert done.returncode == 0, done.stderr
    assert '"received": 36' in done.stdout
    assert '"inserted": 0' in done.stdout
    asked = [path for path in loading.fake.requests if "klines" in path]
    assert all(f"startTime={utc_ms('2024-01-31')}" in path for path in asked) and asked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "yesterday"], "--from 'yesterday' is not a time. Write it as 2024-01-31 or 2024-01-31T12:00."),
        (["--to", "2024-13-01"], "--to '2024-13-01' is not a time"),
        (["--from", "2024-02-01", "--to", "2024-01-31"], "is not before 2024-01-31"),
        (["--from", "2030-01-01"], "Give an earlier --from."),
        (["--from", "2020-01-01"], "is before history_start 2024-01-01T00:00:00+00:00. Set history_start"),
        (["--symbol", "DOGE/USDT"], "--symbol 'DOGE/USDT' is not under [markets]. Use one of: BTC/USDT."),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_in_one_line(
    loading: Loading, arguments: list[str], said: str
) -> None:
    loading.fake.requests.clear()
    done = loading.command_line.read("ingest", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not any("klines" in path for path in loading.fake.requests)


def test_candles_that_are_due_and_do_not_come_give_exit_code_1(loading: Loading) -> None:
    loading.fake.now_ms += 30 * DAY_MS
    done = loading.command_line.run("ingest", "--json")
    assert done.returncode == 1
    assert '"status": "partial"' in done.stdout
    # The newest one waits, too: the clock leapt by a month, and no later candle says that it is closed.
    assert "481 candles are due since 2024-02-19T23:00:00" in done.stdout
    assert done.stderr == ""
