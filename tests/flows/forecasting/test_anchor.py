"""Heads of the chains at a webhook: told as JSON, and never a reason to stop, nor a leak of the secret address."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from flows.forecasting.anchor import anchor_heads, head_records
from flows.settings import SealSettings, load_settings
from ml.errors import ConfigurationError
from ml.forecasting.chain import Chain
from ml.forecasting.seals import FORECAST_CHAINS
from ml.store import Store
from tests.flows.hooks import SECRET, Hook, running_hook

NOW_MS = 1_704_067_200_000


@pytest.fixture
def hook() -> Iterator[Hook]:
    with running_hook() as hook:
        yield hook


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    Chain(store, "forecasts").append({"a": 1})
    return store


def to(url: str) -> SealSettings:
    return SealSettings(webhook=SecretStr(url), timeout_seconds=2)


def test_each_head_is_posted_as_json(hook: Hook, store: Store) -> None:
    assert anchor_heads(store, to(hook.url), NOW_MS) == 3
    assert hook.methods == [f"POST {SECRET} application/json"] * 3
    time = datetime.fromtimestamp(NOW_MS / 1000, UTC).isoformat()
    assert hook.taken == [{**record, "exchange_time": time} for record in head_records(store, FORECAST_CHAINS)]
    head = Chain(store, "forecasts").head()[1]
    time = "2024-01-01T00:00:00+00:00"
    assert hook.taken[1] == {"chain": "forecasts", "sequence": 1, "hash": head, "exchange_time": time}


def test_without_a_webhook_nobody_is_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    assert anchor_heads(store, SealSettings(), NOW_MS) == 0
    assert not caplog.records


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_refuses_is_a_warning(
    hook: Hook, store: Store, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    hook.status = status
    with caplog.at_level(logging.DEBUG):
        assert anchor_heads(store, to(hook.url), NOW_MS) == 0
    assert f"it answers {status}" in caplog.text
    assert len(hook.taken) == 1
    assert "very-secret" not in caplog.text


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/very-secret", "very-secret", "http://[very-secret", "ftp://very-secret"]
)
def test_a_webhook_that_is_not_there_is_a_warning(store: Store, caplog: pytest.LogCaptureFixture, url: str) -> None:
    with caplog.at_level(logging.DEBUG):
        assert anchor_heads(store, to(url), NOW_MS) == 0
    assert "CANDLEWORKS_SEAL__WEBHOOK" in caplog.text
    assert "very-secret" not in caplog.text


def test_the_address_comes_from_the_environment_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "candleworks.toml"
    path.write_text('[seal]\nwebhook = "http://very-secret"\n')
    with pytest.raises(ConfigurationError, match="CANDLEWORKS_SEAL__WEBHOOK"):
        load_settings(path)
    path.write_text("[seal]\ntimeout_seconds = 3\n")
    monkeypatch.setenv("CANDLEWORKS_SEAL__WEBHOOK", "http://very-secret")
    settings = load_settings(path)
    assert (settings.seal.webhook.get_secret_value(), settings.seal.timeout_seconds) == ("http://very-secret", 3)
    assert "very-secret" not in repr(settings)
    assert "very-secret" not in json.dumps(settings.model_dump(mode="json"))


def test_the_head_of_a_broken_chain_is_a_warning_and_nothing_is_sent(
    hook: Hook, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.replace("forecasts/0000000001.json", b"{")
    assert anchor_heads(store, to(hook.url), NOW_MS) == 0
    assert "not sent: forecasts/0000000001.json is the first bad record" in caplog.text
    assert not hook.taken
