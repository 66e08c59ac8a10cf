"""Export of all feature columns, in addition to the dataset of a series (see `ml.data.feature_tables`)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb

from flows.warehouse.feature_rows import feature_range
from ml.data.feature_tables import TIME, write_feature_table
from ml.series import Series
from ml.store import Store


def export_features(
    connection: duckdb.DuckDBPyConnection, store: Store, series: Series, dataset_id: str, columns: list[str]
) -> bool:
    """Write the feature table of a series' newest dataset, unless it is there; returns whether it was written."""

    def make() -> bytes:
        names = ", ".join(f'"{name}"::float as "{name}"' for name in columns)
        first, last = feature_range(connection, series)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "features.parquet"
            connection.execute(
                f"""
                copy (
                    select epoch_ms(open_time) as {TIME}, {names} from marts.fct_features
                    where candle_id between {first} and {last}
                    order by candle_id
                ) to '{file}' (format parquet, compression zstd)
                """
            )
            return file.read_bytes()

    return write_feature_table(store, series, dataset_id, columns, make)
