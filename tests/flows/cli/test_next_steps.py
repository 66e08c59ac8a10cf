"""Each single step says what comes next, with commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import flows.cli  # noqa: F401 - registers the commands
from flows.cli.application import application
from flows.cli.steps import NEXT
from flows.forecasting.publish import publish
from flows.workspace.workspace import Workspace
from ml.errors import StoreError
from tests.flows.conftest import installation_at


def test_every_step_names_commands_that_there_are() -> None:
    names = {command.name or getattr(command.callback, "__name__", "") for command in application.registered_commands}
    for step, advice in NEXT.items():
        told = re.findall(r"`candleworks (\w+)`", advice)
        assert step in names and told and set(told) <= names


@pytest.fixture
def empty(tmp_path: Path) -> Workspace:
    return installation_at(tmp_path, "http://127.0.0.1:9")


def test_publish_on_a_home_that_is_not_built_names_what_is_missing(empty: Workspace) -> None:
    with pytest.raises(
        StoreError, match=r"Not built yet: dim_markets, .*fct_leaderboard.* Run `candleworks transform`"
    ):
        publish(empty)
    assert not empty.store.list("published")


def test_what_comes_next_stands_on_the_error_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.forecasting.publish.publish", lambda _: ("v7", True))
    done = CliRunner().invoke(application, ["publish", "--home", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (0, "version v7\n")
    assert done.stderr == f"Next: {NEXT['publish']}.\n"
