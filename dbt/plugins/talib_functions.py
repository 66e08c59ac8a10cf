"""Every TA-Lib function as a DuckDB function over lists, so that indicators stay SQL.

`ta_rsi(list(close order by open_time), 14)` takes the candles of one series in order and returns a list of the same
length. A recursive indicator needs its whole past, which no SQL window gives cheaply; a list holds it, and Arrow hands
it to TA-Lib's C code as one array. Inputs are DOUBLE[] (as many as the function reads), parameters are DOUBLE and all
of them are given, in TA-Lib's order. A function with several outputs returns a struct of lists, named as TA-Lib names
them: `(ta_macd(close, 12, 26, 9)).macdsignal`. Not defined (NaN) becomes null.

Names, inputs, parameters and outputs come from TA-Lib's own metadata; nothing here lists indicators, so a model can use
any of them without an edit in Python. dbt-duckdb finds this module by `plugins` in profiles.yml.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import talib
from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection
from duckdb.func import ARROW, SPECIAL
from duckdb.sqltypes import DOUBLE
from talib import abstract

Floats = npt.NDArray[np.float64]
_FLOAT_LIST = pa.list_(pa.float64())


@dataclass(frozen=True)
class Indicator:
    """What TA-Lib tells about one of its functions."""

    name: str
    inputs: int
    parameters: tuple[tuple[str, bool], ...]  # name, whether it is a whole number
    outputs: tuple[str, ...]


def indicators() -> list[Indicator]:
    """All functions of the installed TA-Lib with their inputs, parameters and outputs."""
    return [_describe(name) for name in talib.get_functions()]


def _describe(name: str) -> Indicator:
    info = abstract.Function(name).info  # type: ignore[attr-defined]  # made when talib is imported
    inputs = sum(len(names) if isinstance(names, list) else 1 for names in info["input_names"].values())
    parameters = tuple((key, isinstance(default, int)) for key, default in info["parameters"].items())
    return Indicator(name, inputs, parameters, tuple(info["output_names"]))


def _rows(column: Any) -> Any:
    """DuckDB hands over an array or a chunked array; either way one array of lists."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _lists(values: list[Floats | None]) -> Any:
    """A column of lists in which NaN is null."""
    rows = [None if row is None else pa.array(row, pa.float64(), from_pandas=True) for row in values]
    return pa.array(rows, _FLOAT_LIST)


def _function(indicator: Indicator) -> Callable[..., Any]:
    """The function that DuckDB calls with one Arrow column for each input and parameter."""
    compute = getattr(talib, indicator.name)

    def one_row(arguments: list[Any], row: int) -> tuple[Floats, ...] | None:
        if any(not argument[row].is_valid for argument in arguments):
            return None
        series = [
            np.asarray(argument[row].values.to_numpy(zero_copy_only=False), dtype=np.float64)
            for argument in arguments[: indicator.inputs]
        ]
        if len(series[0]) == 0:
            return tuple(series[0] for _ in indicator.outputs)
        numbers = [argument[row].as_py() for argument in arguments[indicator.inputs :]]
        typed = [
            int(number) if whole else number for number, (_, whole) in zip(numbers, indicator.parameters, strict=True)
        ]
        result = compute(*series, *typed)
        outputs = result if isinstance(result, tuple) else (result,)
        return tuple(np.asarray(output, dtype=np.float64) for output in outputs)

    def call(*columns: Any) -> Any:
        arguments = [_rows(column) for column in columns]
        rows = [one_row(arguments, row) for row in range(len(arguments[0]))]
        columns_out = [
            _lists([None if row is None else row[position] for row in rows])
            for position in range(len(indicator.outputs))
        ]
        if len(columns_out) == 1:
            return columns_out[0]
        return pa.StructArray.from_arrays(columns_out, names=list(indicator.outputs))

    # DuckDB counts the parameters of the signature; a bare *columns would count as one.
    arity = indicator.inputs + len(indicator.parameters)
    names = [Parameter(f"column_{position}", Parameter.POSITIONAL_ONLY) for position in range(arity)]
    call.__signature__ = Signature(names)  # type: ignore[attr-defined]
    return call


def register(connection: DuckDBPyConnection) -> None:
    """Register `ta_<name>` for every TA-Lib function on a connection."""
    float_list = connection.list_type(DOUBLE)
    for indicator in indicators():
        arguments: list[Any] = [float_list] * indicator.inputs + [DOUBLE] * len(indicator.parameters)
        returned = float_list
        if len(indicator.outputs) > 1:
            returned = connection.struct_type({name: float_list for name in indicator.outputs})
        connection.create_function(
            f"ta_{indicator.name.lower()}",
            _function(indicator),
            arguments,
            returned,
            type=ARROW,
            null_handling=SPECIAL,
        )


class Plugin(BasePlugin):  # type: ignore[misc]  # dbt ships no types
    """Hooks `register` into each database that dbt opens."""

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        register(conn)
