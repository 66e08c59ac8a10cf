"""The signing key of a home: made with the first record, never twice in silence."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

import flows.cli  # noqa: F401 - registers the commands
from flows.cli.application import application
from flows.settings import Settings, load_settings
from flows.workspace.signing import find_key, home_key, signing_key_path
from flows.workspace.workspace import Workspace
from ml.errors import ServiceError, StoreError
from ml.forecasting.chain import Chain
from ml.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def sealed_home(home: Path, n: int = 2) -> Workspace:
    workspace = Workspace(home, Settings())
    chain = workspace.chain("rules")
    for number in range(n):
        chain.append({"number": number})
    return workspace


def run(home: Path, command: str, *arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(application, [command, *arguments, "--home", str(home)])
    return done.exit_code, done.stdout, done.stderr or str(done.exception or "")


def test_the_first_record_makes_a_key_that_only_its_owner_can_read_and_all_are_signed_with_it(tmp_path: Path) -> None:
    workspace = sealed_home(tmp_path)
    path = signing_key_path(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    key = home_key(tmp_path, workspace.store, NOW)
    assert {record["key"] for record in Chain(workspace.store, "rules").records()} == {key.key.public}
    assert key.trust.accepted == {}
    assert key.key.text not in repr(workspace.sealer), "no log line holds the key"
    stored = b"".join(one.read_bytes() for one in (tmp_path / "store").rglob("*") if one.is_file())
    assert key.key.text.encode() not in stored


def test_a_home_of_an_earlier_version_keeps_its_records_and_signs_the_next_ones(tmp_path: Path) -> None:
    Chain(Store(tmp_path / "store"), "rules").append({"number": 0})
    assert find_key(tmp_path, Store(tmp_path / "store")) is None
    code, shown, _ = run(tmp_path, "verify")
    assert code == 0 and "1 from before signatures" in shown
    assert not signing_key_path(tmp_path).exists(), "reading makes no key"
    sealed_home(tmp_path, 1)
    code, shown, _ = run(tmp_path, "verify")
    assert code == 0 and "1 from before signatures" in shown


def test_a_lost_key_is_an_error_and_a_new_one_is_made_only_by_command(tmp_path: Path) -> None:
    old = sealed_home(tmp_path).sealer.key.public
    for damage, said in (
        (lambda path: path.unlink(), "is missing, and the chain rules has signed records"),
        (lambda path: path.write_text("{}"), "is not a signing key"),
        (lambda path: path.chmod(0o644), "Other users may read"),
    ):
        damage(signing_key_path(tmp_path))
        for use in (lambda: Workspace(tmp_path, Settings()).chain("rules"), Workspace(tmp_path, Settings()).trust):
            with pytest.raises(ServiceError, match=said) as caught:
                use()
            assert "`candleworks new-key`" in str(caught.value)
        assert said in run(tmp_path, "verify")[2]
        code, shown, _ = run(tmp_path, "new-key")
        assert code == 0 and re.search(r"2 earlier records are accepted", shown)
        code, shown, _ = run(tmp_path, "verify")
        assert code == 0 and "2 signed with an earlier key" in shown
        assert Workspace(tmp_path, Settings()).sealer.key.public != old
    sealed_home(tmp_path, 1)
    assert run(tmp_path, "verify")[0] == 0


def test_a_new_key_does_not_accept_a_broken_chain(tmp_path: Path) -> None:
    sealed_home(tmp_path)
    before = signing_key_path(tmp_path).read_bytes()
    (tmp_path / "store" / "rules" / "0000000001.json").unlink()
    assert "cannot be accepted: rules/0000000002.json is the first bad record" in run(tmp_path, "new-key")[2]
    assert signing_key_path(tmp_path).read_bytes() == before
    assert "There is no home" in run(tmp_path / "typo", "new-key")[2]
    assert not (tmp_path / "typo").exists()


def test_no_key_is_made_over_a_chain_with_a_bad_end(tmp_path: Path) -> None:
    Chain(Store(tmp_path / "store"), "rules").append({"number": 0})
    (tmp_path / "store" / "rules" / "0000000001.json").write_bytes(b"")
    with pytest.raises(StoreError, match=r"rules/0000000001\.json is the first bad record"):
        sealed_home(tmp_path, 1)
    assert not signing_key_path(tmp_path).exists()


def test_records_of_a_recorded_exchange_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Workspace(tmp_path, Settings()).sealer.replayed
    monkeypatch.setenv("CANDLEWORKS_EXCHANGE__BASE_URL", "http://127.0.0.1:1")
    assert Workspace(tmp_path, load_settings(None)).sealer.replayed


def test_a_copy_of_the_store_is_verified_with_the_public_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Chain(Store(tmp_path / "owner" / "store"), "rules").append({"number": 0})
    key = sealed_home(tmp_path / "owner").sealer.key.public
    shown = run(tmp_path / "owner", "heads")[1]
    assert f"Public key of this home: {key}" in shown

    monkeypatch.setenv("CANDLEWORKS_STORAGE__URL", str(tmp_path / "owner" / "store"))
    third = tmp_path / "third"
    assert "`candleworks verify --key KEY`" in run(third, "verify")[2]
    code, shown, _ = run(third, "verify", "--key", key)
    assert code == 0 and "1 from before signatures" in shown
    other = home_key(tmp_path / "other", Store(tmp_path / "none"), NOW)
    code, _, said = run(third, "verify", "--key", other.key.public)
    assert code == 1 and "rules/0000000002.json is the first bad record: it is signed with another key" in said
    assert run(third, "verify", "--key", other.key.public, "--key", key)[0] == 0
    assert not third.exists()
