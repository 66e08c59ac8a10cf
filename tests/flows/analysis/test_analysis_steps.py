"""The steps and commands of analyses on a store with a dataset and planted results."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flows.analysis.boundary import run_boundaries
from flows.analysis.effects import run_effects
from flows.reporting import SILENT
from flows.workspace.workspace import Workspace
from ml.analysis import effects
from ml.analysis.tables import SCHEMAS, published_tables, read_rows
from ml.canonical import digest
from ml.data.dataset_pointers import CURRENT
from ml.data.datasets import Dataset, write_dataset
from ml.data.parquet import read_parquet
from ml.data.targets import TARGETS
from ml.errors import ConfigurationError, StoreError
from ml.execution.result_schema import SCHEMA
from ml.execution.results import write_results
from ml.search.cases import EVALUATION
from tests.flows.conftest import installation_at
from tests.flows.forecasting.test_seal_commands import run
from tests.synthetic import SERIES, make_dataset

ALPHAS = (1.0, 10.0, 100.0)
FIGURES = {"baseline": "drift", "rmse_pct": 1.0, "n_train": 9, "n_validation": 9}
FIGURES |= {"loss_day": [1], "loss_model": [1.0], "loss_baseline": [1.0]}


def classified(rows: int = 600) -> Dataset:
    """A dataset whose class depends on one of three features that every classifier is offered."""
    dataset = make_dataset(rows)
    features = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    trade = np.sign(np.where(np.abs(features[:, 0]) < 0.3, 0.0, features[:, 0]))[:, None]
    return dataclasses.replace(
        dataset, columns=("har_a", "har_b", "season_c"), groups=("har", "har", "season"), features=features,
        labels=np.hstack([dataset.labels, trade]), horizons={"trade": 1},
        targets={**dataset.targets, "trade": TARGETS["trade"].labels},
    )  # fmt: skip


def planted_results(dataset_id: str, count: int = 45, first: int = 0) -> list[Any]:
    """Ridge cases: the larger alpha, the better, whatever the weights; every ninth failed."""
    rows = []
    for number in range(first, first + count):
        alpha = ALPHAS[number % 3]
        case = {"model": "ridge", "target": "next_candle", "evaluation": EVALUATION, "features": ["har_a"],
                "feature_set": "har", "lags": 1, "params": {"alpha": alpha}, "seeds": [0],
                "series": SERIES.key, "number": number,
                **({"weights": "inverse_scale"} if number % 2 else {})}  # fmt: skip
        failed = number % 9 == 8
        at = datetime(2026, 11, 1) + timedelta(minutes=number)  # noqa: DTZ001 - UTC without a zone, as stored
        rows.append({
            **dict.fromkeys(SCHEMA.names), **SERIES.key, **FIGURES, "dataset_id": dataset_id,
            "case_key": digest({name: value for name, value in case.items() if name != "feature_set"})[:16],
            "model": "ridge", "case_json": json.dumps(case), "status": "failed" if failed else "tested",
            "skill": None if failed else np.log10(alpha) / 100 + 0.0001 * (number % 5), "worker": "vm:1:1.0",
            "started_at": at, "finished_at": at,
        })  # fmt: skip
    return rows


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A home with one series, its dataset and planted results."""
    monkeypatch.setattr(effects, "RESAMPLES", 4)  # the effect is plain; tests/ml/analysis has all resamples
    workspace = installation_at(tmp_path, "http://127.0.0.1:9")
    dataset_id = write_dataset(workspace.store, classified(), "v")
    workspace.store.replace(f"{CURRENT}/{SERIES.slug}.json", json.dumps({"dataset_id": dataset_id}).encode())
    write_results(workspace.store, f"results/{dataset_id}/c1.parquet", planted_results(dataset_id))
    return workspace


def dataset_of(place: Workspace) -> str:
    return str(json.loads(place.store.read(f"{CURRENT}/{SERIES.slug}.json"))["dataset_id"])


def rows_of(tables: dict[str, bytes], name: str) -> list[Any]:
    return list(read_parquet(tables[name]).to_pylist())


def test_effects_are_computed_once_and_again_when_results_arrive(place: Workspace) -> None:
    assert run_effects(place, SILENT) == [SERIES]
    assert run_effects(place, SILENT) == []
    dataset_id = dataset_of(place)
    write_results(place.store, f"results/{dataset_id}/c2.parquet", planted_results(dataset_id, 9, 45))
    assert run_effects(place, SILENT) == [SERIES]
    assert run_effects(place, SILENT, again=True) == [SERIES]
    best = (read_rows(place.store, dataset_id, "effects") or [])[0]
    assert (best["factor"], best["n"], best["n_failed"]) == ("ridge alpha", 48, 6)
    assert (best["best_value"], best["worst_value"]) == ("100", "1")


