"""The whole loop, as a newcomer runs it: killed twice in the middle, begun again, then run twice more at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from flows.studies.reproduce import evaluate_again
from ml.forecasting.seals import CHAINS
from ml.store import Store
from tests.flows.conftest import ROWS, SYMBOLS, CommandLine

pytestmark = pytest.mark.e2e

CASES = 2 * 2 * 6  # markets x timeframes x cases of the small search space
SERIES = [(symbol, timeframe) for symbol in SYMBOLS for timeframe in ("1h", "4h")]
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


def json_of(command_line: CommandLine, *arguments: str) -> list[dict[str, Any]]:
    done = command_line.read(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    records: list[dict[str, Any]] = json.loads(done.stdout)
    return records


@pytest.mark.timeout(1800)  # the demo is run for it
def test_the_demo_ends_with_models_forecasts_and_the_way_to_the_dashboard(demo: tuple[CommandLine, str]) -> None:
    output = demo[1]
    assert "Best models on validation rows" in output
    assert "Forecasts of the next candles" in output
    assert f"candleworks app --home {demo[0].home}" in output.splitlines()[-1]
    assert f"{CASES} of {CASES} test cases have a result, 0 of them failed" in output


def test_a_demo_that_was_killed_twice_has_all_rows_once(demo: tuple[CommandLine, str]) -> None:
    assert tables_of(demo[0].home) == {
        "raw.candles": len(SYMBOLS) * ROWS,
        "raw.results": CASES,
        # At 23:00 and at midnight one of each series; at midnight the candles of the first ones have closed.
        "raw.forecasts": 2 * len(SERIES),
        "raw.scores": len(SERIES),
    }


def test_a_demo_that_was_killed_twice_has_the_numbers_of_undisturbed_cases(demo: tuple[CommandLine, str]) -> None:
    home = demo[0].home
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        stored = connection.execute("select dataset_id, case_json, rmse_pct from raw.results").fetchall()
    assert len({dataset_id for dataset_id, *_ in stored}) == len(SERIES)
    for dataset_id, case, error in stored:
        again = evaluate_again(str(home / "store"), dataset_id, case)
        assert again["rmse_pct"] == pytest.approx(error, rel=1e-12), case


def test_the_leaderboard_has_every_case_with_baseline_skill_and_trials(demo: tuple[CommandLine, str]) -> None:
    rows = json_of(demo[0], "leaderboard")
    assert len(rows) == CASES
    needed = "exchange symbol timeframe model case_key rmse_pct rmse_quote baseline skill skill_mean_range"
    assert {*needed.split(), "holdout_skill", "n_trials"} <= rows[0].keys()
    assert {row["n_trials"] for row in rows} == {CASES // len(SERIES)}
    for row in rows:
        # skill = 1 - error / error of the baseline, recomputed from the row's own figures
        assert row["skill"] == pytest.approx(1 - row["rmse_pct"] / row["baseline_rmse_pct"], abs=1e-9)


def test_the_leaderboard_says_how_far_each_series_could_be_luck(demo: tuple[CommandLine, str]) -> None:
    rows = json_of(demo[0], "leaderboard")
    for series in SERIES:
        mine = [row for row in rows if (row["symbol"], row["timeframe"]) == series]
        assert len({row["spa_p_value"] for row in mine}) == 1
        assert [row["is_finalist"] for row in mine] == [row["rank"] <= 5 for row in mine]
        # A validation part of fewer than 30 days would leave them open; 130 days have 26.
        assert all(row["skill_lower"] is None and row["in_confidence_set"] is None for row in mine)
    again = json_of(demo[0], "significance")
    assert again == []


def test_there_is_one_forecast_a_series_for_the_candle_that_opens_now(demo: tuple[CommandLine, str]) -> None:
    rows = json_of(demo[0], "forecasts")
    assert sorted((row["symbol"], row["timeframe"]) for row in rows) == sorted(SERIES)
    for row in rows:
        assert row["target_open_time"] == "2024-05-10T00:00:00+00:00"  # 130 days after the first candle
        assert row["band_low"] <= row["low"] <= min(row["open"], row["close"])
        assert row["band_high"] >= row["high"] >= max(row["open"], row["close"])
        assert row["issued_at"] == row["target_open_time"]
        assert not row["late"]
        assert row["model"] == "baseline" or row["case_key"]


def test_the_hour_that_was_lived_through_is_scored(demo: tuple[CommandLine, str]) -> None:
    rows = [row for row in json_of(demo[0], "forecasts", "--all") if row["timeframe"] == "1h" and not row["is_current"]]
    assert len(rows) == 2
    for row in rows:
        parts = [(row[name] - row[f"actual_{name}"]) / row["open"] for name in ("high", "low", "close")]
        assert row["error_pct"] == pytest.approx(100 * (sum(part**2 for part in parts) / 3) ** 0.5, rel=1e-9)
        assert row["covered"] == (row["actual_low"] >= row["band_low"] and row["actual_high"] <= row["band_high"])


def test_the_analyses_are_in_the_published_snapshot(demo: tuple[CommandLine, str]) -> None:
    assert f"{len(SERIES)} of {len(SERIES)} series computed" in demo[1]
    published = demo[0].home / "store" / "published"
    cases = published / json.loads((published / "current.json").read_bytes())["version"] / "effect_cases.parquet"
    rows = duckdb.sql(f"select symbol, timeframe, count(*) from '{cases}' group by all order by all").fetchall()
    assert rows == [(*series, 6) for series in sorted(SERIES)]


def test_status_counts_cases_and_names_the_last_candle(demo: tuple[CommandLine, str]) -> None:
    rows = json_of(demo[0], "status")
    assert sorted((row["symbol"], row["timeframe"]) for row in rows) == sorted(SERIES)
    assert {(row["cases_total"], row["cases_done"], row["cases_failed"]) for row in rows} == {(6, 6, 0)}
    assert {row["freshness"] for row in rows} == {"fresh"}
    assert {row["last_candle"] for row in rows} == {"2024-05-09T23:00:00+00:00", "2024-05-09T20:00:00+00:00"}


def test_the_chains_verify_and_an_edit_is_found(demo: tuple[CommandLine, str], tmp_path: Path) -> None:
    heads = json_of(demo[0], "verify")
    assert [row["chain"] for row in heads] == list(CHAINS)
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
    key = json_of(demo[0], "leaderboard", "--top", "1")[0]["case_key"]
    rows = json_of(demo[0], "reproduce", key)
    assert len(rows) > 15
    assert all(row["equal"] for row in rows)
    assert max(row["difference"] for row in rows if row["difference"] == row["difference"]) <= 1e-12


def test_the_catalogue_has_all_groups(demo: tuple[CommandLine, str]) -> None:
    features = json_of(demo[0], "features")
    assert len(features) >= 30
    assert len({row["group"] for row in features}) >= 12


def test_the_clock_can_be_put_to_a_time(recorded: Path, config: Path, tmp_path: Path) -> None:
    bad = CommandLine(tmp_path / "home", config).run("demo", "--candles", str(recorded), "--now", "yesterday")
    assert bad.returncode == 2
    assert "--now 'yesterday' is not a time" in bad.stderr
    assert not (tmp_path / "home").exists()
