"""`sweep`, `export` and `results` by hand: spaces are checked before any work, and what was done can be seen."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import flows.cli  # noqa: F401 - registers the commands
from flows.cli.application import application
from flows.pools.local_pool import LocalPool
from flows.reporting import SILENT
from flows.sweep.sweep import build_sweep
from flows.warehouse import export, feature_columns
from flows.warehouse.feature_columns import search_spaces, wanted_groups
from flows.workspace.workspace import Workspace, open_workspace
from ml.data.datasets import write_dataset
from ml.errors import CaseError, ConfigurationError, StoreError
from ml.execution.chunks import Chunk, run_chunk
from ml.search.cases import TestCase
from tests.synthetic import FEATURES, make_case, make_dataset

CATALOGUE = dict(zip(FEATURES, ("range", "range", "returns"), strict=True)) | {"moon": "astrology"}
SETTINGS = """
[exchange]
id = "test"
[markets]
symbols = ["BTC/USDT"]
timeframes = ["1h"]
[sweep]
processes = 2
search_spaces = ["spaces/mine.toml"]
"""
SPACE = """
[[space]]
name = "mine"
model = "ridge"
lags = [1, 2]
[space.groups]
range = "both"
returns = "on"
[space.params]
alpha = [1, 1.0, 3]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file with a space beside it, and another folder as the current one, as a deployed run has it."""
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "mine.toml").write_text(SPACE)
    (tmp_path / "candleworks.toml").write_text(SETTINGS)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for module in (feature_columns, export):
        monkeypatch.setattr(module, "catalogue_groups", lambda _: CATALOGUE, raising=False)
    monkeypatch.setattr("flows.sweep.sweep.catalogue_groups", lambda _: CATALOGUE)
    return tmp_path


def opened(folder: Path) -> Workspace:
    return open_workspace(folder / "home", folder / "candleworks.toml")


@pytest.fixture
def workspace(folder: Path) -> Workspace:
    """With a dataset, and no result."""
    made = opened(folder)
    made.store.require_schema()
    dataset_id = write_dataset(made.store, make_dataset(800), "code")
    (series,) = made.settings.series()
    pointer = {"dataset_id": dataset_id, "through_ms": 0, "since_load_id": 0}
    made.store.replace(f"datasets/current/{series.slug}.json", json.dumps(pointer).encode())
    return made


def done(workspace: Workspace, *cases: TestCase) -> None:
    dataset_id = next(iter(export.require_datasets(workspace).values()))["id"]
    run_chunk(workspace.store, Chunk(dataset_id, cases), lease_seconds=60, code_version="code")


def run(folder: Path, *arguments: str) -> Result:
    places = ["--home", str(folder / "home"), "--config", str(folder / "candleworks.toml")]
    return CliRunner().invoke(application, [*arguments, *places])


def test_spaces_are_read_from_the_folder_of_the_settings(folder: Path) -> None:
    assert [space.name for space in search_spaces(opened(folder))] == ["mine"]
    (folder / "spaces" / "mine.toml").rename(folder / "other.toml")
    with pytest.raises(CaseError, match=r"mine\.toml .*Name an existing file"):
        search_spaces(opened(folder))


def test_a_store_is_found_from_the_folder_of_the_settings(folder: Path) -> None:
    (folder / "candleworks.toml").write_text(SETTINGS + '[storage]\nurl = "shared/store"\n')
    assert Path(opened(folder).store_url) == folder / "shared" / "store"
    (folder / "candleworks.toml").write_text(SETTINGS + '[storage]\nurl = "memory://x"\n')
    assert opened(folder).store_url == "memory://x"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('symbols = ["BTC/USDC"]', "Unknown symbol 'BTC/USDC'. Did you mean 'BTC/USDT'?"),
        ('timeframes = "4h"', "No series has its timeframes 4h. There are: 1h."),
    ],
)
def test_a_space_for_what_is_not_configured_is_refused_unless_it_may_be_skipped(
    folder: Path, line: str, message: str
) -> None:
    space = folder / "spaces" / "mine.toml"
    space.write_text(SPACE.replace("lags", f"{line}\nlags"))
    for command in ("sweep", "export", "up"):
        error = run(folder, command).exception
        assert isinstance(error, CaseError), command
        assert str(error).startswith(f"{space}: Search space 'mine': {message}")
    # The remedy of the message.
    (folder / "candleworks.toml").write_text(SETTINGS + 'unused_spaces = "skip"\n')
    assert len(search_spaces(opened(folder))) == 1


def test_export_refuses_groups_that_the_catalogue_does_not_have(folder: Path) -> None:
    (folder / "spaces" / "mine.toml").write_text(SPACE.replace("returns", "return"))
    with pytest.raises(CaseError, match=r"'mine': Unknown group 'return'. Did you mean 'returns'\?"):
        wanted_groups(opened(folder))


def test_a_dry_run_tells_cases_trials_and_time_and_does_nothing(folder: Path, workspace: Workspace) -> None:
    tried = [
        make_case(features=FEATURES, lags=lags, close=None).model_copy(update={"series": series})
        for lags in (1, 2)
        for series in workspace.settings.series()
    ]
    done(workspace, *tried)
    with workspace.warehouse.locked(), workspace.warehouse.connect() as connection:
        for key in ("known", tried[0].key):
            connection.execute(
                "insert into raw.results by name select ? as case_key, 'test' as exchange, 'BTC/USDT' as symbol, "
                "'1h' as timeframe",
                [key],
            )
    before = workspace.store.list("results"), workspace.store.list("claims")
    (record,) = json.loads(run(folder, "sweep", "--dry-run", "--json").stdout)
    assert record["estimated_seconds"] > 0
    # 2 feature sets, 2 lags, 2 alphas (1 and 1.0 are one); the two that are done are among them.
    assert {name: record[name] for name in ("spaces", "cases", "with_result", "to_do", "n_before", "n_after")} == {
        "spaces": "mine",
        "cases": 8,
        "with_result": 2,
        "to_do": 6,
        "n_before": 2,
        "n_after": 8,
    }
    assert (workspace.store.list("results"), workspace.store.list("claims")) == before
    assert "BTC/USDT" in run(folder, "sweep", "--dry-run").stdout


def test_another_space_and_only_some_series_can_be_swept(folder: Path, workspace: Workspace) -> None:
    (folder / "elsewhere" / "one.toml").write_text(SPACE.replace("both", "on").replace("[1, 2]", "5"))
    arguments = ("sweep", "--dry-run", "--json", "--space", "one.toml")
    (record,) = json.loads(run(folder, *arguments, "--symbol", "BTC/USDT", "--timeframe", "1h").stdout)
    assert record["cases"] == 2
    for option, message in (("--symbol", "Unknown symbol 'ETH'"), ("--timeframe", "Unknown timeframe 'ETH'")):
        error = run(folder, *arguments, option, "ETH").exception
        assert isinstance(error, ConfigurationError) and message in str(error)
    (folder / "elsewhere" / "one.toml").write_text(SPACE.replace("returns", "astrology"))
    error = run(folder, *arguments).exception
    assert isinstance(error, StoreError) and "lacks moon" in str(error) and "with the same --space" in str(error)
    columns = wanted_groups(feature_columns.with_spaces(workspace, [Path("one.toml")]))
    assert "moon" in columns  # the remedy of the message


@contextlib.contextmanager
def _here(home: Workspace, *_: Any, **__: Any) -> Iterator[Any]:
    """Runs the work as `run_flow` does, without a server."""
    yield lambda _name, work, *arguments: work(home, *arguments, SILENT)


@pytest.mark.parametrize(
    ("counts", "code"), [({}, 0), ({"cases_failed": 1}, 1), ({"cases_done": 1}, 1), ({"series_left_out": 1}, 1)]
)
def test_the_exit_code_of_a_sweep_says_whether_all_was_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch, counts: dict[str, int], code: int
) -> None:
    done = {"cases_total": 2, "cases_done": 2, "cases_failed": 0, "series_left_out": 0} | counts
    given: list[Any] = []
    monkeypatch.setattr("flows.server.flow_runs.run_flow", _here)
    monkeypatch.setattr("flows.sweep.run.run_sweep", lambda *arguments: given.append(arguments) or done)
    assert run(folder, "sweep", "--symbol", "BTC/USDT").exit_code == code
    ((home, pool, reporter, only),) = given
    assert (home.home, reporter, [one.symbol for one in only]) == (folder / "home", SILENT, ["BTC/USDT"])
    assert isinstance(pool, LocalPool)


def test_why_cases_failed_is_told_grouped_by_the_reason(workspace: Workspace) -> None:
    (series,) = workspace.settings.series()
    cases = [make_case(lags=lags, close=None).model_copy(update={"series": series}) for lags in (1, 498, 499, 500)]
    done(workspace, *cases)
    (space,) = search_spaces(workspace)
    wide = space.model_copy(update={"lags": (1, 498, 499, 500), "groups": {"range": "on", "returns": "on"}})
    manifests = export.require_datasets(workspace)
    sweep = build_sweep(workspace.store, [wide], manifests, CATALOGUE, chunk_seconds=1, processes=1)
    plan = sweep.round()
    plan.count_all()
    lines = sweep.failures(plan)
    assert sum(int(line.split()[0]) for line in lines) == 3
    assert all("of ridge failed: " in line and "`candleworks results --status failed`" in line for line in lines)


def test_results_lists_all_kinds_of_cases_with_filters(folder: Path, workspace: Workspace) -> None:
    (series,) = workspace.settings.series()
    cases = [
        make_case(lags=1),
        make_case(walk_forward={"refit_every": 50}),
        make_case(lags=500),
        make_case(model="lightgbm", params={"trees": 3}),
    ]
    cases = [case.model_copy(update={"series": series}) for case in cases]
    done(workspace, *cases)
    assert run(folder, "results").stdout.count("BTC/USDT") == 4
    records = json.loads(run(folder, "results", "--json").stdout)
    skills = [row["skill"] for row in records[:3]]
    assert skills == sorted(skills, reverse=True)
    assert [row["status"] for row in records] == ["tested"] * 3 + ["failed"]
    assert {row["walk_forward"] for row in records} == {None, "every 50"}
    (failed,) = json.loads(run(folder, "results", "--status", "failed", "--json").stdout)
    assert failed["case_key"] == cases[2].key and failed["error"]
    assert failed["error"].split()[0] in run(folder, "results", "--status", "failed").stdout
    (one,) = json.loads(run(folder, "results", cases[3].key[:6], "--json").stdout)
    assert json.loads(one["params"])["trees"] == 3
    (row,) = csv.DictReader(io.StringIO(run(folder, "results", "--model", "lightgbm", "--csv").stdout))
    assert row["case_key"] == cases[3].key
    assert len(json.loads(run(folder, "results", "--top", "2", "--json").stdout)) == 2
    for option, value in (("--model", "oracle"), ("--status", "open"), ("--symbol", "X/Y"), ("--target", "moon")):
        error = run(folder, "results", option, value).exception
        assert isinstance(error, ConfigurationError) and value in str(error) and "there are" in str(error)
    assert isinstance(run(folder, "results", "zzz").exception, ConfigurationError)
    assert isinstance(run(folder, "results", "--json", "--csv").exception, ConfigurationError)


def test_results_of_older_datasets_are_there_on_demand(folder: Path, workspace: Workspace) -> None:
    (series,) = workspace.settings.series()
    case = make_case().model_copy(update={"series": series})
    older = write_dataset(workspace.store, make_dataset(900), "code")
    run_chunk(workspace.store, Chunk(older, (case,)), lease_seconds=60, code_version="code")
    none = run(folder, "results")
    assert none.stdout.strip() == "Results: none"
    assert "--all lists those of 1 others" in none.stderr
    (row,) = json.loads(run(folder, "results", "--all", "--json").stdout)
    assert row["dataset_id"] == older
