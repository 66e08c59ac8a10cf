"""Pointers to the newest dataset of each series, ``datasets/current/<series>.json``."""

from __future__ import annotations

import logging
from typing import TypedDict

from ml.data.datasets import read_manifest
from ml.data.stored import derived, read_object
from ml.errors import CaseError, DamagedError, DatasetError
from ml.series import Series
from ml.store import Store

_logger = logging.getLogger(__name__)

#: Their folder.
CURRENT = "datasets/current"


def current_datasets(store: Store) -> dict[Series, str]:
    """The id of the newest dataset of each exported series; one that is damaged is left out with a warning."""
    found = {}
    for path in store.list(CURRENT):
        try:
            pointer = read_pointer(store, path)
            if pointer is not None:
                found[Series(**read_manifest(store, pointer["dataset_id"])["series"])] = pointer["dataset_id"]
        except DatasetError as error:
            _logger.warning("%s", error)
    return found


class DatasetPointer(TypedDict, total=False):
    """``datasets/current/<series>.json``: the newest dataset of a series, and the state of its market by then."""

    dataset_id: str
    through_ms: int
    since_load_id: int


def pointer_path(series: Series) -> str:
    """The pointer to the newest dataset of a series."""
    return f"{CURRENT}/{series.slug}.json"


def read_pointer(store: Store, path: str) -> DatasetPointer | None:
    """A pointer; None where there is none. A damaged one, or one of another series, is set aside."""

    def read() -> DatasetPointer:
        pointer: DatasetPointer = read_object(store, path, {"dataset_id": str}, "")
        try:
            named = Series(**read_manifest(store, pointer["dataset_id"])["series"])
        except DatasetError:
            return pointer  # reading the dataset reports it
        if pointer_path(named) != path:
            raise DamagedError(f"{path} is damaged (it names a dataset of {named}).")
        return pointer

    return derived(store, path, read) if path.endswith(".json") else None


def newest_dataset_of(store: Store, symbol: str, timeframe: str) -> str:
    """The id of the newest dataset of a market and timeframe.

    Raises:
        CaseError: naming those that there are.
    """
    datasets = current_datasets(store)
    found = [one for series, one in datasets.items() if (series.symbol, series.timeframe) == (symbol, timeframe)]
    if not found:
        names = ", ".join(sorted(f"{series.symbol} {series.timeframe}" for series in datasets)) or "none"
        raise CaseError(f"There is no dataset of {symbol} {timeframe}. There are: {names}.")
    return found[0]
