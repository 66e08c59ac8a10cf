"""A part of the matrix of damages, on a small home without a warehouse; `make drill DRILL=damage` runs the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flows.settings import load_settings
from ml.data.dataset_pointers import pointer_path
from ml.data.datasets import Dataset, write_dataset
from ml.data.feature_tables import write_feature_table
from ml.data.parquet import parquet_bytes
from ml.data.stored import object_bytes
from ml.evaluation.evaluate import fit_and_evaluate
from ml.execution.chunks import run_case
from ml.execution.costs import Costs, costs_of_dataset
from ml.execution.leases import acquire_lease
from ml.execution.results import result_path, write_results
from ml.forecasting.chain import Chain
from ml.forecasting.model_store import save_model
from ml.forecasting.published import publish_version, write_progress
from ml.metrics.conformal import BandScores
from ml.series import Series
from ml.store import Store
from tests.damage.damages import DAMAGES, kind_of
from tests.damage.matrix import NAMED, SAME, faults, run_matrix, summary
from tests.damage.readers import command, store_readers
from tests.synthetic import make_case, make_dataset

SETTINGS = """
[exchange]
id = "binance"
name = "test"
[markets]
symbols = ["BTC/USDT"]
base_timeframe = "1h"
timeframes = ["1h", "4h"]
"""
TABLES = ("champions", "data_health", "leaderboard", "forecasts")


def markets() -> list[Dataset]:
    first = make_dataset(700)
    four = Series(exchange="test", symbol="BTC/USDT", timeframe="4h")
    times = first.open_time_ms[0] // 14_400_000 * 14_400_000 + np.arange(700) * 14_400_000
    return [first, replace(make_dataset(700, seed=2), series=four, timeframe_ms=14_400_000, open_time_ms=times)]


def small_home(home: Path) -> Path:
    """Two series with all that workers, pages and commands read, but a warehouse."""
    store = Store(home / "store")
    store.require_schema()
    for number, market in enumerate(markets()):
        case = make_case(series=market.series, lags=1 + number)
        dataset_id = write_dataset(store, market, "code")
        pointer = {"dataset_id": dataset_id, "through_ms": 0, "since_load_id": 0}
        store.replace(pointer_path(market.series), object_bytes(pointer))
        write_results(store, result_path(dataset_id, case.key), [run_case(case, market, "host:1:2", "code")])
        costs_of_dataset(store, dataset_id, lambda: Costs({"ridge": 0.5}))
        acquire_lease(store, f"chunk{number:019}", "host:1:2", 0.0, 60.0)
        table = parquet_bytes(
            pa.table({"open_time_ms": pa.array([number], pa.int64()), "a": pa.array([1.5], pa.float32())})
        )
        write_feature_table(store, market.series, dataset_id, ["a"], lambda: table)  # noqa: B023 - called at once
        fitted = fit_and_evaluate(case, market)[2]
        card = {"kind": "served: refitted", "series": market.series.key, "dataset_id": dataset_id, "selection": {}}
        saved = save_model(
            store, f"{number:024x}", case, fitted, BandScores(np.arange(60.0), None), {**card, "holdout": {}}
        )  # type: ignore[typeddict-item]
        Chain(store, "verdicts").append({  # type: ignore[arg-type]
            **market.series.key, "decision": "promoted", "rule": "promoted", "case_key": case.key, "model": "ridge",
            "dataset_id": dataset_id, "decided_at": "2024-01-01T00:00:00+00:00", "reason": "", "holdout_opened": True,
            "model_id": saved.id, "frozen_model_id": saved.id, "model_card_sha256": saved.card_sha256,
        })  # fmt: skip
    for version in ("a" * 24, "b" * 24):
        rows = [{**market.series.key, "model": version[0]} for market in markets()]
        files = {name: parquet_bytes(pa.Table.from_pylist(rows)) for name in TABLES}
        publish_version(store, version, files, {"published_at": "2024-01-01T00:00:00+00:00"})
    write_progress(store, {"status": "done", "series": []})
    return home


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_no_damage_ends_in_a_traceback_or_in_other_numbers_without_a_word(tmp_path: Path) -> None:
    home, config, scratch = small_home(tmp_path / "home"), tmp_path / "candleworks.toml", tmp_path / "scratch"
    config.write_text(SETTINGS)
    load_settings(config)
    scratch.mkdir()
    commands = (("models", "--json"), ("status", "--json"), ("leaderboard", "--json"), ("forecasts", "--all", "--json"))
    readers = [*store_readers(), *(command(config, *words) for words in commands)]
    # Damage of results and of sealed records is the subject of tests of their own.
    cells = run_matrix(home, scratch, readers, only=lambda kind: "results/" not in kind and "verdicts/" not in kind)
    assert faults(cells) == [], summary(cells)
    assert {cell.damage for cell in cells} == set(DAMAGES)
    kinds = {cell.kind for cell in cells}
    assert {"store/models/*/card.json", "store/datasets/*/features.npy", "store/costs/*.json"} <= kinds
    assert len(kinds) >= 15
    # What is derived gives the same; what is not is named.
    derived = [cell for cell in cells if cell.kind == "store/costs/*.json"]
    assert {cell.verdict for cell in derived} == {SAME}
    assert {cell.verdict for cell in cells if cell.kind == "store/models/*/card.json"} == {NAMED}


def test_files_of_one_kind_have_one_path() -> None:
    paths = {
        "models/1aceb0884127a617a0152f01/member-45abed11a0cc154b/ridge.npz": "models/*/member-*/ridge.npz",
        "store/verdicts/0000000001.json": "store/verdicts/*.json",
        "store/datasets/current/binance_BTC-USDT_1h.json": "store/datasets/current/*.json",
        "features/binance_ETH-USDT_4h/1f63bb9b88c69c9ba947be366f223952-18d826bd.parquet": "features/*/*.parquet",
    }  # fmt: skip
    assert {path: kind_of(path) for path in paths} == paths
