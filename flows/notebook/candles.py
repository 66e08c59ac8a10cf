"""Candles, features and labels of one series as frames, oldest first."""

from __future__ import annotations

import warnings

import pandas as pd

from flows.notebook.snapshots import KEYS, utc_index
from ml.data.datasets import CANDLE_COLUMNS, Dataset, read_dataset
from ml.data.feature_tables import TIME
from ml.errors import CaseError
from ml.series import Series
from ml.store import Store


def of_series(store: Store, series: Series, dataset_id: str | None, published: pd.DataFrame) -> pd.DataFrame:
    """All candles: those of the newest dataset, replaced and continued by the published ones.

    Warns if that is not the whole series.

    Args:
        store: holds the dataset.
        series: which one.
        dataset_id: None where the series was never exported.
        published: rows of the snapshot, including gap rows.
    """
    recent = published.sort_index()
    known = closed(recent)[list(CANDLE_COLUMNS)]
    if dataset_id is None:
        _warn(f"{series} was never exported: only its latest {len(known)} candles, the published ones, are available.")
        return known
    dataset = read_dataset(store, dataset_id)
    index = utc_index(dataset.open_time_ms)
    exported = pd.DataFrame(dataset.candles, index=index, columns=list(CANDLE_COLUMNS))
    length = pd.Timedelta(dataset.timeframe_ms, "ms")
    if recent.empty:
        return exported
    # Published rows are contiguous (gaps have rows); if they begin after the export ends, candles between are missing.
    if recent.index[0] > index[-1] + length:
        _warn(f"The candles of {series} end with its export, at {index[-1]}: the published ones begin later.")
        return exported
    joined: pd.DataFrame = pd.concat([exported[index < recent.index[0]], known])
    return joined


def closed(published: pd.DataFrame) -> pd.DataFrame:
    """Series, prices and volume of published candles without the rows of gaps."""
    return published[~published["is_gap"].astype("bool")][[*KEYS, *CANDLE_COLUMNS]]


def _warn(what: str) -> None:
    warnings.warn(f"{what} Run `candleworks export`.", stacklevel=4)  # of the caller of Home.candles


def with_times(frame: pd.DataFrame) -> pd.DataFrame:
    """The column of milliseconds as the index."""
    return frame.drop(columns=TIME).set_index(utc_index(frame[TIME].to_numpy()))


def labels(dataset: Dataset, target: str) -> pd.DataFrame:
    """The labels of one target."""
    if target not in dataset.targets:
        known = ", ".join(dataset.targets)
        raise CaseError(f"{dataset.series} has no target {target!r}. There are: {known}.")
    return pd.DataFrame(
        dataset.labels_of(target), index=utc_index(dataset.open_time_ms), columns=list(dataset.targets[target])
    )
