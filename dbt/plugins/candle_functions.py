"""Functions over whole series for the models, registered in every database that dbt opens (profiles.yml)."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from functools import cache, lru_cache
from inspect import getmembers, isfunction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import smoothing_functions
import span_functions
import statistics_functions
import trend_functions
import vector_functions
import volatility_functions
import volume_functions
import window_functions
from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection
from duckdb.func import ARROW, SPECIAL
from duckdb.sqltypes import BIGINT, DOUBLE, VARCHAR
from function_code import code_of
from list_functions import ListFunction, of_kernel, whole
from list_functions import register as register_lists
from talib_functions import candle_patterns, talib_functions

#: A module here offers its public functions to SQL under their own names.
MODULES: tuple[ModuleType, ...] = (
    vector_functions,
    window_functions,
    smoothing_functions,
    span_functions,
    statistics_functions,
    trend_functions,
    volatility_functions,
    volume_functions,
)
_CANDLE = {
    **dict.fromkeys(("candle_id", "run_length", "load_id"), BIGINT),
    **dict.fromkeys(("open", "high", "low", "close", "volume"), DOUBLE),
}
_CODE = ("plugins/*.py", "macros/**/*.sql")


def functions_of(module: ModuleType) -> list[ListFunction]:
    """The public functions that a module defines itself."""
    own = [item for name, item in getmembers(module, isfunction) if not name.startswith("_")]
    return [of_kernel(item) for item in own if item.__module__ == module.__name__]


def list_functions() -> list[ListFunction]:
    """All list functions available to the models."""
    own = [function for module in MODULES for function in functions_of(module)]
    return [*talib_functions(), candle_patterns(), *own]


def candles_in_order(candles: Any) -> Any:
    """Lists of candles (structs), in any order, as structs of lists in the order of candle_id.

    A hash aggregate collects rows in no order, and sorting inside it is three times as slow.
    """
    column = whole(candles)
    bounds = column.offsets.to_numpy()
    ids = column.values.field("candle_id").to_numpy(zero_copy_only=False)
    order = [first + np.argsort(ids[first:last], kind="stable") for first, last in itertools.pairwise(bounds)]
    rows = np.concatenate(order) if order else np.empty(0, np.int64)
    made = [
        pa.ListArray.from_arrays(
            column.offsets, pa.array(column.values.field(name).to_numpy(zero_copy_only=False)[rows])
        )
        for name in _CANDLE
    ]
    return pa.StructArray.from_arrays(made, names=list(_CANDLE))


def code_of_project() -> str:
    """SHA-256 of all functions and macros: tables that were built with others are rebuilt (macros/fingerprints.sql)."""
    folder = Path(__file__).resolve().parent.parent
    total = hashlib.sha256()
    for path in sorted(found for pattern in _CODE for found in folder.glob(pattern)):
        total.update(path.read_bytes())
    return total.hexdigest()


@cache
def _kernels() -> dict[str, Callable[..., Any]]:
    return {function.name: function.kernel for function in list_functions()}


@lru_cache(maxsize=16)  # for the views that each run creates again
def column_fingerprints(sql: str, tables: str, views: str) -> str:
    """JSON of column -> fingerprint of a query; `tables` and `views` are JSON as of `Lineage`, from the catalogue."""
    from flows.warehouse.column_lineage import Lineage  # noqa: PLC0415 - a parser, needed where something is rebuilt

    def code(name: str) -> str:
        kernel = _kernels().get(name.lower())
        return "" if kernel is None else code_of(kernel)

    return json.dumps(Lineage(json.loads(tables), json.loads(views), code).fingerprints(sql))


def label_horizon(target: str) -> int:
    """Candles from a row to the last one that the labels of a target need (macros/label_horizon.sql)."""
    from ml.data.targets import TARGETS  # noqa: PLC0415 - only labels need it

    if target not in TARGETS:
        raise ValueError(f"ml/data/targets.py has no target {target}; it has {', '.join(TARGETS)}")
    return TARGETS[target].horizon


def register(connection: DuckDBPyConnection) -> None:
    """Register all functions on a connection."""
    register_lists(connection, list_functions())
    rows = connection.list_type(connection.struct_type(_CANDLE))
    lists = connection.struct_type({name: connection.list_type(kind) for name, kind in _CANDLE.items()})
    connection.create_function("candles_in_order", candles_in_order, [rows], lists, type=ARROW, null_handling=SPECIAL)
    code = code_of_project()
    connection.create_function("code_of_project", lambda: code, [], VARCHAR)
    connection.create_function("label_horizon", label_horizon, [VARCHAR], BIGINT)
    connection.create_function("column_fingerprints", column_fingerprints, [VARCHAR, VARCHAR, VARCHAR], VARCHAR)


class Plugin(BasePlugin):  # type: ignore[misc]  # dbt ships no types
    """Hooks `register` into each database that dbt opens."""

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        register(conn)
