"""Feature tables: all feature columns of a series, written with its newest dataset, for users.

A dataset has only the columns that search spaces use, because all datasets are kept. Of the feature tables only the
newest one per series is kept: ``features/current/<series>.json`` names its file.
``features/<series>/<version>.parquet`` has ``open_time_ms`` (int64, milliseconds since 1970-01-01 UTC) and a float32
column per feature, null where unknown.
A file never changes; a reader whose file was deleted finds the next one through the pointer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress

import pyarrow as pa

from ml.canonical import digest
from ml.data.parquet import read_parquet
from ml.errors import CaseError, DatasetError
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
    pointer = store.read_json(_pointer_path(series))
    if pointer is not None and pointer["version"] == version:
        return False
    store.replace(f"features/{series.slug}/{version}.parquet", make())
    content = {"version": version, "dataset_id": dataset_id, "columns": list(columns)}
    store.replace(_pointer_path(series), json.dumps(content).encode())
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
        pointer = store.read_json(_pointer_path(series))
        if pointer is None:
            raise DatasetError(f"{series} has no table of all features in {store.url} yet. Run `candleworks export`.")
        if unknown := [name for name in columns or () if name not in pointer["columns"]]:
            raise CaseError(f"{series} has no feature {', '.join(unknown)}. `candleworks features` lists them all.")
        with suppress(FileNotFoundError):
            content = store.read(f"features/{series.slug}/{pointer['version']}.parquet")
            try:
                return read_parquet(content, None if columns is None else [TIME, *columns])
            except (pa.ArrowException, OSError) as broken:
                error = broken
    raise DatasetError(
        f"The features of {series} in {store.url} cannot be read ({error or 'the file is missing'}). "
        f"Delete {_pointer_path(series)} and run `candleworks export`."
    )
