"""Computed tables: one Parquet file per dataset and table, published together with the marts.

``analysis/<dataset>/<table>.parquet`` is replaced as a whole when it is computed again. A series whose newest dataset
has no such file is not computed yet; a file without rows is computed and empty. A broken file is set aside as
``<path>.corrupt``, so that it stops neither the publication nor the next computation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import UnionType
from typing import Any, get_args, get_type_hints

import pyarrow as pa

from ml.analysis.records import (
    BoundaryCellRow,
    BoundaryPointRow,
    BoundaryRow,
    EffectCaseRow,
    EffectRow,
    EffectValueRow,
)
from ml.data.dataset_pointers import current_datasets
from ml.data.parquet import parquet_bytes, read_parquet
from ml.store import Store

#: A row of any computed table; the schema of its table checks it.
Row = Mapping[str, object]
#: Table -> the type of its rows.
RECORDS: dict[str, type] = {
    "effects": EffectRow,
    "effect_values": EffectValueRow,
    "effect_cases": EffectCaseRow,
    "boundaries": BoundaryRow,
    "boundary_cells": BoundaryCellRow,
    "boundary_points": BoundaryPointRow,
}
EFFECTS = ("effects", "effect_values", "effect_cases")
BOUNDARIES = ("boundaries", "boundary_cells", "boundary_points")
_ARROW = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("ms"),
}


def _schema(record: type) -> pa.Schema:
    hints = get_type_hints(record)
    plain = {name: get_args(kind)[0] if isinstance(kind, UnionType) else kind for name, kind in hints.items()}
    return pa.schema([(name, _ARROW[kind]) for name, kind in plain.items()])


#: Table -> its columns.
SCHEMAS: dict[str, pa.Schema] = {name: _schema(record) for name, record in RECORDS.items()}


def _path(dataset_id: str, table: str) -> str:
    return f"analysis/{dataset_id}/{table}.parquet"


def write_tables(store: Store, dataset_id: str, tables: Mapping[str, Sequence[Row]]) -> None:
    """Replace tables of a dataset; the first of them is written last: where it exists, all do."""
    for name in reversed(list(tables)):
        content = pa.Table.from_pylist([dict(row) for row in tables[name]], schema=SCHEMAS[name])
        store.replace(_path(dataset_id, name), parquet_bytes(content))


def is_computed(store: Store, dataset_id: str, table: str) -> bool:
    """Whether a table of a dataset has been computed."""
    return store.exists(_path(dataset_id, table))


def read_rows(store: Store, dataset_id: str, table: str) -> list[Any] | None:
    """Rows of a table of one dataset; None if it is not computed. The caller names their type."""
    found = _read(store, dataset_id, table)
    return None if found is None else list(found.to_pylist())


def published_tables(store: Store) -> dict[str, bytes]:
    """Every computed table over the newest datasets of all series, as Parquet; without rows where none is computed."""
    datasets = [dataset_id for _, dataset_id in sorted(current_datasets(store).items(), key=str)]
    return {name: parquet_bytes(pa.concat_tables(_parts(store, datasets, name))) for name in SCHEMAS}


def _parts(store: Store, dataset_ids: Iterable[str], table: str) -> list[pa.Table]:
    found = [_read(store, dataset_id, table) for dataset_id in dataset_ids]
    return [SCHEMAS[table].empty_table(), *(part for part in found if part is not None)]


def _read(store: Store, dataset_id: str, table: str) -> pa.Table | None:
    """A table; None if it is not computed, or broken: then it is set aside with its kind, and is due again."""
    schema = SCHEMAS[table]
    try:
        return read_parquet(store.read(_path(dataset_id, table))).select(schema.names).cast(schema)
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError, KeyError):
        for name in EFFECTS if table in EFFECTS else BOUNDARIES:
            if store.exists(_path(dataset_id, name)):
                store.set_aside(_path(dataset_id, name))
        return None
