"""The comparison with vectorbt: it says which side is missing, and ends with an error if the sides differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ml.trading.ledger import run_ledger
from ml.trading.thresholds import threshold_targets
from tests.benchmarks import backtest
from tests.trading import market, times_of


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> backtest.Market:
    monkeypatch.setattr(backtest, "thresholds", lambda: np.array([[0.1, -0.1], [0.4, -0.2]]))
    candles = market(60, 1)
    return backtest.Market(candles, times_of(candles), np.random.default_rng(1).normal(0, 0.3, 60))


def other_side(small: backtest.Market, error: float) -> object:
    """A `run_script` in which the ledger is the other side, apart by a relative error."""

    def run_script(_script: Path, arguments: list[str], *_: object) -> None:
        if not arguments:
            return
        with np.load(arguments[0]) as data:
            short = not bool(data["is_long_short"])
            targets = [threshold_targets(data["score"], *pair, long_only=short) for pair in data["pairs"]]
            cash = float(data["cash"])
        ends = [
            run_ledger(small.candles, small.times, target, cash=cash, costs=backtest.COSTS).equity[-1]
            for target in targets
        ]
        np.savez(arguments[1], equity=np.array(ends) * (1 + error), seconds=2.0)

    return run_script


@pytest.mark.parametrize("is_long_short", [False, True])
def test_both_sides_are_printed_and_have_to_agree(
    small: backtest.Market,
    is_long_short: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(backtest, "run_script", other_side(small, 0.0))
    backtest.compare("backtest", small, is_long_short, tmp_path)
    shown = capsys.readouterr()
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert [(line["name"], line["reference"]) for line in lines] == [("backtest", 5.0), ("backtest_vectorbt", 2.0)]
    assert "apart at most" in shown.err
    monkeypatch.setattr(backtest, "run_script", other_side(small, 1e-8))
    with pytest.raises(SystemExit, match=r"the equities are 1\.0e-08 apart"):
        backtest.compare("backtest", small, is_long_short, tmp_path)


def test_a_vectorbt_that_cannot_be_installed_is_skipped_and_one_that_fails_is_not(
    small: backtest.Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(*_: object) -> None:
        raise RuntimeError("no such package")

    def broken(_script: Path, arguments: list[str], *_: object) -> None:
        if arguments:
            raise RuntimeError("shapes differ")

    monkeypatch.setattr(backtest, "run_script", absent)
    backtest.compare("backtest", small, False, tmp_path)
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1
    assert shown.err == "backtest: skipped, vectorbt cannot be installed or loaded: no such package\n"
    monkeypatch.setattr(backtest, "run_script", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        backtest.compare("backtest", small, False, tmp_path)


def test_without_candles_the_backtest_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANDLEWORKS_CANDLES", str(tmp_path))
    backtest.backtest("backtest")
    assert capsys.readouterr().err.startswith("backtest: skipped, no recorded candles at ")
