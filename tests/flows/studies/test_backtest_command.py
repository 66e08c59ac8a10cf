"""`candleworks backtest`: costs and luck first, and each error with its remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import application
from ml.data.dataset_pointers import CURRENT
from ml.data.datasets import write_dataset
from ml.errors import CaseError
from ml.execution.chunks import Chunk, run_chunk
from ml.search.cases import TestCase
from ml.store import Store
from tests.synthetic import SERIES, make_case, make_dataset

pytestmark = pytest.mark.e2e


def home_with(folder: Path, *cases: TestCase) -> list[str]:
    """The arguments for a home whose newest dataset has results of cases."""
    store = Store(folder / "store")
    dataset_id = write_dataset(store, make_dataset(1500, edge=0.5), "test")
    store.replace(f"{CURRENT}/{SERIES.slug}.json", json.dumps({"dataset_id": dataset_id, "through_ms": 0}).encode())
    if cases:
        run_chunk(store, Chunk(dataset_id, cases), lease_seconds=60, code_version="test")
    return ["backtest", "--home", str(folder)]


def test_the_best_case_that_learns_the_close_is_traded(tmp_path: Path) -> None:
    weak, strong = make_case(params={"alpha": 1e6}), make_case(params={"alpha": 1.0})
    home = home_with(tmp_path, weak, strong, make_case(close=None))
    shown = CliRunner().invoke(application, home)
    assert shown.exit_code == 0, shown.output
    said = " ".join(shown.output.split())
    assert said.startswith("After 0.10% a side: ")
    assert "These are the validation rows, on which the case was selected: they flatter it." in said
    assert strong.key[:8] in said
    (record,) = json.loads(CliRunner().invoke(application, [*home, "--json", "--case", weak.key[:8]]).stdout)
    assert record["case_key"] == weak.key
    dear = json.loads(CliRunner().invoke(application, [*home, "--json", "--fee", "0.01"]).stdout)[0]
    cheap = json.loads(CliRunner().invoke(application, [*home, "--json", "--fee", "0"]).stdout)[0]
    assert dear["total_return"] < cheap["total_return"]


@pytest.mark.parametrize(
    ("cases", "options", "message"),
    [
        ((), ["--timeframe", "7h"], "There is no dataset of BTC/USDT 7h. There are: BTC/USDT 1h."),
        ((make_case(close=None),), [], "No result learns the close"),
        ((make_case(),), ["--case", "zz"], "No results on the newest dataset have the key 'zz'"),
        ((make_case(close=None),), ["--case", make_case(close=None).key], 'Use one with close = "learnt"'),
    ],
)
def test_what_cannot_be_traded_is_said_in_one_line(
    tmp_path: Path, cases: tuple[TestCase, ...], options: list[str], message: str
) -> None:
    outcome = CliRunner().invoke(application, [*home_with(tmp_path, *cases), *options])
    assert isinstance(outcome.exception, CaseError)
    assert message in str(outcome.exception)
