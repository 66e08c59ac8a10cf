"""Scores of a champion's live forecasts follow the stored ones of its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.forecasting.inputs import with_live_scores
from flows.workspace.database import Warehouse
from ml.metrics.conformal import BandScores

NONCONFORMITY = "conformity"


@pytest.mark.parametrize("times", [np.array([3_600_000]), None])
def test_live_scores_are_appended_with_the_open_times_of_their_candles(tmp_path: Path, times: Any) -> None:
    with Warehouse(tmp_path / "warehouse.duckdb").connect() as connection:
        for n, (model, score) in enumerate([("m1", 0.7), ("m2", 9.0), ("m1", None), ("m1", -0.2)]):
            opens = f"timestamp '1970-01-01' + interval {9 - n} hour"
            connection.execute(
                f"insert into raw.forecasts (sequence, hash, model_id, target_open_time) "
                f"values ({n}, 'f{n}', '{model}', {opens})"
            )
            connection.execute(
                f"insert into raw.scores (sequence, hash, forecast_hash, {NONCONFORMITY}) values (?, ?, ?, ?)",
                [n, f"s{n}", f"f{n}", score],
            )
        scores = with_live_scores(connection, "m1", BandScores(np.array([0.5]), times))
        none_live = with_live_scores(connection, "m3", BandScores(np.array([0.5]), times))
    assert scores.values.tolist() == [0.5, -0.2, 0.7]
    assert none_live.values.tolist() == [0.5]
    if times is None:
        assert scores.target_open_ms is None
    else:
        assert scores.target_open_ms is not None
        assert scores.target_open_ms.tolist() == [3_600_000, 6 * 3_600_000, 9 * 3_600_000]
        assert scores.target_open_ms.dtype == np.int64
