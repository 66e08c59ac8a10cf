"""The fingerprints that dbt stores as comments of the warehouse's columns (dbt/macros/column_fingerprints.sql)."""

from __future__ import annotations

import duckdb

from ml.data.datasets import CANDLES_PREFIX

_PREFIX = "fingerprint "
_STAMPED = f"""
    select table_name, column_name, comment from duckdb_columns()
    where comment like '{_PREFIX}%'
        and (starts_with(table_name, 'int_features__') or table_name in ('fct_labels', 'fct_candles'))
"""


def stored_fingerprints(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Column -> fingerprint of all features, labels and candles as they are stored now.

    Prices and volume of candles have the prefix `CANDLES_PREFIX`: a feature may have the same name.
    """
    rows = connection.execute(_STAMPED).fetchall()
    return {
        (CANDLES_PREFIX if table == "fct_candles" else "") + column: comment.removeprefix(_PREFIX)
        for table, column, comment in rows
    }
