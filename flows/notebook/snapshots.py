"""The published snapshot as typed frames."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ml.errors import StoreError
from ml.forecasting.published import current_version, read_arrow, unreadable_table
from ml.records import SnapshotPointer
from ml.store import Store

KEYS = ["exchange", "symbol", "timeframe"]
#: One resolution for all frames, so that their indexes can be compared.
UNIT: Final = "us"
_TYPES = {
    pa.int64(): pd.Int64Dtype(),
    pa.int32(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(na_value=float("nan")),
}


def pointer(store: Store) -> SnapshotPointer:
    """The pointer to the published version.

    Raises:
        StoreError: nothing was published yet, or by a program with another layout.
    """
    found = current_version(store)
    if found is None:
        raise StoreError(
            f"Nothing has been published in {store.url} yet. Run `candleworks demo`, or `candleworks transform` and "
            "then `candleworks publish`."
        )
    return found


def snapshot_frame(store: Store, name: str, index: str) -> pd.DataFrame:
    """A table of the newest version; `index` names the column of times that becomes its index.

    Raises:
        StoreError: nothing was published yet, or the table is not there or cannot be read.
    """
    pointer(store)
    table = read_arrow(store, name)
    assert table is not None
    try:
        return typed_frame(table, index)
    except KeyError as error:
        raise unreadable_table(store, name, error) from error


def typed_frame(table: pa.Table, index: str) -> pd.DataFrame:
    """A table as a frame: times in UTC, numbers that may be missing as pandas' nullable types, text as strings.

    Raises:
        KeyError: a column that every frame has is missing.
    """
    if missing := [name for name in [*KEYS, index] if name not in table.column_names]:
        raise KeyError(f"no column {', '.join(missing)}")
    frame: pd.DataFrame = table.to_pandas(types_mapper=_TYPES.get, date_as_object=False)
    for name in frame.select_dtypes("datetime").columns:
        frame[name] = frame[name].dt.tz_localize("UTC").dt.as_unit(UNIT)
    rest = [name for name in frame.columns if name not in (*KEYS, index)]
    return frame.set_index(index)[[*KEYS, *rest]]


def utc_index(times_ms: npt.NDArray[np.int64], name: str = "open_time") -> pd.DatetimeIndex:
    """Milliseconds since 1970-01-01 as an index of times in UTC."""
    return pd.DatetimeIndex(pd.to_datetime(times_ms, unit="ms", utc=True), name=name).as_unit(UNIT)
