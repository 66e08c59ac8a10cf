"""Functions over whole series for SQL: a kernel over NumPy arrays becomes a DuckDB function over lists.

`ta_rsi(close, 14)` takes the candles of one series in order and returns a list of the same length. A recursive
indicator needs its whole past, which no SQL window gives cheaply; a list holds it, and Arrow hands it to the kernel as
one array without a copy. In SQL all inputs are DOUBLE[] of one length; parameters are DOUBLE and have no defaults.
A function with several outputs returns a struct of lists: `(ta_macd(close, 12, 26, 9)).macdsignal`. Undefined values
are NaN, which the macro `feature` turns into null.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from duckdb import DuckDBPyConnection
from duckdb.func import ARROW, SPECIAL
from duckdb.sqltypes import DOUBLE, TINYINT

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ListFunction:
    """A kernel and how SQL sees it.

    Attributes:
        name: in SQL.
        kernel: takes `inputs` arrays of one length n, then the parameters; returns an array (n,), or a tuple of them.
        inputs: how many lists it takes.
        parameters: for each parameter, whether it is an integer.
        outputs: names of the lists in the returned struct; a single one is returned as a plain list.
        dtype: of the outputs: float64, or int8 for flags and directions.
    """

    name: str
    kernel: Callable[..., Any]
    inputs: int
    parameters: tuple[bool, ...]
    outputs: tuple[str, ...]
    dtype: type[np.generic] = np.float64


def of_kernel(kernel: Callable[..., Any]) -> ListFunction:
    """Describe a kernel by its annotations: `Floats` are lists, `int` and `float` parameters, a NamedTuple outputs."""
    hints = get_type_hints(kernel)
    returned = hints.pop("return")
    kinds = [hints[name] for name in signature(kernel).parameters]
    return ListFunction(
        name=kernel.__name__,
        kernel=kernel,
        inputs=sum(kind not in (int, float) for kind in kinds),
        parameters=tuple(kind is int for kind in kinds if kind in (int, float)),
        outputs=getattr(returned, "_fields", ("value",)),
    )


def register(connection: DuckDBPyConnection, functions: Iterable[ListFunction]) -> None:
    """Make the functions known to a connection."""
    doubles = connection.list_type(DOUBLE)
    for function in functions:
        arguments: list[Any] = [doubles] * function.inputs + [DOUBLE] * len(function.parameters)
        returned = connection.list_type(TINYINT) if function.dtype is np.int8 else doubles
        if len(function.outputs) > 1:
            returned = connection.struct_type(dict.fromkeys(function.outputs, returned))
        connection.create_function(
            function.name, _for_duckdb(function), arguments, returned, type=ARROW, null_handling=SPECIAL
        )


def whole(column: Any) -> Any:
    """One array from the array or chunked array that DuckDB passes."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _for_duckdb(function: ListFunction) -> Callable[..., Any]:
    """The function that DuckDB calls with one Arrow column for each input and parameter."""

    def call(*columns: Any) -> Any:
        lists = [whole(column) for column in columns[: function.inputs]]
        numbers = [whole(column).to_pylist() for column in columns[function.inputs :]]
        offsets = lists[0].offsets
        series = [_values(function, column, offsets) for column in lists]
        parts: list[list[npt.NDArray[Any]]] = [[] for _ in function.outputs]
        for row, (first, last) in enumerate(itertools.pairwise(offsets.to_numpy())):
            if first == last:
                continue
            typed = [
                int(number[row]) if is_whole else float(number[row])
                for number, is_whole in zip(numbers, function.parameters, strict=True)
            ]
            outputs = function.kernel(*(values[first:last] for values in series), *typed)
            for part, output in zip(parts, outputs if isinstance(outputs, tuple) else (outputs,), strict=True):
                part.append(_checked(function, output, last - first))
        nothing = np.empty(0, function.dtype)
        # one series needs no copy
        results = [part[0] if len(part) == 1 else np.concatenate([nothing, *part]) for part in parts]
        made = [pa.ListArray.from_arrays(offsets, pa.array(result)) for result in results]
        return made[0] if len(made) == 1 else pa.StructArray.from_arrays(made, names=list(function.outputs))

    # DuckDB counts the parameters of the signature; a bare *columns would count as one.
    arity = function.inputs + len(function.parameters)
    names = [Parameter(f"column_{position}", Parameter.POSITIONAL_ONLY) for position in range(arity)]
    call.__signature__ = Signature(names)  # type: ignore[attr-defined]
    return call


def _checked(function: ListFunction, output: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """One output of a kernel as SQL gets it.

    Raises:
        ValueError: it is not as long as the inputs.
    """
    if len(output) != length:
        raise ValueError(f"{function.name}: the kernel returned {len(output)} values for {length} candles.")
    return np.ascontiguousarray(output, function.dtype)


def _values(function: ListFunction, column: Any, offsets: Any) -> Floats:
    """All numbers of a column of lists, null as NaN.

    Raises:
        ValueError: its lists are not as long as those of the first input.
    """
    if not column.offsets.equals(offsets):
        raise ValueError(f"{function.name}: the lists differ in length. Take all of them from int_candles__lists.")
    return np.asarray(column.values.to_numpy(zero_copy_only=False), dtype=np.float64)
