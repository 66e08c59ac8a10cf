"""The whole loop, as a newcomer runs it: once, again, and after a kill in the middle."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ml.store import Store
from tests.flows.conftest import CommandLine
from tests.flows.shared_services import SharedServices

pytestmark = pytest.mark.e2e

#: Where nothing is wrong a step takes a tenth of it, but tests share their machine.
STEP_SECONDS = 400
CASES = 2 * 2 * 6  # markets x timeframes x cases of the small search space
SERIES = [(symbol, timeframe) for symbol in ("BTC/USDT", "ETH/USDT") for timeframe in ("1h", "4h")]
KEYS = {
    "raw.candles": "exchange, symbol, timeframe, open_time, load_id",
    "raw.results": "case_key, dataset_id",
    "raw.forecasts": "exchange, symbol, timeframe, target_open_time",
    "raw.scores": "forecast_hash",
}


def tables_of(home: Path) -> dict[str, int]:
    """Rows of the raw tables, after a look that no key stands twice."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        counts = {}
        for table, key in KEYS.items():
            row = connection.execute(f"select count(*), count(distinct ({key})) from {table}").fetchone()
            assert row is not None
            assert row[0] == row[1], f"{table} holds a key twice"
            counts[table] = row[0]
        return counts


def results_of(home: Path) -> dict[tuple[str, str, str], float]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        rows = connection.execute("select symbol, timeframe, case_key, rmse_pct from raw.results").fetchall()
    return {(symbol, timeframe, key): error for symbol, timeframe, key, error in rows}


