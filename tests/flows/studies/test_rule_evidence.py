"""Rule evidence: each built-in signal of each searched series, reported once, and a sentence that does not flatter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import evidence as command
from flows.cli.application import application
from flows.reporting import SILENT
from flows.studies import rule_evidence
from flows.studies.rule_evidence import Searched, SeriesRules, rules_on, rules_sentence, searched_in
from ml.data.dataset_pointers import CURRENT
from ml.data.datasets import write_dataset
from ml.errors import StoreError
from ml.execution.chunks import Chunk, run_chunk
from ml.store import Store
from ml.trading.costs import Costs
from ml.trading.signals import read_signals
from tests.synthetic import SERIES, make_case, make_dataset

COSTS = Costs.flat(0.001)
SIGNALS = [signal.name for signal in read_signals([])]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of `candleworks evidence` with one series that was searched as of one day, and an empty folder."""
    home = tmp_path_factory.mktemp("home")
    (home / "logs").mkdir()
    store = Store(home / "2024-04-21" / "store")
    dataset_id = write_dataset(store, make_dataset(4000), "test")
    store.replace(f"{CURRENT}/{SERIES.slug}.json", json.dumps({"dataset_id": dataset_id, "through_ms": 0}).encode())
    run_chunk(store, Chunk(dataset_id, (make_case(),)), lease_seconds=60, code_version="test")
    return home


@pytest.fixture(scope="module")
def found(home: Path) -> SeriesRules:
    (searched,) = searched_in(home)
    return rules_on(searched, COSTS)


def files(home: Path) -> set[Path]:
    return {path for path in home.rglob("*") if path.is_file()}


def test_every_built_in_signal_has_a_rule_with_both_parts(found: SeriesRules) -> None:
    assert [rule["signal"] for rule in found.rules] == SIGNALS
    assert not found.without
    for rule in found.rules:
        # Each signal is a report on the same holdout.
        assert (rule["openings"], rule["level"]) == (len(SIGNALS), pytest.approx(0.05 / len(SIGNALS)))
        assert rule["fee"] == 0.001
        assert rule["validation"]["end_time"] < rule["holdout"]["start_time"]


def test_a_home_is_read_only(home: Path) -> None:
    before = files(home)
    rules_on(*searched_in(home), COSTS)
    assert files(home) == before


def test_a_signal_without_a_rule_is_listed_with_its_reason(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal = read_signals([])[0]
    needs_trades = signal.model_copy(update={"sources": (signal.sources[0].model_copy(update={"target": "trade"}),)})
    monkeypatch.setattr(rule_evidence, "read_signals", lambda _: [needs_trades])
    missing = rules_on(*searched_in(home), COSTS)
    assert not missing.rules
    assert missing.without[0].startswith("BTC/USDT 1h direction: no result of trade")
    assert rules_sentence(missing, COSTS) == "No rule could be chosen, so nothing is said."


def test_a_home_without_a_search_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Nothing was searched in .* Run `candleworks evidence` first"):
        searched_in(tmp_path)


def test_two_searches_of_a_series_are_not_mixed(home: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "store").symlink_to(home / "2024-04-21" / "store")
    with pytest.raises(StoreError, match=r"two searches of .* Name the folder of one of them with --home"):
        searched_in(tmp_path)
    assert len(searched_in(tmp_path / "one")) == 1  # the remedy


def rule(validation: float, holdout: float, *, shown: bool = False, p_value: float | None = 0.5) -> Any:
    alike = {"holding_pct": 5.0, "lower_pct": -9.0, "upper_pct": 1.0, "trades": 40, "max_drawdown_pct": 30.0}
    parts = {name: {"return_pct": gain, **alike} for name, gain in (("validation", validation), ("holdout", holdout))}
    key = {"symbol": "BTC/USDT", "timeframe": "1h", "signal": "direction", "model": "ridge"}
    return {**key, **parts, "is_shown": shown, "level": 0.0125, "p_value": p_value}


RULES = SeriesRules([rule(30, -4, p_value=0.03), rule(9, 7, shown=True, p_value=None), rule(2, -8), rule(-6, 1)], ["x"])


def test_the_sentence_counts_costs_luck_and_losses_first() -> None:
    said = rules_sentence(RULES, COSTS)
    assert said.startswith("After 0.1% a side, 1 of 4 rules on 1 series are shown to gain")
    # 4 x .0125 = .05, shown as .1.
    assert "of 4 rules without any worth at most 0.1 are expected" in said
    # A test that could not be made is no pass.
    assert (
        "On validation 1 of 4 pass the test of their grid, and 2 gain more than nothing and than holding; 1 of" in said
    )
    assert "2 of 4 lose on the holdout, where short positions ruin 0; the median rule has +6 % on validation" in said
    assert "on validation and -2 % on the holdout, where holding has +5 %" in said
    assert said.endswith("where holding has +5 %. 1 more have no rule.")


def test_a_rule_that_lost_all_is_called_ruined_and_has_no_interval() -> None:
    lost = rule(9, -150)
    lost["holdout"]["max_drawdown_pct"] = 160.0
    row = command._shown_rule(lost)
    assert (row["validation"], row["holdout"], row["90 % of the difference"]) == ("+9 %", "-150 %, ruined", None)
    assert "where short positions ruin 1;" in rules_sentence(SeriesRules([lost], []), COSTS)


def called(monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    def gathered(home: Path, costs: Costs, processes: int, _: Any) -> SeriesRules:
        assert (home, costs, processes) == (Path("somewhere"), COSTS, 1)
        return RULES

    monkeypatch.setattr(rule_evidence, "rule_evidence", gathered)
    result = CliRunner().invoke(application, ["rule-evidence", "--home", "somewhere", "--processes", "1", *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_puts_sentence_and_table_into_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(
        "before\n<!-- rule-evidence:begin -->\nstale\n<!-- rule-evidence:end -->\nafter\n", encoding="utf-8"
    )
    called(monkeypatch, "--markdown", str(file))
    text = file.read_text("utf-8")
    assert text.startswith(f"before\n<!-- rule-evidence:begin -->\n{rules_sentence(RULES, COSTS)}\n\n| symbol |")
    first = "| BTC/USDT | 1h | direction | ridge | +30 % | +5 % | 0.030 | -4 % | +5 % | -9 % .. +1 % | 40 | no |"
    assert first in text and "stale" not in text
    assert text.endswith("<!-- rule-evidence:end -->\nafter\n")


def test_the_command_prints_records_for_programs_and_a_table_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(called(monkeypatch, "--json")) == RULES.rules
    text = called(monkeypatch)
    assert rules_sentence(RULES, COSTS) in text and "No rule: x" in text
    assert command.RULE_COLUMNS[0] in text


@pytest.mark.e2e
def test_worker_processes_give_the_same_rules(home: Path, found: SeriesRules) -> None:
    assert rule_evidence.rule_evidence(home, COSTS, 1, SILENT) == found
    assert isinstance(searched_in(home)[0], Searched)
