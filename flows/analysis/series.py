"""The series that an analysis is about, and the key of its computed rows."""

from __future__ import annotations

from flows.workspace.workspace import Workspace
from ml.analysis.records import OfDataset
from ml.data.dataset_pointers import current_datasets
from ml.errors import ConfigurationError, StoreError
from ml.series import Series


def chosen_datasets(workspace: Workspace, symbol: str | None = None, timeframe: str | None = None) -> dict[Series, str]:
    """The newest dataset of each exported series, or of those of a market or timeframe.

    Raises:
        StoreError: nothing has been exported yet.
        ConfigurationError: no exported series has that market or timeframe.
    """
    datasets = current_datasets(workspace.store)
    if not datasets:
        raise StoreError(f"No dataset in {workspace.store_url}. Run `candleworks demo` or `candleworks export`.")
    found = {
        series: dataset_id
        for series, dataset_id in sorted(datasets.items(), key=lambda item: str(item[0]))
        if symbol in (None, series.symbol) and timeframe in (None, series.timeframe)
    }
    if not found:
        there = ", ".join(f"{series.symbol} {series.timeframe}" for series in sorted(datasets, key=str))
        asked = " ".join(filter(None, (symbol, timeframe)))
        raise ConfigurationError(f"No exported series is {asked}; there are {there}.")
    return found


def key_of(series: Series, dataset_id: str) -> OfDataset:
    """The first columns of its computed rows."""
    return {
        "exchange": series.exchange,
        "symbol": series.symbol,
        "timeframe": series.timeframe,
        "dataset_id": dataset_id,
    }
