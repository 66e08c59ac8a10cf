"""Feature tables: all feature columns of a series, written with its newest dataset, for users.

A dataset has only the columns that search spaces use, because all datasets are kept. Of the feature tables only the
newest one per series is kept: ``features/current/<series>.json`` names its file.
``features/<series>/<version>.parquet`` has ``open_time_ms`` (int64, milliseconds since 1970-01-01 UTC) and a float32
column per feature, null where unknown.
A file never changes; a reader whose file was deleted finds the next one through the pointer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypedDict

import pyarrow as pa

from ml.canonical import digest
from ml.data.stored import object_bytes, read_derived, sha256, table
from ml.errors import CaseError, DamagedError, DatasetError
from ml.series import Series
from ml.store import Store

TIME = "open_time_ms"


def _pointer_path(series: Series) -> str:
    return f"features/current/{series.slug}.json"


def write_feature_table(
    store: Store, series: Series, dataset_id: str, columns: Sequence[str], make: Callable[[], bytes]
) -> bool:
    """Write the table that belongs to a dataset, point to it, and delete the previous one.

    Args:
        store: where to write.
        series: of the features.
        dataset_id: the dataset that it is written with.
        columns: all feature columns.
        make: makes the Parquet file, if it is needed.

    Returns:
        False if it exists already.
    """
    version = f"{dataset_id}-{digest(list(columns))[:8]}"
    pointer = _pointer(store, series)
    if pointer is not None and pointer["version"] == version and _is_whole(store, series, pointer):
        return False
    made = make()
    store.replace(f"features/{series.slug}/{version}.parquet", made)
    content = {"version": version, "dataset_id": dataset_id, "columns": list(columns), "sha256": sha256(made)}
    store.replace(_pointer_path(series), object_bytes(content))
    for path in store.list(f"features/{series.slug}"):
        if not path.endswith(f"/{version}.parquet"):
            store.delete(path)
    return True


def read_feature_table(store: Store, series: Series, columns: Sequence[str] | None = None) -> pa.Table:
    """The newest table of a series, oldest row first, with all columns or the named ones.

    Raises:
        DatasetError: the series has none, or it cannot be read.
        CaseError: a column is not among its features.
    """
    error: Exception | None = None
    for _ in range(2):  # retry once: the file may have been replaced and deleted since the pointer was read
        pointer = _pointer(store, series)
        if pointer is None:
            raise DatasetError(f"{series} has no table of all features in {store.url} yet. Run `candleworks export`.")
        if unknown := [name for name in columns or () if name not in pointer["columns"]]:
            raise CaseError(f"{series} has no feature {', '.join(unknown)}. `candleworks features` lists them all.")
        with suppress(FileNotFoundError):
            content = store.read(_table_path(series, pointer))
            try:
                return _checked_table(content, series, pointer, columns)
            except DamagedError as broken:
                error = broken
    raise DatasetError(
        f"The features of {series} in {store.url} cannot be read ({error or 'the file is missing'}). "
        f"Delete {_pointer_path(series)} and run `candleworks export`."
    )


class FeaturePointer(TypedDict, total=False):
    """``features/current/<series>.json``; `sha256` of the file is missing in those of earlier versions."""

    version: str
    dataset_id: str
    columns: list[str]
    sha256: str


def _pointer(store: Store, series: Series) -> FeaturePointer | None:
    return read_derived(store, _pointer_path(series), {"version": str, "columns": list})


def _table_path(series: Series, pointer: FeaturePointer) -> str:
    return f"features/{series.slug}/{pointer['version']}.parquet"


def _checked_table(
    content: bytes, series: Series, pointer: FeaturePointer, columns: Sequence[str] | None = None
) -> pa.Table:
    path = _table_path(series, pointer)
    if pointer.get("sha256", known := sha256(content)) != known:
        raise DamagedError(f"{path} is damaged: its hash is not that of {_pointer_path(series)}")
    wanted = pointer["columns"] if columns is None else columns
    schema = {TIME: pa.int64(), **dict.fromkeys(wanted, pa.float32())}
    return table(content, path, schema, "", None if columns is None else [TIME, *columns])


def _is_whole(store: Store, series: Series, pointer: FeaturePointer) -> bool:
    try:
        _checked_table(store.read(_table_path(series, pointer)), series, pointer)
    except (FileNotFoundError, DamagedError):
        return False
    return True
