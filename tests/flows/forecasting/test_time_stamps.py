"""Chains anchored with a time-stamp authority: verification says until which record, and finds a rewritten chain."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

import flows.cli  # noqa: F401 - registers the commands
from flows.cli.application import application
from flows.forecasting.anchor import stamp_heads
from flows.settings import SealSettings, Settings, load_settings
from flows.warehouse.verification import verify_home
from flows.workspace.workspace import Workspace
from ml.errors import ConfigurationError, ServiceError
from ml.forecasting.seals import ChainReport
from tests.fakes.timestamps import NAME, Authority, make_keys, running_authority

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="the authority of the tests is `openssl ts`"),
]
NOW = datetime(2026, 1, 1, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with running_authority(tmp_path_factory.mktemp("authority")) as authority:
        yield authority


@pytest.fixture
def workspace(tmp_path: Path, authority: Authority) -> Workspace:
    authority.instead, authority.status = None, 200
    seal = SealSettings(timestamp_url=authority.url, timestamp_roots=str(authority.roots), timeout_seconds=5)
    workspace = Workspace(tmp_path / "home", Settings(seal=seal))
    append(workspace, 2)
    return workspace


def append(workspace: Workspace, n: int) -> None:
    chain = workspace.chain("rules")
    for number in range(n):
        chain.append({"number": number})  # type: ignore[typeddict-unknown-key, typeddict-item]


def rules(workspace: Workspace) -> ChainReport:
    (found,) = [report for report in verify_home(workspace) if report.chain == "rules"]
    return found


def test_verification_says_until_which_record_when_and_by_whom(workspace: Workspace, authority: Authority) -> None:
    assert rules(workspace).anchor == "not anchored"
    assert f"UTC by {NAME}" in stamp_heads(workspace, NOW)
    asked = len(authority.answers)
    assert stamp_heads(workspace, NOW + timedelta(hours=9)) == "", "once per day"
    assert len(authority.answers) == asked
    found = rules(workspace)
    assert (found.anchored, found.anchored_by, found.problem) == (2, NAME, "")
    assert found.anchor.startswith("anchored until record 2 (") and found.anchor.endswith(f" UTC, {NAME})")
    append(workspace, 1)
    assert rules(workspace).anchor.endswith("), not since")
    assert stamp_heads(workspace, NOW + timedelta(days=1))
    assert rules(workspace).anchored == 3


def test_the_command_prints_the_anchor_of_each_chain(
    workspace: Workspace, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp_heads(workspace, NOW)
    monkeypatch.setenv("CANDLEWORKS_SEAL__TIMESTAMP_ROOTS", str(authority.roots))
    done = CliRunner().invoke(application, ["verify", "--home", str(workspace.home)])
    assert done.exit_code == 0
    assert "rules: anchored until record 2 (" in done.stdout and "signals" not in done.stdout.split("rules:")[1]


def test_a_chain_that_the_owner_of_the_key_wrote_anew_or_cut_does_not_have_its_anchored_record(
    workspace: Workspace,
) -> None:
    stamp_heads(workspace, NOW)
    folder = workspace.home / "store" / "rules"
    (folder / "0000000002.json").unlink()
    assert "record 2 was another one when it was anchored" in rules(workspace).problem
    assert "the chain was cut or rewritten since" in rules(workspace).problem
    shutil.rmtree(folder)
    chain = workspace.chain("rules")
    for number in range(2):
        chain.append({"forged": number})  # type: ignore[typeddict-unknown-key, typeddict-item]
    assert rules(workspace).problem.startswith("rules/0000000002.json is the first bad record: record 2 was another")


def test_an_anchor_of_a_stranger_or_of_other_heads_is_named(workspace: Workspace, tmp_path: Path) -> None:
    stamp_heads(workspace, NOW)
    (path,) = (workspace.home / "store" / "anchors").iterdir()
    whole = path.read_text()
    record = json.loads(whole)
    record["heads"][3]["sequence"] = 1
    for content, reason in ((json.dumps(record), "Mismatch between messages"), ("{", "Expecting"), ("[]", "indices")):
        path.write_text(content)
        last = verify_home(workspace)[-1]
        assert last.chain == "anchors" and reason in last.problem
        assert "anchors/2026-01-01.json is no anchor of a trusted authority" in last.problem
        assert rules(workspace).anchor == "not anchored"
    path.write_text(whole)
    make_keys(tmp_path / "stranger")
    seal = SealSettings(timestamp_roots=str(tmp_path / "stranger" / "root.pem"))
    stranger = Workspace(workspace.home, Settings(seal=seal))
    assert "is no anchor of a trusted authority" in verify_home(stranger)[-1].problem


def test_an_authority_that_fails_is_named_and_asked_again(workspace: Workspace, authority: Authority) -> None:
    stamp_heads(workspace, NOW)
    append(workspace, 1)
    tomorrow = NOW + timedelta(days=1)
    for instead, status in ((b"<html>", 200), (b"", 200), (authority.answers[0], 200), (b"", 503)):
        authority.instead, authority.status = instead, status
        with pytest.raises(ServiceError, match=r"gave no valid stamp \(.*check `\[seal\] timestamp_url`"):
            stamp_heads(workspace, tomorrow)
        assert len(workspace.store.list("anchors")) == 1
    authority.instead, authority.status = None, 200
    assert stamp_heads(workspace, tomorrow)


def test_settings_of_the_authority(tmp_path: Path) -> None:
    path = tmp_path / "candleworks.toml"
    path.write_text('[seal]\ntimestamp_url = "ftp://x"\n')
    with pytest.raises(ConfigurationError, match="timestamp_url"):
        load_settings(path)
    path.write_text('[seal]\ntimestamp_url = "http://127.0.0.1:1/"\ntimestamp_roots = "roots.pem"\n')
    settings = load_settings(path)
    assert settings.seal.timestamp_roots == str(tmp_path / "roots.pem")
    workspace = Workspace(tmp_path / "home", settings)
    assert stamp_heads(workspace, NOW) == "", "nothing is sealed yet"
    append(workspace, 1)
    with pytest.raises(ServiceError, match="Connection refused"):
        stamp_heads(workspace, NOW)
    workspace.store.create("anchors/2026-01-01.json", b"{}")
    with pytest.raises(ConfigurationError, match=r"roots\.pem has no certificates in PEM"):
        verify_home(workspace)
