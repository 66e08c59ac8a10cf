"""Reviews over a store: once a dataset, sealed, and with the consequences that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.promotion.promote import promote_series
from flows.promotion.review import live_records, review_series
from flows.settings import load_settings
from flows.warehouse.load import load_store
from flows.workspace.workspace import Workspace
from ml.data.datasets import write_dataset
from ml.execution.chunks import Chunk, run_chunk
from ml.forecasting.chain import Chain
from ml.promotion.review import LiveRecord
from ml.promotion.verdicts import champions, read_verdicts
from tests.synthetic import SERIES, make_case
from tests.trials import market_with_edge, turned

NOW_MS = 1_700_000_000_000


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """With a champion."""
    opened = Workspace(tmp_path, load_settings(None, {"promotion": {"minimal_days": 10}}))
    dataset_id = write_dataset(opened.store, market_with_edge(4000), "test")
    run_chunk(opened.store, Chunk(dataset_id, (make_case(),)), lease_seconds=60, code_version="test")
    assert [one["decision"] for one in promote_series(opened, SERIES, dataset_id, 1, NOW_MS)] == ["promoted"]
    return opened


def _review(workspace: Workspace, dataset_id: str) -> dict[str, Any] | None:
    return review_series(workspace, SERIES, dataset_id, 1, NOW_MS + 1, LiveRecord())


def test_a_confirmed_champion_is_served_by_its_refit_and_reviewed_once_a_dataset(workspace: Workspace) -> None:
    store = workspace.store
    first = champions(store, [SERIES])[SERIES]
    assert _review(workspace, first["dataset_id"]) is None  # evaluated on it already
    newer = write_dataset(store, market_with_edge(4300), "test")
    verdict = _review(workspace, newer)
    assert verdict is not None
    assert (verdict["decision"], verdict["holdout_opened"], verdict["holdout_openings"]) == ("confirmed", False, 1)
    assert _review(workspace, newer) is None
    champion = champions(store, [SERIES])[SERIES]
    assert champion["model_id"] == verdict["model_id"] != first["model_id"]
    assert champion["trained_through"] > first["trained_through"]
    assert champion["decided_at"] == first["decided_at"]
    assert Chain(store, "verdicts").verify() == 2


def test_a_retired_case_leaves_the_baseline_and_does_not_come_back_by_the_same_dataset(
    workspace: Workspace,
) -> None:
    store = workspace.store
    worse = write_dataset(store, turned(market_with_edge(4300), 2500), "test")
    verdict = _review(workspace, worse)
    assert verdict is not None
    assert (verdict["decision"], verdict["rule"]) == ("retired", "lost_edge")
    assert champions(store, [SERIES]) == {}
    assert _review(workspace, worse) is None  # there is no champion to review
    # It is still the best case on that dataset, as the only one; it was evaluated there by its review.
    run_chunk(store, Chunk(worse, (make_case(),)), lease_seconds=60, code_version="test")
    assert promote_series(workspace, SERIES, worse, 1, NOW_MS + 2) == []
    assert len(read_verdicts(store)) == 2


def test_a_case_that_cannot_be_evaluated_on_the_newest_dataset_is_not_reviewed(workspace: Workspace) -> None:
    dataset = market_with_edge(4300)
    object.__setattr__(dataset, "columns", ("other", "names", "only"))
    assert _review(workspace, write_dataset(workspace.store, dataset, "test")) is None


def test_the_live_record_is_of_the_champions_own_forecasts_that_were_not_late(workspace: Workspace) -> None:
    champion = champions(workspace.store, [SERIES])[SERIES]
    load_store(workspace)
    forecasts = [  # hash, model, late, hour
        ("f1", champion["model_id"], False, 2),
        ("f2", champion["model_id"], False, 1),
        ("f3", champion["model_id"], True, 3),
        ("f4", "another", False, 4),
        ("f5", None, False, 5),
        ("f6", champion["model_id"], False, 6),  # not scored yet
    ]
    scores = [("f1", 9.0), ("f1", 3.0), ("f2", 1.0), ("f3", 7.0), ("f4", 7.0), ("f5", 7.0)]
    with workspace.warehouse.connect() as connection:
        for name, model, late, hour in forecasts:
            connection.execute(
                "insert into raw.forecasts (hash, exchange, symbol, timeframe, model_id, late, target_open_time) "
                "values (?, ?, ?, ?, ?, ?, ?)",
                [name, *SERIES.model_dump().values(), model, late, f"2024-01-01 0{hour}:00:00"],
            )
        for sequence, (name, error) in enumerate(scores):
            connection.execute(
                "insert into raw.scores (sequence, forecast_hash, error_pct, baseline_error_pct) values (?, ?, ?, 2)",
                [sequence, name, error],
            )
    live = live_records(workspace, {SERIES: champion})
    # In the order of the candles; f1 with the score of its revised candle.
    assert live == {SERIES: LiveRecord([1.0, 3.0], [2.0, 2.0])}