def _json(command_line: CommandLine, *arguments: str) -> list[dict[str, Any]]:
    done = command_line.read(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    records: list[dict[str, Any]] = json.loads(done.stdout)
    return records


def test_the_demo_ends_with_models_forecasts_and_the_way_to_the_dashboard(demo: tuple[CommandLine, str]) -> None:
    output = demo[1]
    assert "Best models on validation rows" in output
    assert "Forecasts of the next candles" in output
    assert f"candleworks app --home {demo[0].home}" in output.splitlines()[-1]
    assert f"{CASES} of {CASES} test cases have a result, 0 of them failed" in output


def test_the_leaderboard_has_every_case_with_baseline_skill_and_trials(demo: tuple[CommandLine, str]) -> None:
    rows = _json(demo[0], "leaderboard")
    assert len(rows) == CASES
    needed = "exchange symbol timeframe model case_key rmse_pct rmse_quote baseline skill skill_mean_range"
    assert {*needed.split(), "holdout_skill", "n_trials"} <= rows[0].keys()
    assert {row["n_trials"] for row in rows} == {CASES // len(SERIES)}
    for row in rows:
        # skill = 1 - error / error of the baseline, recomputed from the row's own figures
        assert row["skill"] == pytest.approx(1 - row["rmse_pct"] / row["baseline_rmse_pct"], abs=1e-9)


def test_the_leaderboard_says_how_far_each_series_could_be_luck(demo: tuple[CommandLine, str]) -> None:
    rows = _json(demo[0], "leaderboard")
    for series in SERIES:
        mine = [row for row in rows if (row["symbol"], row["timeframe"]) == series]
        assert len({row["spa_p_value"] for row in mine}) == 1
        assert [row["is_finalist"] for row in mine] == [row["rank"] <= 5 for row in mine]
        # A validation part of fewer than 30 days would leave them open; 130 days have 26.
        assert all(row["skill_lower"] is None and row["in_confidence_set"] is None for row in mine)
    again = _json(demo[0], "significance")
    assert again == []


def test_there_is_one_forecast_a_series_for_the_candle_that_opens_now(demo: tuple[CommandLine, str]) -> None:
    rows = _json(demo[0], "forecasts")
    assert sorted((row["symbol"], row["timeframe"]) for row in rows) == sorted(SERIES)
    for row in rows:
        assert row["target_open_time"] == "2024-05-10T00:00:00+00:00"  # 130 days after the first candle
        assert row["band_low"] <= row["low"] <= min(row["open"], row["close"])
        assert row["band_high"] >= row["high"] >= max(row["open"], row["close"])
        assert row["issued_at"] == row["target_open_time"]
        assert not row["late"]
        assert row["model"] == "baseline" or row["case_key"]


def test_the_hour_that_was_lived_through_is_scored(demo: tuple[CommandLine, str]) -> None:
    rows = [row for row in _json(demo[0], "forecasts", "--all") if row["timeframe"] == "1h" and not row["is_current"]]
    assert len(rows) == 2
    for row in rows:
        parts = [(row[name] - row[f"actual_{name}"]) / row["open"] for name in ("high", "low", "close")]
        assert row["error_pct"] == pytest.approx(100 * (sum(part**2 for part in parts) / 3) ** 0.5, rel=1e-9)
        assert row["covered"] == (row["actual_low"] >= row["band_low"] and row["actual_high"] <= row["band_high"])


def test_status_counts_cases_and_names_the_last_candle(demo: tuple[CommandLine, str]) -> None:
    rows = _json(demo[0], "status")
    assert sorted((row["symbol"], row["timeframe"]) for row in rows) == sorted(SERIES)
    assert {(row["cases_total"], row["cases_done"], row["cases_failed"]) for row in rows} == {(6, 6, 0)}
    assert {row["freshness"] for row in rows} == {"fresh"}
    assert {row["last_candle"] for row in rows} == {"2024-05-09T23:00:00+00:00", "2024-05-09T20:00:00+00:00"}


def test_the_chains_verify_and_an_edit_is_found(demo: tuple[CommandLine, str], tmp_path: Path) -> None:
    heads = _json(demo[0], "verify")
    assert [row["chain"] for row in heads] == ["verdicts", "forecasts", "scores"]
    done = demo[0].read("verify", *(word for row in heads for word in ("--head", f"{row['chain']}:{row['head']}")))
    assert done.returncode == 0, done.stderr
    assert demo[0].read("verify", "--head", "0123").returncode == 2
    assert demo[0].read("verify", "--head", "1" * 64).returncode == 1
    store = Store(demo[0].home / "store")
    path = store.list("forecasts")[2]
    original = store.read(path)
    try:
        store.replace(path, original.replace(b'"late":false', b'"late":true '))
        broken = demo[0].read("verify")
    finally:
        store.replace(path, original)
    assert broken.returncode == 1
    assert f"{path} is the first bad record" in broken.stderr


def test_a_stored_result_is_reproduced_to_1e_12(demo: tuple[CommandLine, str]) -> None:
    key = _json(demo[0], "leaderboard", "--top", "1")[0]["case_key"]
    rows = _json(demo[0], "reproduce", key)
    assert len(rows) > 15
    assert all(row["equal"] for row in rows)
    assert max(row["difference"] for row in rows if row["difference"] == row["difference"]) <= 1e-12


@dataclass(frozen=True)
class TwoMore:
    """Two further runs at once in the home of the demo, and what it held before and after them."""

    codes: tuple[int, int]
    errors: str
    tables: tuple[dict[str, int], dict[str, int]]
    files: tuple[dict[str, list[str]], dict[str, list[str]]]


@pytest.fixture(scope="module")
def two_more(demo: tuple[CommandLine, str], recorded: Path, shared_services: SharedServices) -> TwoMore:
    home = shared_services.attach(demo[0].home, standby=False)
    again = ("demo", "--candles", str(recorded), "--hours", "1")
    tables, files = tables_of(home), _files(home)
    first = demo[0].start(*again)
    second = demo[0].run(*again)
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
    verdicts, models = _json(command_line, "verdicts"), _json(command_line, "models")
    promoted = [verdict for verdict in verdicts if verdict["decision"] == "promoted"]
    assert promoted
    assert {verdict["rule"] for verdict in promoted} == {"promoted"}
    # The clock of the recorded exchange, not the one of this machine.
    assert {verdict["decided_at"][:4] for verdict in verdicts} == {"2024"}
    assert {row["model_id"] for row in models} >= {verdict["model_id"] for verdict in promoted}
    readable = command_line.read("verdicts", "--symbol", promoted[0]["symbol"])
    assert promoted[0]["reason"][:12] in readable.stdout, readable.stdout + readable.stderr
    (card,) = _json(command_line, "models", promoted[0]["model_id"])
    assert card["n_trials"] == promoted[0]["n_trials"]
    printed = command_line.read("models", promoted[0]["model_id"]).stdout
    assert "intended use" in printed
    assert "opened once" in printed
    assert command_line.read("models", "nonsense").returncode == 2


def test_every_step_can_be_run_by_hand_and_changes_nothing_that_is_done(
    demo: tuple[CommandLine, str], tmp_path: Path, shared_services: SharedServices, loaded_dbt: None
) -> None:
    home = tmp_path / "home"
    shutil.copytree(demo[0].home, home)
    command_line = CommandLine(shared_services.attach(home, standby=False), demo[0].config)
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
    features = _json(command_line, "features")
    assert len(features) >= 30
    assert len({row["group"] for row in features}) >= 12
    markdown = tmp_path / "table.md"
    markdown.write_text("before\n<!-- leaderboard:begin -->\n<!-- leaderboard:end -->\nafter\n")
    assert command_line.read("leaderboard", "--markdown", str(markdown)).returncode == 0
    lines = markdown.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert sum(line.startswith("| BTC/USDT") for line in lines) == 2  # the best case of each timeframe


def test_the_clock_can_be_put_to_a_time(recorded: Path, config: Path, tmp_path: Path) -> None:
    bad = CommandLine(tmp_path / "home", config).run("demo", "--candles", str(recorded), "--now", "yesterday")
    assert bad.returncode == 2
    assert "--now 'yesterday' is no time" in bad.stderr
    assert not (tmp_path / "home").exists()
