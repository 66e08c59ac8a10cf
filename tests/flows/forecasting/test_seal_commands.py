"""`verify`, `forecasts` and `status` as a person meets them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

import flows.cli  # noqa: F401 - registers the commands
from flows.cli.application import application
from ml.errors import ConfigurationError
from ml.forecasting.chain import Chain
from ml.forecasting.published import publish_version
from ml.store import Store

SERIES = {"exchange": "e", "symbol": "A/USDT", "timeframe": "1h"}


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(application, [*arguments, "--home", str(home)])


def publish(home: Path, **marts: list[dict[str, Any]]) -> None:
    files = {}
    for name, rows in marts.items():
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), buffer)
        files[name] = buffer.getvalue()
    publish_version(Store(home / "store"), "v1", files, {"published_at": "2024-01-02T03:00:00+00:00"})


def rules_of(done: Result) -> dict[str, Any]:
    (found,) = [report for report in json.loads(done.stdout) if report["chain"] == "rules"]
    return dict(found)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    chain = Chain(Store(tmp_path / "store"), "rules")
    for number in range(3):
        chain.append({"number": number})
    return tmp_path


def test_verify_shows_the_heads_and_ends_with_0(home: Path) -> None:
    done = run(home, "verify", "--json")
    assert done.exit_code == 0
    head = Chain(Store(home / "store"), "rules").head()[1]
    assert rules_of(done) == {
        "chain": "rules",
        "records": 3,
        "head": head,
        "problem": "",
        "unsigned": 3,
        "earlier_key": 0,
        "replayed": 0,
        "anchored": 0,
        "anchored_at": None,
        "anchored_by": "",
        "note": "3 from before signatures",
    }
    assert run(home, "verify", "--head", head, "--head", f"rules:{head}").exit_code == 0


def test_verify_names_the_first_bad_record_once_and_ends_with_1(home: Path) -> None:
    path = home / "store" / "rules" / "0000000002.json"
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":7'))
    done = run(home, "verify", "--json")
    assert done.exit_code == 1
    assert rules_of(done)["records"] == 1
    assert done.stderr == (
        "candleworks: rules/0000000002.json is the first bad record: its content does not match its hash. "
        "Restore the store from a backup.\n"
    )


def test_verify_finds_a_cut_with_a_head_and_says_so_in_one_line(home: Path) -> None:
    head = Chain(Store(home / "store"), "rules").head()[1]
    (home / "store" / "rules" / "0000000003.json").unlink()
    assert run(home, "verify").exit_code == 0
    done = run(home, "verify", "--head", head)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "a chain was cut or rewritten" in done.stderr


def test_what_is_no_head_is_bad_input(home: Path) -> None:
    error = run(home, "verify", "--head", "abc").exception
    assert isinstance(error, ConfigurationError)
    assert error.exit_code == 2


@pytest.mark.parametrize("command", ["status", "forecasts"])
def test_a_band_that_does_not_hold_what_it_promises_is_a_warning_beside_the_table(home: Path, command: str) -> None:
    row = {**SERIES, "level": 0.8, "forecasts": 60, "coverage": 0.55, "pinball_pct": 0.1, "alarm": True}
    other = {**row, "symbol": "B/USDT", "alarm": False}
    publish(home, band_reliability=[row, other], forecasts=[], champions=[], data_health=[])
    done = run(home, command, "--json")
    assert json.loads(done.stdout) == []
    assert done.stderr.startswith("Warning: A/USDT 1h: the 80% interval covered 55% of 60 live candles.")
    assert "B/USDT" not in done.stderr


def test_a_group_of_candles_whose_band_does_not_hold_is_named(home: Path) -> None:
    row = {**SERIES, "grouped_by": "hour", "group_name": "14:00 UTC", "forecasts": 60, "coverage": 0.55, "alarm": True}
    publish(home, band_groups=[row, {**row, "group_name": "15:00 UTC", "alarm": False}], champions=[], data_health=[])
    warning = run(home, "status").stderr
    assert warning.startswith("Warning: A/USDT 1h, 14:00 UTC: the 80% interval covered 55% of 60 live candles.")
    assert "15:00" not in warning


def test_a_snapshot_of_an_earlier_version_raises_no_alarm(home: Path) -> None:
    publish(home, forecasts=[], champions=[], data_health=[])
    done = run(home, "forecasts")
    assert (done.exit_code, done.stderr) == (0, "")


def test_forecasts_show_band_and_reason(home: Path) -> None:
    row = {**SERIES, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.0, "band_low": 0.25, "band_high": 4.0}
    row |= {"model": "baseline", "late": False, "is_current": True, "reason": "the data are stale", "error_pct": None}
    publish(home, forecasts=[{**row, "target_open_time": None}], band_reliability=[])
    shown = run(home, "forecasts").stdout
    for word in ("band_low", "0.25", "reason", "stale"):
        assert word in shown
