"""Checks of the content of result files: workers are not trusted, and a readable file may be no result.

The figures of a file that passes are still recomputed before anything depends on them (`ml.promotion.gate`).
They ensure that every reader finds the columns, types and names that it relies on.
"""

from __future__ import annotations

import json
import re
from datetime import datetime

import pyarrow as pa

from ml.canonical import digest
from ml.data.targets import NEXT_CANDLE
from ml.execution.result_schema import SCHEMA
from ml.metrics.baselines import BASELINES
from ml.records import ResultRow

#: Columns of the first version; later ones may be missing.
_REQUIRED = (
    "case_key", "dataset_id", "exchange", "symbol", "timeframe", "model", "case_json", "status", "error", "worker",
    "started_at", "finished_at", "fit_seconds", "code_version", "baseline", "skill", "rmse_pct", "n_train",
    "n_validation", "loss_day", "loss_model", "loss_baseline",
)  # fmt: skip
_NEVER_NULL = ("case_key", "dataset_id", "exchange", "symbol", "timeframe", "model", "case_json", "status", "worker")
_RANKED = ("skill", "rmse_pct", "n_train", "n_validation", "loss_day", "loss_model", "loss_baseline")
_KEY = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[a-z0-9_]{1,40}")
_EARLIEST, _LATEST = datetime.fromisoformat("2015-01-01"), datetime.fromisoformat("2200-01-01")
_LONGEST = {"worker": 200, "error": 20_000, "code_version": 100, "feature_set": 200}


def problem_of(table: pa.Table, dataset_id: str) -> str:
    """Why a table is no result file of a dataset, with the first row at fault; "" if it is one.

    Args:
        table: all columns of the file.
        dataset_id: of its folder.
    """
    if missing := [name for name in _REQUIRED if name not in table.column_names]:
        return f"it lacks the column {missing[0]}"
    for field in table.schema:
        if field.name in SCHEMA.names and not _is_kind(field.type, SCHEMA.field(field.name).type):
            return f"its column {field.name} is {field.type}, not {SCHEMA.field(field.name).type}"
    names = [name for name in (*_REQUIRED, *_LONGEST) if name in table.column_names and name not in _RANKED[4:]]
    rows: list[ResultRow] = table.select(list(dict.fromkeys(names))).to_pylist()
    lengths = [table[name].combine_chunks().value_lengths().to_pylist() for name in _RANKED[4:]]
    for number, row in enumerate(rows):
        if problem := _problem_of_row(row, [values[number] for values in lengths], dataset_id):
            return f"row {number + 1} {problem}"
    return ""


def _is_kind(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column has the type; one without any value is of type null, and times may have another unit."""
    if pa.types.is_null(found) or found == wanted:
        return True
    if pa.types.is_timestamp(wanted):
        return bool(pa.types.is_timestamp(found) and found.tz is None)
    if pa.types.is_list(wanted):
        return bool(pa.types.is_list(found) and _is_kind(found.value_type, wanted.value_type))
    return bool(pa.types.is_string(wanted) and pa.types.is_large_string(found))


def _problem_of_row(row: ResultRow, days: list[int | None], dataset_id: str) -> str:
    for name in _NEVER_NULL:
        if row.get(name) is None:
            return f"has no {name}"
    for name, most in _LONGEST.items():
        if len(str(row.get(name) or "")) > most:
            return f"has a {name} of more than {most:,} characters"
    if row["dataset_id"] != dataset_id:
        return f"is of another dataset than its folder {dataset_id}"
    if row["status"] not in ("tested", "failed"):
        return "has a status that is neither tested nor failed"
    return _problem_of_times(row) or _problem_of_case(row) or _problem_of_figures(row, days)


def _problem_of_times(row: ResultRow) -> str:
    started, finished = row["started_at"], row["finished_at"]
    if started is None or finished is None:
        return "lacks the time of its start or end"
    if not _EARLIEST <= started <= finished < _LATEST:
        return f"was started {started:%Y-%m-%d} and finished {finished:%Y-%m-%d}"
    return ""


def _problem_of_case(row: ResultRow) -> str:
    """Its key is the hash of its description, whose series and model are those of its columns."""
    try:
        content = json.loads(row["case_json"])
        described = {name: value for name, value in content.items() if name != "feature_set"}
        key = digest(described)[:16]
    except (ValueError, AttributeError, RecursionError):
        return "has a description of its case that is not valid JSON"
    if not _KEY.fullmatch(row["case_key"]) or key != row["case_key"]:
        return "has another key than its case"
    columns = {name: row[name] for name in ("exchange", "symbol", "timeframe")}
    if content.get("series") != columns or content.get("model") != row["model"]:
        return "has another series or model than its case"
    return ""


def _problem_of_figures(row: ResultRow, days: list[int | None]) -> str:
    if row["status"] == "failed":
        return ""
    if not isinstance(row["baseline"], str) or not _NAME.fullmatch(row["baseline"]):
        return "has no name of a baseline"
    if json.loads(row["case_json"]).get("target", NEXT_CANDLE) != NEXT_CANDLE:
        return ""
    if row["baseline"] not in BASELINES:
        return f"has the unknown baseline {row['baseline']}"
    if missing := [name for name in _RANKED[:4] if row.get(name) is None]:
        return f"has no {missing[0]}"
    return "" if None not in days and len(set(days)) == 1 else "has losses per day of different lengths"
