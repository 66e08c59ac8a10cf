"""The nightly run verifies the chains first: a problem is shown, logged and published, and stops nothing by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.reporting import TerminalReporter
from flows.settings import SealSettings, Settings
from flows.workspace.workspace import Workspace
from ml.errors import ServiceError, StoreError
from ml.forecasting.seals import ChainReport


def run(step: Any, workspace: Workspace) -> None:
    with TerminalReporter(Console(width=200)) as reporter:
        step(workspace, reporter)


def test_a_broken_chain_is_published_at_once_where_something_was_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows import pipeline  # noqa: PLC0415 - loads Prefect

    workspace, published, logged = Workspace(tmp_path, Settings()), [], []
    # Prefect replaces the handlers of the root logger when it is imported.
    monkeypatch.setattr(pipeline._logger, "warning", lambda _, text: logged.append(text))

    def publish(_: Workspace) -> None:
        published.append(len(published))
        if len(published) > 1:
            raise StoreError("Not built yet")

    monkeypatch.setattr(pipeline, "publish_marts", publish)
    for problem in ("", "rules/0000000002.json is the first bad record", "the same before anything was built"):
        reports = [ChainReport("rules", 1, "f", problem), ChainReport("signals", 4, "f", problem)]

        def verify(_: Workspace, now: datetime, reports: list[ChainReport] = reports) -> list[ChainReport]:
            assert now.tzinfo == UTC
            return reports

        monkeypatch.setattr(pipeline, "verify_chains", verify)
        logged.clear()
        run(pipeline.run_verification, workspace)
        assert "5 records" in capsys.readouterr().out
        assert logged == ([problem] if problem else [])
    assert published == [0, 1]


def test_an_authority_that_fails_is_a_warning_and_without_one_there_is_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows import pipeline  # noqa: PLC0415 - loads Prefect

    def stamp(*_: Any) -> str:
        raise ServiceError("It gave no valid stamp.")

    monkeypatch.setattr(pipeline, "anchor", stamp)
    run(pipeline.run_anchor, Workspace(tmp_path, Settings()))
    assert capsys.readouterr().out == ""
    seal = SealSettings(timestamp_url="http://127.0.0.1:1")
    run(pipeline.run_anchor, Workspace(tmp_path, Settings(seal=seal)))
    assert "Warning: It gave no valid stamp." in capsys.readouterr().out
