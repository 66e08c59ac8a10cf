"""`candleworks canary`: the same report from any number of processes, and an exit code that tells dead from alive."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from typer.testing import CliRunner

from flows.cli.application import application
from flows.reporting import SILENT
from flows.studies import canary
from ml.canaries.markets import Trial
from ml.canaries.report import Findings, Plan, Report, TradingReport, examine
from ml.canaries.selection import GateDecision, Outcome, Selection, run_trial
from ml.canaries.trading import RuleChoice, run_trading_trial
from ml.promotion.challengers import challenger_of
from ml.promotion.settings import PromotionSettings
from ml.trading.costs import Costs
from ml.trading.signals import read_signals
from tests.canary_trials import each_market_evaluated_once

pytestmark = pytest.mark.e2e

#: Two null markets, a strong edge in two of one size.
TINY = Plan(2, power_seeds=1, confirming_seeds=1, null_rows=1_200, edge=0.6, power_rows=(1_200,))
BROKEN = Selection(challenger_of, PromotionSettings(), gate=lambda *_: GateDecision(True, True, "crowned unseen"))


def here(plan: Plan, selection: Selection) -> Report:
    def run(_: str, trials: Sequence[Trial]) -> list[Outcome]:
        return [run_trial(trial, selection) for trial in trials]

    return examine(plan, run)


@pytest.fixture(scope="module", autouse=True)
def evaluated_once() -> Iterator[None]:
    with each_market_evaluated_once():
        yield


@pytest.fixture(scope="module")
def report() -> Report:
    return here(TINY, Selection(challenger_of, PromotionSettings()))


def test_the_report_does_not_depend_on_the_processes(report: Report) -> None:
    again = canary.run_canary(TINY, PromotionSettings(), 2, SILENT)
    assert again.findings == report.findings
    assert (again.cases, again.named_rows) == (report.cases, report.named_rows)
    # Another number of threads may round otherwise.
    assert again.picked_skill == pytest.approx(report.picked_skill, abs=1e-9)
    assert again.fresh_skill == pytest.approx(report.fresh_skill, abs=1e-9)


def called(monkeypatch: pytest.MonkeyPatch, report: Findings, *options: str) -> tuple[int, str, Plan]:
    """Exit code and output of the command, and the plan that it asked for, when the trials come to this report."""
    plans: list[Plan] = []

    def runs(asked: object) -> Any:
        def run(plan: Plan, settings: object, processes: int, reporter: Any) -> Findings:
            assert settings == asked
            plans.append(plan)
            return report

        return run

    monkeypatch.setattr(canary, "run_canary", runs(PromotionSettings(alpha=0.02)))
    monkeypatch.setattr(canary, "run_trading_canary", runs(Costs.flat(0.002, 0.001)))
    monkeypatch.setenv("CANDLEWORKS_PROMOTION__ALPHA", "0.02")
    monkeypatch.setenv("CANDLEWORKS_TRADING__FEE", "0.002")
    monkeypatch.setenv("CANDLEWORKS_TRADING__SLIPPAGE", "0.001")
    result = CliRunner().invoke(application, ["canary", *options])
    return result.exit_code, result.stdout, plans[0]


def test_a_selection_that_is_alive_ends_with_0(monkeypatch: pytest.MonkeyPatch, report: Report) -> None:
    code, output, plan = called(monkeypatch, report, "--seeds", "100")
    assert (code, plan) == (0, Plan.of(100))
    assert "All canaries are alive." in output
    assert "The planted edge is found from 1,200 rows on." in output
    assert "of 208 cases tried on each" in output


def test_a_broken_selection_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    report = here(TINY, BROKEN)
    code, output, plan = called(monkeypatch, report, "--quick", "--json")
    assert (code, plan) == (1, Plan.of(20))
    records = json.loads(output)
    assert [(record["market"], record["crowned"], record["alive"]) for record in records] == [
        ("null", 2, False),
        *[("null", record["crowned"], None) for record in records[1:4]],
        ("range", 2, False),
        ("planted", 1, None),
        ("planted", 1, True),
    ]


def test_an_edge_that_is_never_found_is_told(monkeypatch: pytest.MonkeyPatch, report: Report) -> None:
    nothing = replace(report.findings[-1], rule="no size named", rows=0, markets=0, crowned=0, alive=False)
    blind = replace(report, findings=(*report.findings[:-1], nothing), named_rows=None)
    code, output, _ = called(monkeypatch, blind)
    assert code == 1
    assert "The planted edge is found at no size that was tried." in output
    assert "A canary died" in output


@contextmanager
def in_this_process(_: int) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture(scope="module")
def traded(report: Report) -> TradingReport:
    """The same markets, on which rules are chosen; only the processes are left out."""
    with mock.patch.object(canary, "_workers", in_this_process):
        return canary.run_trading_canary(TINY, Costs.flat(0.001), 1, SILENT)


def test_the_choice_of_rules_finds_the_edge_and_nothing_else(traded: TradingReport) -> None:
    assert traded.alive and traded.named_rows == 1_200
    assert (traded.rules, traded.wanted) == (8, 8)


def test_a_trial_of_the_choice_of_rules_can_be_sent_to_a_process() -> None:
    choice = RuleChoice(tuple(read_signals([])), Costs.flat(0.001))
    sent = pickle.loads(pickle.dumps(partial(run_trading_trial, choice=choice)))
    assert sent.func is run_trading_trial and sent.keywords == {"choice": choice}


def test_the_choice_of_rules_has_a_report_of_the_same_form(
    monkeypatch: pytest.MonkeyPatch, traded: TradingReport, tmp_path: Path
) -> None:
    code, output, plan = called(monkeypatch, traded, "--trading", "--seeds", "100")
    assert (code, plan) == (0 if traded.alive else 1, Plan.of_trading(100))
    assert "Markets with a rule shown better than holding after 0.30% a side, of 208 cases tried on each" in output
    assert "8 of 8 rules could be chosen" in output
    assert "whole choice, no fees" in output
    file = tmp_path / "README.md"
    file.write_text("<!-- trading-canary:begin -->\n<!-- trading-canary:end -->\n", encoding="utf-8")
    _, nothing, _ = called(monkeypatch, traded, "--trading", "--markdown", str(file))
    assert not nothing
    lines = file.read_text("utf-8").splitlines()
    assert lines[:3] == ["<!-- trading-canary:begin -->", "```", output.splitlines()[0].rstrip()]
    assert lines[-2:] == ["```", "<!-- trading-canary:end -->"]


def test_the_report_on_the_selection_is_written_into_its_own_block(
    monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    _, block, _ = called(monkeypatch, report, "--markdown", "-")
    _, output, _ = called(monkeypatch, report)
    assert block == "```\n" + "\n".join(line.rstrip() for line in output.splitlines()) + "\n```\n"
