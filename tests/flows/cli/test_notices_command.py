"""`candleworks notices`: the list, the check between runs, the test of the targets; and the flow `watch`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from flows.cli.application import application
from flows.notices.outbox import Outbox
from flows.notices.watch import watch
from ml.errors import ConfigurationError
from ml.store import Store
from tests.flows.hooks import Hook, running_hook
from tests.flows.notices.conftest import T0, fill_event

TARGETS = """
[[notices.targets]]
name = "log"
kind = "file"
path = "notices.jsonl"
[[notices.targets]]
name = "hook"
kind = "webhook"
"""


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    with running_hook() as hook:
        monkeypatch.setenv("CANDLEWORKS_NOTICES__HOOK_URL", hook.url)
        yield hook


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "candleworks.toml").write_text(TARGETS, "utf-8")
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    arguments = ["notices", *words, "--home", str(folder / "home"), "--config", str(folder / "candleworks.toml")]
    return CliRunner().invoke(application, arguments)


def record(folder: Path, name: str) -> None:
    Outbox(Store(folder / "home" / "store")).record([fill_event(name)], (), T0)


def test_a_check_sends_the_messages_due_and_the_list_has_them(folder: Path, hook: Hook) -> None:
    assert run(folder).output.strip() == "Notices: none"
    assert run(folder, "--check").output == "0 messages sent; begun with log, hook\n"
    record(folder, "a")
    assert json.loads(run(folder, "--check", "--json").output) == [{"sent": 2, "warnings": []}]
    done = run(folder)
    assert done.exit_code == 0, done.output
    assert "sent" in done.output
    listed = json.loads(run(folder, "--json").output)
    assert [(row["target"], row["state"], row["attempts"]) for row in listed] == [
        ("log", "sent", 1),
        ("hook", "sent", 1),
    ]
    assert listed[0]["text"].startswith("BTC/USDT 1h a: paper buy")
    assert len(hook.taken) == 1


def test_a_message_that_failed_is_seen_and_does_not_hold_the_other_target(folder: Path, hook: Hook) -> None:
    run(folder, "--check")
    hook.status = 500
    record(folder, "a")
    done = run(folder, "--check")
    assert (done.exit_code, done.output.splitlines()[-1]) == (1, "1 messages sent")
    assert "failed in attempt 1 of 8 (it answers 500)" in done.output
    listed = {row["target"]: row["state"] for row in json.loads(run(folder, "--json").output)}
    assert listed == {"log": "sent", "hook": "retry"}
    assert run(folder).exit_code == 0, "it is tried again"
    Outbox(Store(folder / "home" / "store")).finish("hook", fill_event("a").id, 2, "unknown", {"detail": "no answer"})
    assert run(folder).exit_code == 1


def test_the_test_says_which_target_failed(folder: Path, hook: Hook) -> None:
    assert run(folder, "--test").exit_code == 0
    hook.status = 403
    done = run(folder, "--test", "--json")
    assert done.exit_code == 1
    assert json.loads(done.output) == [
        {"target": "log", "kind": "file", "state": "sent", "detail": ""},
        {"target": "hook", "kind": "webhook", "state": "failed", "detail": "it answers 403"},
    ]
    assert not Store(folder / "home" / "store").list("notices"), "a test is no event"


@pytest.mark.parametrize("option", ["--test", "--check"])
def test_without_targets_the_error_says_how_to_add_one(folder: Path, option: str) -> None:
    path = folder / "candleworks.toml"
    path.write_text("", "utf-8")
    error = run(folder, option).exception
    assert isinstance(error, ConfigurationError)
    assert "[[notices.targets]]" in str(error)
    path.write_text('[[notices.targets]]\nname = "log"\nkind = "console"\n', "utf-8")  # as the error says
    assert run(folder, option).exit_code == 0


def test_the_watch_is_the_check_of_a_deployment(folder: Path, hook: Hook) -> None:
    place = {"home": str(folder / "home"), "config": str(folder / "candleworks.toml")}
    assert watch.fn(**place) == 0
    record(folder, "a")
    assert watch.fn(**place) == 2
    assert watch.fn(**place) == 0
    assert len(hook.taken) == 1
