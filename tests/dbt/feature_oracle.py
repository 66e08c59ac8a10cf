"""The feature columns as the YAML describes them, and every one of them once more from tests/dbt/oracles."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from oracle_tools import Candles, Floats

PROJECT = Path(__file__).resolve().parents[2] / "dbt"
MODELS = PROJECT / "models" / "intermediate" / "features"
GROUPS: list[str] = yaml.safe_load((PROJECT / "dbt_project.yml").read_text("utf-8"))["vars"]["feature_groups"]
#: They look at other series or at what was loaded from elsewhere: tests/dbt/test_context.py.
CONTEXT = ("market_context", "larger_timeframe", "outside")


def described(group: str) -> dict[str, dict[str, Any]]:
    """Column -> its meta and data type, from the YAML of the group's model."""
    text = (MODELS / f"int_features__{group}.yml").read_text("utf-8")
    # The parser in C takes a tenth of the second that the other one needs for all of them.
    (model,) = yaml.load(text, yaml.CSafeLoader)["models"]
    return {
        column["name"]: column["config"]["meta"] | {"data_type": column["data_type"]}
        for column in model["columns"]
        if column["name"] != "candle_id"
    }


CATALOGUE = {name: meta for group in GROUPS for name, meta in described(group).items()}
#: Columns that follow from the candles of their own series.
COLUMNS = tuple(name for name, meta in CATALOGUE.items() if meta["group"] not in CONTEXT)


def group_features(group: str, candles: Candles) -> dict[str, Floats]:
    """The columns of one group over the candles that are there (no gap rows), NaN where a window is not full."""
    c = {name: candles[name].astype(np.float64) for name in ("open", "high", "low", "close", "volume")}
    with np.errstate(invalid="ignore", divide="ignore"):
        features: dict[str, Floats] = importlib.import_module(f"oracles.{group}").features(
            c | {"open_time": candles["open_time"]}
        )
    return features


def all_features(candles: Candles) -> dict[str, Floats]:
    """The columns of all groups that follow from the candles of their own series."""
    groups = (group for group in GROUPS if group not in CONTEXT)
    return {name: values for group in groups for name, values in group_features(group, candles).items()}
