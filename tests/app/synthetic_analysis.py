"""Computed tables of the made-up snapshot: effects of one series of enough and one of too few cases, and a boundary.

The effects are computed by the product from made-up factors; the other series are not computed.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from ml.analysis.effects import effect_tables
from ml.analysis.tables import RECORDS, SCHEMAS

EFFECTS_OF = ("BTC/USDT", "1h")
FEW_CASES_OF = ("DOGE/USDT", "1d")
X, Y = "har_range_6", "season_next"
SIDE = 12


def tables(results: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Table -> rows, all with the columns of the product's tables."""
    found: dict[str, list[Any]] = {name: [] for name in RECORDS}
    for symbol, timeframe in (EFFECTS_OF, FEW_CASES_OF):
        mine = results[(results.symbol == symbol) & (results.timeframe == timeframe)]
        cases = [_case(row) for row in mine.to_dict("records")]
        ranked, values = effect_tables(_key(mine.iloc[0].to_dict()), cases)
        found["effects"] += ranked
        found["effect_values"] += values
        found["effect_cases"] += cases
    series = results[(results.symbol == EFFECTS_OF[0]) & (results.timeframe == EFFECTS_OF[1])].iloc[0].to_dict()
    found |= _boundary({**_key(series), "x_feature": X, "y_feature": Y})
    return {name: SCHEMAS[name].empty_table().to_pandas() if not rows else pd.DataFrame(rows)
            for name, rows in found.items()}  # fmt: skip


def _key(row: dict[str, Any]) -> Any:
    return {name: row[name] for name in ("exchange", "symbol", "timeframe", "dataset_id")}


def _case(row: dict[str, Any]) -> Any:
    skill = None if row["status"] == "failed" else row["skill"]
    factors = {
        "model": row["model"],
        "lags": str(row["lags"]),
        "group volume": "on" if "volume" in row["feature_set"] else "off",
    }
    return {**_key(row), "case_key": row["case_key"], "status": row["status"], "skill": skill,
            "factors": json.dumps(factors)}  # fmt: skip


def _boundary(key: dict[str, Any]) -> dict[str, list[Any]]:
    """Sell on the left, buy on the right, hold between; train rows in the lower half."""
    draw = np.random.default_rng(0)
    grid = np.linspace(0, 1, SIDE)
    cells = [
        {**key, "x": x, "y": y, "decided": int(3 * min(x, 0.999)), "probability": 0.4 + 0.5 * y, "is_sparse": y > 0.5,
         "n_train": 0 if y > 0.5 else 20}
        for y in grid for x in grid
    ]  # fmt: skip
    points = [
        {**key, "open_time": pd.Timestamp("2024-04-01") + pd.Timedelta(hours=i), "x": float(x), "y": float(y),
         "happened": int(3 * x), "decided": int(3 * min(x + 0.1, 0.999))}
        for i, (x, y) in enumerate(draw.uniform(0, 0.999, (60, 2)))
    ]  # fmt: skip
    summary = {
        **key, "is_default": True, "case_key": "0123456789abcdef", "model": "random_forest_classifier",
        "target": "trade", "classes": '["sell", "hold", "buy"]', "accuracy": 0.62, "majority_accuracy": 0.55,
        "accuracy_se": 0.01, "majority_class": "hold", "n_inputs": 46, "n_train": 900, "n_held_out": 2300,
    }  # fmt: skip
    return {"boundaries": [summary], "boundary_cells": cells, "boundary_points": points}
