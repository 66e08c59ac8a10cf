"""A test case evaluated in this process, as a row of the results."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
from pydantic import ValidationError

from flows.notebook.snapshots import typed_frame
from ml.data.dataset_pointers import current_datasets
from ml.data.datasets import read_dataset
from ml.errors import CaseError, DatasetError
from ml.evaluation.evaluate import evaluate
from ml.execution.result_schema import SCHEMA
from ml.execution.results import RunInfo, result_row
from ml.search.cases import TestCase
from ml.store import Store
from ml.version import code_version

#: Columns of a result file that are of no use in a frame: the worker, and the losses per day.
_LEFT_OUT = ("status", "error", "worker", "peak_memory_mb", "loss_day", "loss_model", "loss_baseline")


#: A test case, its description as a user has written it (checked by `TestCase`), or that as JSON.
CaseLike = TestCase | Mapping[str, object] | str


def evaluated(store: Store, case: CaseLike, dataset_id: str | None) -> pd.DataFrame:
    """See `candleworks.Home.evaluate`."""
    parsed = _parsed(case)
    dataset = read_dataset(store, dataset_id or _newest(store, parsed))
    if dataset.series != parsed.series:
        raise CaseError(f"The case is about {parsed.series}, data set {dataset.id} about {dataset.series}.")
    started_at, begin = datetime.now(UTC).replace(tzinfo=None), time.perf_counter()
    evaluation = evaluate(parsed, dataset)
    run = RunInfo(
        worker="",
        started_at=started_at,
        finished_at=datetime.now(UTC).replace(tzinfo=None),
        fit_seconds=time.perf_counter() - begin,
        peak_memory_mb=0.0,
        code_version=code_version(),
    )
    row = result_row(parsed, dataset.id, run, evaluation)
    return typed_frame(pa.Table.from_pylist([row], SCHEMA).drop_columns(list(_LEFT_OUT)), "finished_at")


def _parsed(case: CaseLike) -> TestCase:
    if isinstance(case, TestCase):
        return case
    try:
        return TestCase.model_validate_json(case) if isinstance(case, str) else TestCase.model_validate(dict(case))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ").removesuffix(".")
        raise CaseError(f"This is no test case: {f'{where}: ' if where else ''}{message}.") from error


def _newest(store: Store, case: TestCase) -> str:
    datasets = current_datasets(store)
    if case.series not in datasets:
        known = ", ".join(f"{one} of {one.exchange}" for one in datasets) or "none"
        raise DatasetError(
            f"{case.series} of {case.series.exchange} has no data set in {store.url}; these have: {known}. "
            "Run `candleworks export`, or name another series."
        )
    return datasets[case.series]
