"""The weekly flow as a whole: a night makes champions, a week later they are reviewed on the candles since."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from flows.replay import RecordedCandles, ReplayClock, ReplayServer
from flows.server.flow_runs import run_flow
from flows.warehouse.verification import verify_home
from flows.workspace.workspace import Workspace
from ml.data.datasets import read_manifest
from ml.forecasting.chain import Chain
from ml.forecasting.published import read_table
from ml.promotion.verdicts import champions, read_verdicts
from ml.timeframes import DAY_MS
from tests.flows.conftest import START_MS, installation_at
from tests.flows.shared_services import SharedServices

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("small_dbt")]

WEEK_MS = 7 * DAY_MS
NIGHT_MS = START_MS + 123 * DAY_MS


@pytest.mark.timeout(900)
def test_a_week_reviews_the_champions_of_the_night_on_newer_candles(
    tmp_path: Path, recorded: Path, config: Path, shared_services: SharedServices
) -> None:
    space = str(config.parent / "space.toml")
    with ReplayServer(RecordedCandles(recorded, "binance"), ReplayClock(NIGHT_MS)) as server:
        workspace = installation_at(
            shared_services.attach(tmp_path),
            server.url,
            sweep={"search_spaces": [space], "processes": 1},
            promotion={"minimal_days": 10, "minimal_tenure_days": 0, "alpha": 0.2},
        )
        with run_flow(workspace, Console(quiet=True), quiet=True) as run:
            from flows.pipeline import run_night, run_week  # noqa: PLC0415 - after the server's address is set

            run("nightly", run_night)
            of_the_night = _tested_last(workspace)
            reigning = champions(workspace.store, workspace.settings.series())
            assert reigning, "nobody to review"
            server.clock.set(NIGHT_MS + WEEK_MS)
            first = run("review", run_week)
            again = run("review", run_week)
            of_the_day = _tested_last(workspace)
    # the night runs all data tests, over what the flows themselves wrote; other runs those that an hour can break
    assert of_the_day < of_the_night
    assert any(name.startswith("relationships_fct_forecasts") for name in of_the_night - of_the_day)
    assert {verdict["decision"] for verdict in first["verdicts"]} <= {"confirmed", "retired"}
    assert len(first["verdicts"]) == len(reigning)
    assert first["forecasts"] == len(workspace.settings.series())
    assert (again["verdicts"], again["forecasts"], again["scores"]) == ([], 0, 0)
    assert Chain(workspace.store, "verdicts").verify() == len(read_verdicts(workspace.store))
    reports = verify_home(workspace)
    assert not any(report.problem or report.unsigned for report in reports)
    assert all(report.replayed == report.records for report in reports), "the exchange is a recorded one"
    assert {row["problem"] for row in read_table(workspace.store, "chains")} == {""}, "verified and published"
    for verdict in first["verdicts"]:
        assert _last_ms(workspace, verdict) > max(_last_ms(workspace, one) for one in reigning.values())


def _tested_last(workspace: Workspace) -> set[str]:
    """Names of the tests of the marts that passed; none may have done anything else, such as warn."""
    results = json.loads((workspace.dbt_target / "run_results.json").read_text("utf-8"))["results"]
    tests = [result for result in results if result["unique_id"].startswith(("test.", "unit_test."))]
    assert {(result["status"], result["unique_id"].partition(".")[0]) for result in tests} == {("pass", "test")}
    return {result["unique_id"].split(".")[2] for result in tests}


def _last_ms(workspace: Workspace, verdict: dict[str, str]) -> int:
    return int(read_manifest(workspace.store, verdict["dataset_id"])["last_open_time_ms"])
