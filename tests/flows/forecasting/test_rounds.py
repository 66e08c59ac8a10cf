"""Who takes part in a round. The weights themselves are held against pandas in tests/dbt/test_live_marts.py."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from flows.forecasting.rounds import _Candles, contenders

RIVALS = {"last_candle": 3.0, "mean_range": 2.0, "ewma_range": 1.5}


def score(rival_errors: dict[str, float] | None, model: str, case_key: str | None) -> dict[str, Any]:
    text = None if rival_errors is None else json.dumps(rival_errors)
    common = {"error_pct": 1.0, "baseline_error_pct": 1.5, "baseline": "ewma_range"}
    return {**common, "rival_errors": text, "model": model, "case_key": case_key}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # The baseline that serves is one of the rivals, not one more.
        (score(RIVALS, "baseline", None), RIVALS),
        (score(RIVALS | {"ridge": 1.0}, "ridge", "c1"), RIVALS | {"ridge c1": 1.0}),
        # A family that is called like a baseline does not take its place.
        (score(RIVALS, "last_candle", "c2"), RIVALS | {"last_candle c2": 1.0}),
        # Scores of an earlier version know the best baseline only.
        (score(None, "ridge", "c1"), {"ewma_range": 1.5, "ridge c1": 1.0}),
        (score(None, "baseline", None), {"ewma_range": 1.5}),
    ],
)
def test_contenders_are_the_baselines_and_the_model_that_served(
    row: dict[str, Any], expected: dict[str, float]
) -> None:
    assert contenders(row) == expected


def test_a_candle_is_compared_with_those_of_the_year_up_to_it() -> None:
    days = np.array(["2023-01-01", "2023-06-01", "2024-01-01", "2024-02-01"], "datetime64[us]")
    # On 2024-01-01 the first candle is a year (365 days) old and out, the one behind is not known: 1 of 2 is above.
    candles = _Candles(days, np.array([1.0, 1.2, 1.1, 1.0]), np.array([np.nan, 0.02, -0.02, 0.5]))
    assert candles.weight(datetime(2024, 1, 1)) == pytest.approx((1 / 2 * 2 / 2) ** 0.5)  # noqa: DTZ001 - as DuckDB gives
    assert candles.weight(datetime(2024, 1, 15)) == 0  # noqa: DTZ001 - a candle that is gone moves nobody
