"""Results: one Parquet file per chunk of test cases, created once and never changed.

A file has metrics, parameters and the losses per day aligned by time: data only, no executable content. A second worker
with the same chunk finds that the file exists, so a late or repeated result changes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, cast

import pyarrow as pa

from ml.canonical import canonical_json, digest
from ml.data.datasets import Dataset
from ml.data.parquet import parquet_bytes, read_parquet
from ml.evaluation.evaluate import Evaluation
from ml.models import MODELS
from ml.records import LabelMetrics, Metrics, ResultEvaluation, ResultRow, WindowMetrics
from ml.search.cases import TestCase
from ml.store import Store

#: Metrics of a case; each kind of target has some of them, the others are null.
METRICS = tuple(Metrics.__annotations__)
TIMES = ("train_start", "train_end", "validation_start", "validation_end")
SUFFIX = ".parquet"
_TIME = pa.timestamp("ms")

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("case_key", "dataset_id", "exchange", "symbol", "timeframe")]
    + [("model", pa.string()), ("model_family", pa.string()), ("feature_set", pa.string())]
    + [("n_features", pa.int64()), ("lags", pa.int64()), ("case_json", pa.string())]
    + [("status", pa.string()), ("error", pa.string()), ("worker", pa.string())]
    + [("started_at", _TIME), ("finished_at", _TIME), ("fit_seconds", pa.float64()), ("peak_memory_mb", pa.float64())]
    + [("code_version", pa.string()), ("baseline", pa.string())]
    + [(name, pa.float64()) for name in METRICS]
    + [("n_train", pa.int64()), ("n_validation", pa.int64())]
    + [(name, _TIME) for name in TIMES]
    + [("seed_metrics", pa.string())]
    + [("loss_day", pa.list_(pa.date32())), ("loss_model", pa.list_(pa.float64()))]
    + [("loss_baseline", pa.list_(pa.float64()))]
    # Tables as JSON: one row per label, step, event or class; one row per fit of a walk-forward evaluation.
    + [("label_metrics", pa.string()), ("window_metrics", pa.string())]
    # Hash of the formulas of the case's columns, as 12 hexadecimal digits; null where unknown.
    + [("lineage", pa.string())]
)


@dataclass(frozen=True)
class RunInfo:
    """Worker, times, resources and code version of an evaluation. Times are UTC without a zone, as they are stored."""

    worker: str
    started_at: datetime
    finished_at: datetime
    fit_seconds: float
    peak_memory_mb: float
    code_version: str


def result_row(case: TestCase, dataset_id: str, run: RunInfo, outcome: Evaluation | str) -> ResultRow:
    """One row of `SCHEMA`: an evaluation, or the one-line error of a failed case."""
    row = {
        **dict.fromkeys(SCHEMA.names),
        "case_key": case.key,
        "dataset_id": dataset_id,
        **case.series.key,
        "model": case.model,
        "model_family": MODELS[case.model].kind,
        "feature_set": case.feature_set,
        "n_features": len(case.features),
        "lags": case.lags,
        "case_json": canonical_json(case.content()),
        **vars(run),
    }
    if isinstance(outcome, str):
        return cast(ResultRow, row | {"status": "failed", "error": outcome})
    return cast(ResultRow, row | {"status": "tested", **findings(outcome)})


def findings(outcome: Evaluation) -> ResultEvaluation:
    """The columns of an evaluation: metrics, losses and row spans."""
    found = {
        "baseline": outcome.baseline,
        **outcome.metrics,
        "n_train": outcome.n_train,
        "n_validation": outcome.n_validation,
        **{name: outcome.spans[name] for name in TIMES},
        "seed_metrics": json.dumps(outcome.per_seed),
        "loss_day": outcome.days,
        "loss_model": outcome.losses,
        "loss_baseline": outcome.baseline_losses,
        "label_metrics": _table_json(outcome.label_metrics),
        "window_metrics": _table_json(outcome.window_metrics),
    }
    return cast(ResultEvaluation, found)


def _table_json(table: Sequence[LabelMetrics] | Sequence[WindowMetrics] | None) -> str | None:
    """A table as strict JSON: NaN becomes null."""
    if not table:
        return None
    rows = [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        for row in table
    ]
    return json.dumps(rows, allow_nan=False)


def lineage_id(dataset: Dataset, case: TestCase) -> str | None:
    """Hash of the formulas of a case's columns; None if the dataset has no fingerprints."""
    lineage = dataset.lineage(case.lineage_columns)
    return digest(lineage)[:12] if lineage else None


def result_path(dataset_id: str, chunk_id: str) -> str:
    """Path of the result file of a chunk."""
    return f"results/{dataset_id}/{chunk_id}{SUFFIX}"


def part_path(dataset_id: str, chunk_id: str, generation: int, part: int) -> str:
    """Path of a part of a chunk's results; unique, since each lease generation belongs to one worker."""
    return f"results/{dataset_id}/{chunk_id}-{generation:04d}-{part:04d}{SUFFIX}"


def write_results(store: Store, path: str, rows: Sequence[ResultRow]) -> bool:
    """Create a result file; False if another worker was first and nothing was changed."""
    columns = {field.name: _column(list(map(itemgetter(field.name), rows)), field.type) for field in SCHEMA}
    try:
        store.create(path, parquet_bytes(pa.table(columns, schema=SCHEMA)))
    except FileExistsError:
        return False
    return True


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.list_(pa.date32()):
        # date32 stores days since 1970-01-01.
        return pa.array(values, pa.list_(pa.int32())).cast(kind)
    return pa.array(values, kind)


def read_result_table(store: Store, path: str, columns: list[str] | None = None) -> pa.Table | None:
    """One result file; None if it is broken.

    A broken file is set aside as ``<path>.corrupt``: nothing is deleted, `corrupt_results` lists it, and the next sweep
    evaluates its cases again, since they have no result.
    """
    content = store.read(path)
    try:
        return read_parquet(content, columns)
    except (pa.ArrowException, OSError):
        store.set_aside(path)
        return None


def read_result_file(store: Store, path: str, columns: list[str] | None = None) -> list[ResultRow]:
    """All rows of one result file, with all columns or the named ones; none if it is broken."""
    table = read_result_table(store, path, columns)
    rows: list[ResultRow] = [] if table is None else table.to_pylist()
    return rows


def result_files(store: Store, dataset_id: str = "") -> list[str]:
    """Paths of the result files of one dataset or of all, sorted."""
    folder = f"results/{dataset_id}" if dataset_id else "results"
    return [path for path in store.list(folder) if path.endswith(SUFFIX)]


def result_datasets(store: Store) -> list[str]:
    """Ids of the datasets that have results, sorted."""
    return sorted({path.split("/")[1] for path in result_files(store)})


def corrupt_results(store: Store) -> list[str]:
    """Paths of the result files that were broken and set aside."""
    return [path for path in store.list("results") if path.endswith(".corrupt")]


#: Order of several results of a case.
_ORDER = ("finished_at", "started_at", "worker")


def read_results(store: Store, dataset_id: str, columns: list[str] | None = None) -> list[ResultRow]:
    """The result rows of a dataset, with all columns or at least the named ones.

    Of several rows of a case the one that finished first, the same choice as in the warehouse.
    """
    columns = columns and list(dict.fromkeys((*columns, "case_key", *_ORDER)))
    rows = [row for path in result_files(store, dataset_id) for row in read_result_file(store, path, columns)]
    first: dict[str, ResultRow] = {}
    for row in sorted(rows, key=lambda row: (row["finished_at"], row["started_at"], row["worker"])):
        first.setdefault(row["case_key"], row)
    return list(first.values())
