"""What it costs a worker to open a dataset."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from ml.data.datasets import read_dataset, write_dataset
from ml.store import Store
from tests.benchmarks.pairing import paired, report
from tests.synthetic import make_dataset

ROWS = 200_000


def load_dataset(name: str) -> None:
    """mmap and a pass over all features against `pandas.read_parquet` of the same numbers and the same pass."""
    with tempfile.TemporaryDirectory() as folder:
        store, dataset = Store(folder), make_dataset(ROWS)
        dataset_id = write_dataset(store, dataset, "benchmark")
        parquet = Path(folder) / "same.parquet"
        pd.DataFrame(dataset.features, columns=list(dataset.columns)).to_parquet(parquet)

        def by_mmap() -> object:
            return read_dataset(store, dataset_id).features.sum()

        def by_pandas() -> object:
            return pd.read_parquet(parquet).to_numpy().sum()

        report(name, *paired(by_mmap, by_pandas, runs=15), "s")
