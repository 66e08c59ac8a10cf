"""The home of a rehearsal: its settings as a file, and the deployments with paused schedules."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

import ml
from flows.server.deploy import DEPLOYMENTS
from flows.settings import SECRETS, Overrides, Settings, load_settings
from ml.errors import ConfigurationError
from ml.timeframes import milliseconds

SMALL_SPACE = Path(ml.__file__).parent / "search_spaces" / "small.toml"
#: Time-outs of the recorded exchange are part of the plan, and it runs on this machine: a few seconds are enough.
EXCHANGE_TIMEOUT_SECONDS = 3.0
#: The only target of notices of a rehearsal, and its file in the home.
NOTICES_TARGET, NOTICES_FILE = "rehearsal", "notices.jsonl"


def overrides_for(config: Path | None, timeframes: list[str], home: Path) -> Overrides:
    """The settings that a rehearsal overrides.

    Args:
        config: the settings file, whose search spaces are kept; without any, a small one is used.
        timeframes: the timeframes to forecast; one that is shorter than the base timeframe becomes the base.
        home: the home of the rehearsal.
    """
    settings = load_settings(config)
    base = min([settings.markets.base_timeframe, *timeframes], key=milliseconds)
    return {
        "markets": {"base_timeframe": base, "timeframes": timeframes},
        "sweep": {"search_spaces": list(settings.sweep.search_spaces) or [str(SMALL_SPACE)]},
        "exchange": {"timeout_seconds": EXCHANGE_TIMEOUT_SECONDS},
        # A rehearsal must not write into a shared store.
        "storage": {"url": ""},
        # Messages about replayed candles go to no person, but where they can be counted.
        "notices": {"targets": [{"name": NOTICES_TARGET, "kind": "file", "path": str(home / NOTICES_FILE)}]},
    }


def require_unused(home: Path) -> None:
    """Refuse a home that has been used before.

    Raises:
        ConfigurationError: it holds a warehouse or a store.
    """
    if (home / "warehouse.duckdb").exists() or (home / "store").exists():
        raise ConfigurationError(
            f"{home} holds earlier work, which a rehearsal would mix with its own. Choose a new folder with --home."
        )


def write_settings(settings: Settings, home: Path) -> Path:
    """Write the settings as ``candleworks.toml`` of the home, without secrets; returns its path."""
    sections = settings.model_dump(mode="json", by_alias=True)
    lines = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{name} = {_toml(value)}" for name, value in values.items() if name not in SECRETS]
    home.mkdir(parents=True, exist_ok=True)
    path = home / "candleworks.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _toml(value: object) -> str:
    """A value in the syntax of TOML; strings, numbers and Booleans have that of JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(name))} = {_toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)  # JSON escapes of pairs are no TOML


def write_deployments(home: Path) -> Path:
    """Write the real deployments with paused schedules, as the driver triggers the runs; returns their folder."""
    folder = home / "deployments"
    shutil.copytree(DEPLOYMENTS, folder, dirs_exist_ok=True)
    path = folder / "prefect.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for deployment in content["deployments"]:
        for schedule in deployment.get("schedules", []):
            schedule["active"] = False
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return folder
