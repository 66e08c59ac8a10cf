"""A mass search with ridge: cases of a Gram matrix against a plain fit each, and 10,000 of them as a sweep.

The candles are real: BTC/USDT 1h, with the feature columns as dbt builds them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from flows.server.prefect_server import local_prefect_server, prefect_settings
from flows.warehouse.export import export_dataset
from flows.warehouse.transform import feature_catalogue, run_dbt, write_markets
from flows.workspace.database import Warehouse
from ml.data.datasets import Dataset, read_dataset, write_dataset
from ml.execution.chunks import run_case
from ml.execution.grouping import fit_together, groups_of
from ml.records import ResultRow
from ml.search.case_ranges import CaseRange
from ml.search.cases import TestCase
from ml.search.spaces import SearchSpace
from ml.series import Series
from ml.store import Store
from tests.benchmarks import sweep_sizes
from tests.benchmarks.pairing import report, seconds
from tests.conftest import REPOSITORY

SERIES = Series(exchange="binance", symbol="BTC/USDT", timeframe="1h")
CASES = int(os.environ.get("CANDLEWORKS_BENCH_CASES", "10000"))
PAIRED_CASES = 60
LIMIT_SECONDS = 60.0
COLUMNS = 263
#: Its rows are unknown after a gap for longest, so cases that have it share their rows: a search space that always has
#: the range, as the default one, has many such cases.
LONGEST = "range_high_mean_168"


def gram(name: str) -> None:
    """CPU seconds of a case in a group and alone, paired; then wall seconds of the whole sweep against the limit."""
    folder = Path(os.environ.get("CANDLEWORKS_CANDLES", REPOSITORY.parent / "shared" / "candles"))
    path = folder / "binance" / "BTC-USDT" / "1h.parquet"
    if not path.exists():
        sys.stderr.write(f"{name}: skipped, no recorded candles at {path}; set CANDLEWORKS_CANDLES to their folder\n")
        return
    with tempfile.TemporaryDirectory() as text:
        home = Path(text)
        store, dataset_id, catalogue = _build(home, path)
        space = _space(catalogue)
        _pair(name, read_dataset(store, dataset_id), _sample(space, catalogue))
        with local_prefect_server(home / "home", services=True), prefect_settings(sweep_sizes.QUIET):
            import flows.sweep.run  # noqa: F401, PLC0415 - the sweep does not pay for its imports

            with sweep_sizes.warm_pool(store, dataset_id, home) as pool:
                took = seconds(lambda: sweep_sizes.sweep(store.url, SERIES, dataset_id, space, catalogue, pool))
    report(f"{name}_sweep", took, LIMIT_SECONDS, took / LIMIT_SECONDS, f"s, {CASES:,} cases, against the limit")
    hourly, least = 3600 * CASES / took, 3600 * 10_000 / LIMIT_SECONDS
    report(f"{name}_sweep_rate", hourly, least, hourly / least, "cases/hour, against the least")


def _build(home: Path, candles: Path) -> tuple[Store, str, dict[str, str]]:
    """The store with the dataset, its id, and column -> group of the columns that are known wherever `LONGEST` is."""
    warehouse = Warehouse(home / "warehouse.duckdb")
    with warehouse.connect() as connection:
        write_markets(connection, [SERIES], SERIES.timeframe)
        connection.execute(
            "insert into raw.candles by name select ? as exchange, ? as symbol, ? as timeframe, open_time::timestamp "
            "as open_time, open, high, low, close, volume, 1 as load_id, timestamp '2026-01-01' as loaded_at "
            "from read_parquet(?)",
            [SERIES.exchange, SERIES.symbol, SERIES.timeframe, str(candles)],
        )
    command = ["run", "--select", "+fct_features", "+fct_labels", "+fct_candles"]
    run_dbt(warehouse.path, command, target_path=home / "dbt", log_path=home / "logs")
    groups = {entry["column"]: entry["group"] for entry in feature_catalogue(home / "dbt") if entry["relative"]}
    with warehouse.connect() as connection:
        dataset = export_dataset(connection, SERIES, groups)
    known = np.isfinite(dataset.features)
    longest = known[:, dataset.places[LONGEST]]
    chosen = [column for column in dataset.columns if known[longest, dataset.places[column]].all()]
    chosen.remove(LONGEST)
    store = Store(home / "store")
    catalogue = {column: groups[column] for column in (LONGEST, *chosen[: COLUMNS - 1])}
    return store, write_dataset(store, dataset, "benchmark"), catalogue


def _space(catalogue: dict[str, str]) -> SearchSpace:
    """A sample of the subsets of the columns, with four alphas, and rows weighted or not."""
    return SearchSpace(
        name="gram",
        model=("ridge",),
        columns=dict.fromkeys(catalogue, "both") | {LONGEST: "on"},
        weights=("equal", "inverse_scale"),
        params={"alpha": (1.0, 30.0, 300.0, 1000.0)},
        sample=CASES,
    )


def _sample(space: SearchSpace, catalogue: dict[str, str]) -> list[TestCase]:
    return [case for _, case in islice(CaseRange(space, SERIES, catalogue).numbered(), PAIRED_CASES)]


def _pair(name: str, dataset: Dataset, cases: list[TestCase]) -> None:
    """CPU seconds of a case in its group and alone, each after a case that fills what all share."""

    def together() -> list[ResultRow]:
        rows = []
        for group in groups_of(cases, dataset):
            fitted = fit_together(group, dataset)
            rows += [run_case(case, dataset, "benchmark", "code", fitted) for case in group]
        return rows

    def alone() -> list[ResultRow]:
        return [run_case(case, dataset, "benchmark", "code") for case in cases]

    run_case(cases[0], dataset, "benchmark", "code")
    (mine, ours), (theirs, reference) = _cpu_seconds(together), _cpu_seconds(alone)
    apart = max(
        abs(row["rmse_pct"] / other["rmse_pct"] - 1)
        for row, other in zip(*(sorted(rows, key=lambda row: row["case_key"]) for rows in (mine, theirs)), strict=True)
    )
    sys.stderr.write(f"{name}: the errors of the two sides lie {apart:.1e} apart at most\n")
    report(f"{name}_case", ours / len(cases), reference / len(cases), ours / reference, "CPU s, against a plain fit")


def _cpu_seconds(work: Callable[[], list[ResultRow]]) -> tuple[list[ResultRow], float]:
    started = time.process_time()
    rows = work()
    return rows, time.process_time() - started
