"""A rehearsal's home: settings that read back the same, deployments that wait for the driver."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flows.server.deploy import DEPLOYMENTS
from flows.settings import load_settings
from flows.simulation.preparation import (
    SMALL_SPACE,
    overrides_for,
    require_unused,
    write_deployments,
    write_settings,
)
from ml.errors import ConfigurationError
from ml.search.spaces import read_search_spaces


def test_the_settings_of_a_rehearsal_read_back_the_same(config: Path, tmp_path: Path) -> None:
    settings = load_settings(config, overrides_for(config, ["4h", "1d"], tmp_path))

    again = load_settings(write_settings(settings, tmp_path / "home"))

    assert again == settings
    assert again.markets.timeframes == ("4h", "1d")
    assert again.sweep.search_spaces == load_settings(config).sweep.search_spaces


def test_without_search_spaces_of_ones_own_a_small_one_is_taken(tmp_path: Path) -> None:
    config = tmp_path / "candleworks.toml"
    config.write_text('[markets]\nbase_timeframe = "1h"\n')

    overrides = overrides_for(config, ["15m", "1h"], tmp_path)

    assert overrides["sweep"]["search_spaces"] == [str(SMALL_SPACE)]
    assert overrides["markets"]["base_timeframe"] == "15m"
    assert len(read_search_spaces(SMALL_SPACE)) == 2


def test_the_deployments_are_the_real_ones_with_their_schedules_paused(tmp_path: Path) -> None:
    real = yaml.safe_load((DEPLOYMENTS / "prefect.yaml").read_text())

    paused = yaml.safe_load((write_deployments(tmp_path) / "prefect.yaml").read_text())

    schedules = [one for deployment in paused["deployments"] for one in deployment.get("schedules", [])]
    assert len(schedules) == 6
    assert not any(schedule.pop("active") for schedule in schedules)
    for deployment in real["deployments"]:
        for schedule in deployment.get("schedules", []):
            schedule.pop("active")
    assert paused == real
    assert (tmp_path / "deployments" / "work-pools" / "coordinator.json").exists()


@pytest.mark.parametrize("left", ["store", "warehouse.duckdb"])
def test_a_home_with_earlier_work_is_refused(tmp_path: Path, left: str) -> None:
    (tmp_path / left).mkdir()

    with pytest.raises(ConfigurationError, match=r"holds earlier work.*Choose a new folder with --home"):
        require_unused(tmp_path)
