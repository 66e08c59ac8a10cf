"""The other side of the feature benchmarks: what a plain Python script would do with the same indicators.

The calls are read off the SQL that dbt compiled: every function over lists with its inputs and parameters, in the order
of the models, so both sides do the same indicator work. What the SQL does to a result afterwards (a ratio, a test)
is one NumPy division a column here. Two threads take a market each; then one Parquet file is written.
"""

from __future__ import annotations

import json
import operator
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from flows.warehouse.transform import dbt_project

Array = npt.NDArray[Any]
Call = dict[str, Any]
#: In parameters: `ewm_mean(close, 1 / 13)`.
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def functions() -> dict[str, Any]:
    """Name -> ListFunction of everything that the dbt project offers to its SQL."""
    sys.path.insert(0, str(dbt_project() / "plugins"))
    from candle_functions import list_functions  # noqa: PLC0415 - not a package

    return {function.name: function for function in list_functions()}


@dataclass(frozen=True)
class Work:
    """What one feature model does: its calls, and its columns with their types."""

    calls: list[Call]
    columns: dict[str, str]


def read_work(target_path: Path) -> list[Work]:
    """The feature models of the last dbt run, from its manifest."""
    nodes = json.loads((target_path / "manifest.json").read_text("utf-8"))["nodes"].values()
    known = functions()
    work = []
    for node in nodes:
        if node["name"].startswith("int_features__") and node["resource_type"] == "model":
            columns = {name: column["data_type"] for name, column in node["columns"].items() if name != "candle_id"}
            work.append(Work(_calls(_compiled(target_path, node), known), columns))
    return work


def _compiled(target_path: Path, node: dict[str, Any]) -> str:
    return (target_path / "compiled" / "candleworks" / node["original_file_path"]).read_text("utf-8")


def _calls(sql: str, known: dict[str, Any]) -> list[Call]:
    """The outermost calls of known functions in a statement, from DuckDB's own parse tree."""
    row = duckdb.sql("select json_serialize_sql(?::varchar)", params=[sql]).fetchone()
    assert row is not None
    found: list[Call] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("function_name") in known:
                found.append(node)
                return
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(json.loads(row[0]))
    return found


def _evaluate(call: Call, candles: dict[str, Array], known: dict[str, Any]) -> Any:
    function = known[call["function_name"]]
    arguments = [_argument(child, candles, known) for child in call["children"]]
    inputs, numbers = arguments[: function.inputs], arguments[function.inputs :]
    typed = [int(number) if whole else number for number, whole in zip(numbers, function.parameters, strict=True)]
    return function.kernel(*inputs, *typed)


def _argument(node: Call, candles: dict[str, Array], known: dict[str, Any]) -> Any:
    if node.get("function_name") in known:
        result = _evaluate(node, candles, known)
        return result[0] if isinstance(result, tuple) else result
    if node["class"] == "CONSTANT":
        value = node["value"]
        scale = value["type"].get("type_info") or {}
        return float(value["value"]) / 10 ** scale.get("scale", 0)
    if node["class"] == "CAST":
        return _argument(node["child"], candles, known)
    if node.get("function_name") in _ARITHMETIC:
        left, right = (_argument(child, candles, known) for child in node["children"])
        return _ARITHMETIC[node["function_name"]](left, right)
    # a list of candles; the result of an earlier step costs as much as the closes
    return candles.get(node.get("column_names", ["close"])[-1], candles["close"])


def compute(work: list[Work], candles: dict[str, Array]) -> pa.Table:
    """All columns of one market."""
    known = functions()
    columns: dict[str, Array] = {}
    for model in work:
        results: list[Array] = []
        for call in model.calls:
            result = _evaluate(call, candles, known)
            results += [np.asarray(part) for part in (result if isinstance(result, tuple) else (result,))]
        for position, (name, kind) in enumerate(model.columns.items()):
            source = results[position % len(results)] if results else candles["close"]
            columns[name] = source.astype(np.int8) if kind == "tinyint" else source / candles["close"]
    return pa.table({"candle_id": candles["candle_id"], **columns})


def build(work: list[Work], markets: list[Callable[[], dict[str, Array]]], path: Path) -> None:
    """Compute all markets, one a thread on two threads, then write one Parquet file."""

    def one(read: Callable[[], dict[str, Array]]) -> pa.Table:
        with np.errstate(all="ignore"):
            return compute(work, read())

    with ThreadPoolExecutor(2) as threads:
        tables = list(threads.map(one, markets))
    pq.write_table(pa.concat_tables(tables), path)
