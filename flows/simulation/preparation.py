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


def overrides_for(config: Path | None, timeframes: list[str]) -> Overrides:
    """The settings that a rehearsal overrides.

    Args:
        config: the settings file, whose search spaces are kept; without any, a small one is used.
        timeframes: the timeframes to forecast; one that is shorter than the base timeframe becomes the base.
    """
    settings = load_settings(config)
    base = min([settings.markets.base_timeframe, *timeframes], key=milliseconds)
    return {
        "markets": {"base_timeframe": base, "timeframes": timeframes},
        "sweep": {"search_spaces": list(settings.sweep.search_spaces) or [str(SMALL_SPACE)]},
        "exchange": {"timeout_seconds": EXCHANGE_TIMEOUT_SECONDS},
        # A rehearsal must not write into a shared store.
        "storage": {"url": ""},
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
    sections = settings.model_dump(mode="json")
    lines = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        # Strings, numbers, Booleans and lists of them have the same syntax in TOML and JSON.
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items() if name not in SECRETS]
    home.mkdir(parents=True, exist_ok=True)
    path = home / "candleworks.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


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
