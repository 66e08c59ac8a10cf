"""The field: ranked cases side by side on their common days, whatever files they lie in."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.data.datasets import write_dataset
from ml.execution.chunks import Chunk, run_chunk
from ml.execution.results import RunInfo, result_path, result_row, write_results
from ml.promotion.field import CaseLosses, align, read_field
from ml.promotion.significance import resampled_days, spa_p_value
from ml.search.cases import TestCase
from ml.store import Store
from tests.synthetic import make_case, make_dataset

DAYS = np.arange(100, 200, dtype=np.int32)


def losses(key: str, days: Any, level: float = 1.0) -> CaseLosses:
    days = np.asarray(days, dtype=np.int32)
    return CaseLosses({"case_key": key}, days, level + days / 1000, 2 * level + days / 1000)


def test_cases_are_aligned_on_the_days_that_all_of_them_have() -> None:
    field = align([losses("a", DAYS), losses("b", DAYS[3:], 2.0), losses("c", np.delete(DAYS, 50), 3.0)])
    common = np.delete(DAYS, 50)[3:] / 1000
    assert field.columns == {"a": 0, "b": 1, "c": 2}
    assert pytest.approx(np.array([1 + common, 2 + common, 3 + common])) == field.losses.T
    assert pytest.approx(np.array([2 + common, 4 + common, 6 + common])) == field.baselines.T
    assert field.best_baseline == pytest.approx(2 + common)
    assert field.losses_of(["a", "c"]) == pytest.approx(2 + common)
    assert field.losses_of(["a", "x"]) is None


def test_a_case_with_far_fewer_days_or_a_loss_that_is_no_number_has_no_column_but_stays() -> None:
    broken = losses("c", DAYS)
    broken.losses[7] = np.nan
    nothing = losses("d", [])
    field = align([losses("a", DAYS), losses("b", DAYS[20:]), broken, nothing])
    assert field.columns == {"a": 0}
    assert len(field.losses) == 100
    assert [row["case_key"] for row in field.figures] == ["a", "b", "c", "d"]


def test_no_case_is_an_empty_field() -> None:
    field = align([])
    assert (field.columns, field.figures, field.losses.shape) == ({}, [], (0, 0))


def write(
    store: Store,
    name: str,
    case: TestCase,
    minute: int,
    loss: float,
    outcome: str | None = None,
    worker: str = "w:1:2.0",
    **changes: Any,
) -> None:
    time = datetime(2024, 1, 1, 0, minute, tzinfo=UTC).replace(tzinfo=None)
    row = result_row(case, "d", RunInfo(worker, time, time, 1.0, 1.0, "v"), outcome or "it broke")
    if outcome is None:
        row |= {"status": "tested", "skill": 0.1, "rmse_pct": 1.0, "loss_day": [1, 2], "loss_model": [loss, 2 * loss]}
        row |= {"loss_baseline": [3.0, 4.0]}
    assert write_results(store, result_path("d", name), [row | changes])


def test_the_field_of_a_store_has_the_first_result_of_every_ranked_case_in_the_order_of_their_keys(
    tmp_path: Path,
) -> None:
    store = Store(str(tmp_path))
    cases = [make_case(lags=lags) for lags in (1, 2)]
    write(store, "1", cases[0], 5, 1.0)
    write(store, "2", cases[0], 1, 99.0)  # computed again, in a file that is read later
    write(store, "3", cases[1], 2, 10.0)
    write(store, "4", make_case(lags=3), 3, 0.0, "it broke")
    write(store, "5", make_case(walk_forward={"refit_every": 24}), 3, 1.0)
    field = read_field(store, "d")
    assert [row["case_key"] for row in field.figures] == sorted(case.key for case in cases) == list(field.columns)
    assert field.losses[:, field.columns[cases[0].key]].tolist() == [1.0, 2.0]
    assert field.losses[:, field.columns[cases[1].key]].tolist() == [10.0, 20.0]
    assert field.baselines.tolist() == [[3.0, 3.0], [4.0, 4.0]]


def test_on_a_market_of_noise_the_p_value_of_a_sweep_is_not_small(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    cases = tuple(make_case(lags=lags, params={"alpha": alpha}) for lags in (1, 2, 4) for alpha in (1.0, 100.0, 1e4))
    p_values = []
    for seed in range(3):
        dataset_id = write_dataset(store, make_dataset(6000, seed=seed, clustered=False), "test")
        assert run_chunk(store, Chunk(dataset_id, cases), lease_seconds=60, code_version="test") is not None
        field = read_field(store, dataset_id)
        assert len(field.columns) == 9
        p_values.append(spa_p_value(field.losses, field.baselines, resampled_days(len(field.losses), 3)))
    assert min(p_values) > 0.05


def test_results_that_are_not_trusted_or_broken_leave_the_others_as_they_are(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    honest = make_case()
    write(store, "1", honest, 1, 1.0)
    write(store, "2", make_case(lags=2), 1, 0.1, worker="forger:1:2.0")
    assert len(read_field(store, "d").figures) == 2
    broken: list[dict[str, Any]] = [{"loss_day": None}, {"loss_model": [1.0]}, {"case_json": "{"}, {"worker": None}]
    for lags, changes in enumerate(broken, 3):
        write(store, str(lags), make_case(lags=lags), 1, 0.1, **changes)
    field = read_field(store, "d", without_machines=["forger"])
    assert [row["case_key"] for row in field.figures] == [honest.key] == list(field.columns)
