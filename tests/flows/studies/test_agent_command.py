"""`candleworks agent`: costs and luck first, a report once, stricter with every other one, errors with a remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import application
from ml.agent.settings import PRESETS
from ml.canaries.markets import SERIES, Trial, canary_market
from ml.data.dataset_pointers import CURRENT
from ml.data.datasets import write_dataset
from ml.errors import CaseError
from ml.store import Store

pytestmark = pytest.mark.e2e


def home_with(folder: Path, trial: Trial) -> list[str]:
    """The arguments for a home with the dataset of a market."""
    store = Store(folder / "store")
    dataset_id = write_dataset(store, canary_market(trial), "test")
    store.replace(f"{CURRENT}/{SERIES.slug}.json", json.dumps({"dataset_id": dataset_id, "through_ms": 0}).encode())
    return ["agent", "--home", str(folder), "--symbol", SERIES.symbol, "--timeframe", SERIES.timeframe]


def test_agents_are_reported_once_per_question(tmp_path: Path) -> None:
    home = home_with(tmp_path, Trial(2000, 1, edge=0.5))
    shown = CliRunner().invoke(application, [*home, "--seeds", "2"])
    assert shown.exit_code == 0, shown.output
    said = " ".join(shown.output.split())
    assert said.startswith("After 0.10% a side, on ")
    assert "in the mean of 2 seeds, buy & hold" in said
    assert (
        "the only report on these candles: gains, and gains more than holding, on candles that chose nothing." in said
    )
    assert "buy & hold" in shown.output.splitlines()[-2]
    (record,) = json.loads(CliRunner().invoke(application, [*home, "--seeds", "2", "--json"]).stdout)
    assert [one["seed"] for one in record["seeds"]] == [0, 1]
    assert record["openings"] == 1  # the same question: read, not asked again
    assert record["level"] == pytest.approx(0.05)
    assert record["is_promoted"]
    factory = [*home, "--seeds", "1", "--preset", "bitcoin_factory", "--seconds", "1"]
    (other,) = json.loads(CliRunner().invoke(application, [*factory, "--json"]).stdout)
    assert other["openings"] == 2
    assert other["level"] == pytest.approx(0.025)
    assert other["fee"] == PRESETS["bitcoin_factory"].fee
    assert other["seeds"][0]["stopped"] == "time"
    assert "report 2 on these candles: not promoted, " in CliRunner().invoke(application, factory).output


def test_a_series_without_agents_is_named_with_the_remedy(tmp_path: Path) -> None:
    few = CliRunner().invoke(application, home_with(tmp_path, Trial(500, 1)))
    assert isinstance(few.exception, CaseError)
    assert "Ingest more candles" in str(few.exception)
    none = CliRunner().invoke(application, ["agent", "--home", str(tmp_path), "--timeframe", "7h"])
    assert "There is no dataset of BTC/USDT 7h. There are: NULL/USD 4h." in str(none.exception)
