"""The section [notices]: targets and templates in the file, addresses in the environment."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from flows.settings import Settings, load_settings
from flows.simulation.preparation import NOTICES_FILE, overrides_for, write_settings
from ml.errors import ConfigurationError

TARGETS = """
[markets]
symbols = ["BTC/USDT"]
timeframes = ["1h"]
[[notices.targets]]
name = "phone"
kind = "apprise"
events = ["score_band", "silence"]
symbols = ["BTC/USDT"]
band_interval = {1 = 24, 3 = 4}
[[notices.targets]]
name = "log"
kind = "file"
path = "notices.jsonl"
[notices.templates]
score_band = "\\"{symbol}\\" 🙂 {score:+.2f}"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "candleworks.toml"
    path.write_text(TARGETS, "utf-8")
    return path


def load(path: Path, content: str) -> Settings:
    path.write_text(content, "utf-8")
    return load_settings(path)


def test_targets_are_read_and_paths_are_relative_to_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANDLEWORKS_NOTICES__PHONE_URL", "tgram://very-secret")
    monkeypatch.setenv("CANDLEWORKS_NOTICES__REMOVED_URL", "https://very-secret")  # of a target that was removed
    notices = load_settings(path).notices
    phone, log = notices.targets
    assert notices.urls["phone"].get_secret_value() == "tgram://very-secret"
    assert (phone.variable, phone.band_interval) == ("CANDLEWORKS_NOTICES__PHONE_URL", {1: 24, 3: 4})
    assert log.path == str(path.parent / "notices.jsonl")
    assert "very-secret" not in repr(notices) + json.dumps(notices.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[notices]\nphone_url = "very-secret"', "CANDLEWORKS_NOTICES__<NAME>_URL of a target, instead"),
        ('[notices.urls]\nphone = "very-secret"', "secrets do not belong in the file"),
        ('[[notices.targets]]\nname = "a"\nkind = "webhook"\nurl = "very-secret"', "secrets do not belong in the file"),
        ('[[notices.targets]]\nname = "a"\nkind = "mail"', "notices.targets.0.kind: Input should be 'console', 'file'"),
        ('[[notices.targets]]\nname = "A b"\nkind = "console"', "notices.targets.0.name: String should match"),
        ('[[notices.targets]]\nname = "a"\nkind = "file"', '`path` belongs to a target of kind "file"'),
        ('[[notices.targets]]\nname = "a"\nkind = "console"\npath = "b"', '`path` belongs to a target of kind "file"'),
        (
            '[[notices.targets]]\nname = "a"\nkind = "console"\nevents = ["scores"]',
            "a: unknown event 'scores'; use some of score_band, transaction, silence, stale, chain, coverage",
        ),
        (
            '[[notices.targets]]\nname = "a"\nkind = "console"\nsymbols = ["XRP/USDT"]',
            "a filters by 'XRP/USDT', which is not in [markets] symbols",
        ),
        (
            '[[notices.targets]]\nname = "a"\nkind = "console"\ntimeframes = ["5m"]',
            "a filters by '5m', which is not in [markets] timeframes",
        ),
        ('[[notices.targets]]\nname = "a"\nkind = "console"\nband_interval = {0 = 1}', "counts steps from 1 on"),
        ('[[notices.targets]]\nname = "a"\nkind = "console"\nband_interval = {1 = 0}', "greater than or equal to 1"),
        ('[[notices.targets]]\nname = "a"\nkind = "console"\n' * 2, "two targets are called 'a'"),
        ('[notices.templates]\nscore_band = "{pair}"', "score_band: unknown field {pair}; use exchange, symbol"),
        ("[notices]\nattempts = 0", "notices.attempts"),
    ],
)
def test_wrong_settings_are_one_line_without_secrets(path: Path, content: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(path, content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "very-secret" not in str(caught.value)


def test_no_error_about_the_settings_has_a_secret_of_the_environment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANDLEWORKS_NOTICES__PHONE_URL", "tgram://very-secret")
    monkeypatch.setenv("CANDLEWORKS_SEAL__WEBHOOK", "https://very-secret")
    two = '[[notices.targets]]\nname = "a"\nkind = "console"\n' * 2
    for content in (two, "[notices]\ncolour = 1", "[notices]\ntargets = 1", "[weather]\na = 1", "[seal]\na = 1"):
        with pytest.raises(ConfigurationError) as caught:
            load(path, content)
        assert "very-secret" not in "".join(traceback.format_exception(caught.value))


def test_a_rehearsal_sends_to_a_file_of_its_home_and_to_no_person(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANDLEWORKS_NOTICES__PHONE_URL", "tgram://very-secret")
    home = tmp_path / "home"
    settings = load_settings(path, overrides_for(path, ["1h"], home))
    written = write_settings(settings, home)
    assert "very-secret" not in written.read_text("utf-8")
    again = load_settings(written).notices
    assert [(target.kind, target.path) for target in again.targets] == [("file", str(home / NOTICES_FILE))]
    assert again.templates == {"score_band": '"{symbol}" 🙂 {score:+.2f}'}
    real = load_settings(write_settings(load_settings(path), home)).notices
    assert real.targets == load_settings(path).notices.targets
