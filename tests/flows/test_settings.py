"""Settings: everything unknown or out of range ends in one line before any work."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from prefect.utilities.collections import visit_collection
from pydantic import BaseModel, SecretStr

from flows.settings import SECRETS, Settings, load_settings
from ml.errors import ConfigurationError
from tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[exchange]\ncolour = 1", "exchange.colour: unknown key"),
        ("[weather]\na = 1", "weather: unknown key"),
        ('[markets]\ntimeframes = ["7h"]', "unknown timeframe '7h'"),
        ('[markets]\nbase_timeframe = "4h"\ntimeframes = ["1h"]', "not a multiple of base_timeframe"),
        ('[markets]\nsymbols = ["BTCUSDT"]', "not of the form BASE/QUOTE"),
        ("[ingest]\npage_size = 5000", "less than or equal to 1000"),
        ("[exchange", "not valid TOML"),
        ('[exchange]\napi_key = "x"', "secrets do not belong in the file"),
        ('[[combine.sources]]\nid = "kraken"\napi_key = "x"', "secrets do not belong in the file"),
        ('[[combine.sources]]\nid = "kraken"\ncolour = 1', "combine.sources.0.colour: unknown key"),
        ('[[combine.sources]]\nname = "kraken"', "combine.sources.0.id: Field required"),
        ('[[combine.sources]]\nid = "binance"', "two sources are called 'binance'"),
        ('[combine]\nname = "kraken"\n[[combine.sources]]\nid = "kraken"', "'kraken' is one of the sources"),
        ('[combine]\nminimal_sources = 3\n[[combine.sources]]\nid = "kraken"', "3 is more than the 2 sources"),
        (
            '[[combine.sources]]\nid = "kraken"\nsymbols = {"BTC/EUR" = "XBT/EUR"}',
            "kraken has a symbol for 'BTC/EUR', which [markets] does not name",
        ),
    ],
)
def test_bad_settings_are_refused_in_one_line_that_names_the_file(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"bad\.toml") as caught:
        load_settings(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value).strip()


def test_the_environment_goes_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[exchange]\nid = "kraken"\nbase_url = "http://file"')
    monkeypatch.setenv("CANDLEWORKS_EXCHANGE__BASE_URL", "http://environment")
    monkeypatch.setenv("CANDLEWORKS_EXCHANGE__API_KEY", "secret-value")
    settings = load_settings(path)
    assert (settings.exchange.id, settings.exchange.base_url) == ("kraken", "http://environment")
    assert "secret-value" not in repr(settings)


def test_the_key_of_the_former_warm_worker_is_accepted_with_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[services]\nstandby = false\napp_port = 8600")
    assert load_settings(path).services.app_port == 8600
    assert [record.message for record in caplog.records] == ["services.standby has no effect any more: remove it."]
    monkeypatch.setenv("CANDLEWORKS_SERVICES__STANDBY", "true")
    load_settings(path)


def test_the_settings_file_of_the_repository_is_valid() -> None:
    settings = load_settings(REPOSITORY / "candleworks.toml")
    assert [str(series) for series in settings.series()[:3]] == ["BTC/USDT 1h", "BTC/USDT 4h", "BTC/USDT 1d"]


def test_sources_stand_beside_the_exchange_and_name_their_own_symbols(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        """
        [markets]
        symbols = ["BTC/USDT", "ETH/USDT"]
        [combine]
        name = "all"
        [[combine.sources]]
        id = "coinbase"
        name = "coinbase-usd"
        symbols = {"BTC/USDT" = "BTC/USD"}
        """
    )
    settings = load_settings(path)
    assert settings.exchange_name == "all"
    found = [
        [(source.exchange.called, source.symbol) for source in settings.sources(s)] for s in ("BTC/USDT", "ETH/USDT")
    ]
    assert found == [
        [("binance", "BTC/USDT"), ("coinbase-usd", "BTC/USD")],
        [("binance", "ETH/USDT"), ("coinbase-usd", "ETH/USDT")],
    ]
    alone = load_settings(path, {"combine": {"sources": []}})
    assert (alone.exchange_name, len(alone.sources("BTC/USDT"))) == ("binance", 1)


def test_a_missing_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Cannot read"):
        load_settings(tmp_path / "none.toml")


def test_all_secrets_are_known_by_name() -> None:
    def secrets(model: type[BaseModel]) -> set[str]:
        found: set[str] = set()
        for name, field in model.model_fields.items():
            if SecretStr in (field.annotation, *get_args(field.annotation)):
                found.add(name)
            elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                found |= secrets(field.annotation)
        return found

    assert secrets(Settings) == SECRETS


def test_prefect_can_walk_over_all_settings() -> None:
    """Prefect looks for futures in the arguments of a flow run, by `dict(model)`."""
    settings = load_settings(None, {"api": {"keys": {"phone": "sha256:" + "a" * 64}}})
    assert visit_collection(settings, lambda one: one, return_data=True) == settings
    assert Settings(**settings.model_dump(mode="json")) == settings
