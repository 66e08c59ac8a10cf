"""Results: one Parquet file per chunk of test cases, created once and never changed.

A file has metrics, parameters and the losses per day aligned by time: data only, no executable content. A second worker
with the same chunk finds that the file exists, so a late or repeated result changes nothing.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, cast

import pyarrow as pa

from ml.canonical import canonical_json, digest
from ml.data.datasets import Dataset
from ml.data.parquet import parquet_bytes, read_parquet
from ml.evaluation.evaluate import Evaluation
from ml.execution.arrivals import HomeStore, Signer
from ml.execution.result_schema import SCHEMA, TIMES
from ml.execution.result_signatures import signed_parquet
from ml.execution.workers import machine_of, renamed
from ml.models import MODELS
from ml.records import LabelMetrics, ResultEvaluation, ResultRow, WindowMetrics
from ml.search.cases import TestCase
from ml.signatures import SigningKey
from ml.store import Store

_logger = logging.getLogger(__name__)

SUFFIX = ".parquet"
#: Slashes in the path of a result file.
DEPTH = 2


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


def write_results(store: Store, path: str, rows: Sequence[ResultRow], key: SigningKey | None = None) -> bool:
    """Create a result file, signed with the worker's key; False if another worker was first and nothing was changed."""
    columns = {field.name: _column(list(map(itemgetter(field.name), rows)), field.type) for field in SCHEMA}
    table = pa.table(columns, schema=SCHEMA)
    try:
        store.create(path, signed_parquet(table, key) if key else parquet_bytes(table))
    except FileExistsError:
        return False
    return True


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.list_(pa.date32()):
        # date32 stores days since 1970-01-01.
        return pa.array(values, pa.list_(pa.int32())).cast(kind)
    return pa.array(values, kind)


def read_result_table(store: Store, path: str, columns: list[str] | None = None) -> pa.Table | None:
    """One result file; None if it is broken or was not accepted.

    A broken file is set aside as ``<path>.corrupt``: nothing is deleted, `corrupt_results` lists it, and the next sweep
    evaluates its cases again, since they have no result. In the home's store only accepted files are read, and a column
    `signer` says whose key signed them: a lent machine, "" for the home, null where unsigned. Results of a lent machine
    have its name as that of their machine, not the one that they reported.
    """
    if isinstance(store, HomeStore):
        found = store.arrivals.checked(store, path)
        if found is None:
            return None
        content, signer = found
        return _by_signer(_read_columns(content, columns), signer)
    content = store.read(path)
    try:
        return _read_columns(content, columns)
    except (pa.ArrowException, OSError):
        aside = store.set_aside(path)
        _logger.warning("%s is damaged. It is set aside as %s; the next sweep evaluates its cases again.", path, aside)
        return None


def _read_columns(content: bytes, columns: list[str] | None) -> pa.Table:
    """Named columns that a file of an earlier version lacks are null."""
    table = read_parquet(content, columns)
    for name in columns or ():
        if name not in table.column_names and name in SCHEMA.names:
            table = table.append_column(name, pa.nulls(len(table), SCHEMA.field(name).type))
    return table


def _by_signer(table: pa.Table, signer: Signer | None) -> pa.Table:
    name = None if signer is None else signer.name
    if name and "worker" in table.column_names:
        workers = [renamed(worker, name) for worker in table["worker"].to_pylist()]
        table = table.set_column(table.column_names.index("worker"), "worker", pa.array(workers, pa.string()))
    return table.append_column("signer", pa.array([name] * len(table), pa.string()))


def read_result_file(store: Store, path: str, columns: list[str] | None = None) -> list[ResultRow]:
    """All rows of one result file, with all columns or the named ones; none if it is broken."""
    table = read_result_table(store, path, columns)
    rows: list[ResultRow] = [] if table is None else table.to_pylist()
    return rows


def result_tables(
    store: Store, dataset_id: str = "", columns: list[str] | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """Path and content of the result files of one dataset or of all, in the order in which they count."""
    for path in result_files(store, dataset_id):
        table = read_result_table(store, path, columns)
        if table is not None:
            yield path, table


def result_files(store: Store, dataset_id: str = "") -> list[str]:
    """Paths of the result files of one dataset or of all, in the order in which they count.

    That is the order of their arrival in the home of the store (`ml.execution.arrivals`). A store that is read without
    its home, as workers do, has no such order: there they are sorted by name.
    """
    folder = f"results/{dataset_id}" if dataset_id else "results"
    paths = [path for path in store.list(folder) if path.endswith(SUFFIX) and path.count("/") == DEPTH]
    return store.arrivals.in_order(store, paths) if isinstance(store, HomeStore) else paths


def result_datasets(store: Store) -> list[str]:
    """Ids of the datasets that have results, sorted."""
    return sorted({path.split("/")[1] for path in result_files(store)})


def corrupt_results(store: Store) -> list[str]:
    """Paths of the result files that were broken or not accepted, and set aside."""
    return [path for path in store.list("results") if path.endswith(".corrupt")]


def read_results(
    store: Store, dataset_id: str, columns: list[str] | None = None, without_machines: Collection[str] = ()
) -> list[ResultRow]:
    """The result rows of a dataset, with all columns or at least the named ones; of several rows of a case the first.

    The first is the one that arrived first, the same choice as in the warehouse (see `result_files`).

    Args:
        store: with the results.
        dataset_id: of the results.
        columns: at least these; None: all.
        without_machines: machines whose results are not trusted; then `columns` has `worker`.
    """
    rows = read_all_results(store, dataset_id, columns)
    return first_of_each(
        row for row in rows if not without_machines or machine_of(row["worker"]) not in without_machines
    )


def read_all_results(store: Store, dataset_id: str, columns: list[str] | None = None) -> list[ResultRow]:
    """The result rows of a dataset in the order in which they count, with every result of a case."""
    columns = columns and list(dict.fromkeys((*columns, "case_key")))
    tables = result_tables(store, dataset_id, columns)
    return [row for _, table in tables for row in cast(list[ResultRow], table.to_pylist())]


def first_of_each(rows: Iterable[ResultRow]) -> list[ResultRow]:
    """The first row of each case; `rows` are in the order in which they count."""
    first: dict[str, ResultRow] = {}
    for row in rows:
        first.setdefault(row["case_key"], row)
    return list(first.values())