def test_computed_tables_are_published_and_not_computed_is_no_row(place: Workspace) -> None:
    before = published_tables(place.store)
    assert before.keys() == SCHEMAS.keys()
    assert not any(rows_of(before, name) for name in before)
    run_effects(place, SILENT)
    run_boundaries(place, SILENT)
    after = published_tables(place.store)
    assert {row["factor"] for row in rows_of(after, "effects")} == {"ridge alpha", "weights"}
    assert len(rows_of(after, "effect_cases")) == 45
    (boundary,) = rows_of(after, "boundaries")
    assert boundary["accuracy"] > boundary["majority_accuracy"] + 0.2
    assert "har_a" in (boundary["x_feature"], boundary["y_feature"])
    assert published_tables(place.store) == after, "equal contents give an equal version"


def test_a_broken_table_stops_nothing_and_is_computed_again(place: Workspace) -> None:
    run_effects(place, SILENT)
    path = f"analysis/{dataset_of(place)}/effect_values.parquet"
    place.store.replace(path, b"broken")
    assert rows_of(published_tables(place.store), "effect_values") == []
    assert any(name.endswith(".corrupt") for name in place.store.list("analysis"))
    assert run_effects(place, SILENT) == [SERIES], "it is due again"
    assert rows_of(published_tables(place.store), "effect_values")


def test_a_boundary_is_kept_with_further_pairs(place: Workspace) -> None:
    assert run_boundaries(place, SILENT) == [SERIES]
    assert run_boundaries(place, SILENT) == []
    assert run_boundaries(place, SILENT, pair=("season_c", "har_b")) == [SERIES]
    assert run_boundaries(place, SILENT, pair=("season_c", "har_a")) == [SERIES]
    found = read_rows(place.store, dataset_of(place), "boundaries") or []
    assert [row["is_default"] for row in found] == [True, False, False]
    assert {(row["x_feature"], row["y_feature"]) for row in found[1:]} == {("season_c", "har_b"), ("season_c", "har_a")}


def test_odd_series_name_those_that_there_are(place: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No exported series is ETH/USDT 4h; there are BTC/USDT 1h"):
        run_effects(place, SILENT, "ETH/USDT", "4h")
    with pytest.raises(StoreError, match="Run `candleworks demo` or `candleworks export`"):
        run_effects(installation_at(tmp_path / "new", "http://127.0.0.1:9"), SILENT)


def test_the_command_prints_ranks_values_and_parts_of_the_cases(place: Workspace) -> None:
    ranked = json.loads(run(place.home, "effects", "--json").stdout)
    assert [(row["factor"], row["rank"], row["n"]) for row in ranked] == [("ridge alpha", 1, 40), ("weights", 2, 40)]
    values = json.loads(run(place.home, "effects", "--factor", "ridge alpha", "--json").stdout)
    assert [(row["value"], row["n"], row["n_failed"]) for row in values] == [
        ("1", 15, 0),
        ("10", 15, 0),
        ("100", 10, 5),
    ]
    part = json.loads(
        run(place.home, "effects", "--where", "weights=equal", "--factor", "ridge alpha", "--json").stdout
    )
    assert [row["n"] for row in part] == [8, 7, 5], "the filter reduces n"
    assert [row["is_few"] for row in part] == [False, False, False]
    half = json.loads(run(place.home, "effects", "--best-half", "--factor", "ridge alpha", "--json").stdout)
    assert sum(row["n"] for row in half) < 40
    few = run(place.home, "effects", "--where", "ridge alpha=100")
    assert "10 tested cases, at least 20 that differ are ranked" in few.stderr


def test_odd_factors_and_axes_are_refused(place: Workspace) -> None:
    for arguments, message in (
        (("effects", "--factor", "alpha"), "No case has the factor alpha. There are: ridge alpha, weights."),
        (("effects", "--where", "weights=none"), "No case has weights=none. There are: equal, inverse_scale."),
        (("effects", "--where", "weights"), "--where 'weights' has no value. Give one such as model=ridge."),
        (("boundary", "--x", "har_a"), "One axis makes no plane. Give both --x and --y, or none."),
        (("reports", "tested", "--csv", "--json"), "--json and --csv exclude each other. Give one of them."),
        (("reports", "tested", "--month", "2026-11", "--to", "2026-11"), "Leave --from and --to out."),
        (("reports", "month"), "Give it: `candleworks reports month --month 2026-11`."),
        (("predict", "--model", "m", "--candles", "c", "--out", "p.txt"), "ends in .csv or .parquet"),
    ):
        failed = run(place.home, *arguments)
        assert message in str(failed.exception), arguments


def test_the_command_says_what_a_classifier_is_worth(place: Workspace) -> None:
    done = run(place.home, "boundary")
    assert "BTC/USDT 1h: random_forest_classifier is right in" in done.stdout
    (record,) = json.loads(run(place.home, "boundary", "--json").stdout)
    assert len(record["cells"]) == 1600 and record["points"]
    assert pa.types.is_boolean(SCHEMAS["boundary_cells"].field("is_sparse").type)
