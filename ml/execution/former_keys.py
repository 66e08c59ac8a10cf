"""Case keys of earlier versions, and the migration of a store to the current ones.

Before schema 2 the key of a case depended on how it was written: with or without defaults, 1 or 1.0, seeds that its
model does not take. Results are rewritten, file by file, under the current key. Sealed records cannot be rewritten:
``former_keys.json`` maps their former keys to the current ones when they are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, cast

import pyarrow as pa

from ml.canonical import canonical_json, digest
from ml.data.parquet import parquet_bytes
from ml.data.stored import json_object, object_bytes
from ml.execution.results import read_result_table, result_files
from ml.records import AnyRecord
from ml.search.cases import TestCase
from ml.store import SCHEMA_PATH, SCHEMA_VERSION, Store

PATH = "former_keys.json"
#: Fields of sealed records that name a case.
FIELDS = ("case_key", "incumbent_case_key")


def case_of_today(case_key: str, case_json: str) -> tuple[str, str]:
    """Key and description of a stored case as this version writes them.

    Both are unchanged if the key does not match the description (a forged row is left to the promotion gate), or if the
    case is no longer valid, for example because its model was removed.
    """
    try:
        content = json.loads(case_json)
        described = {name: value for name, value in content.items() if name != "feature_set"}
        if digest(described)[:16] != case_key:
            return case_key, case_json
        case = TestCase(**content)
    except (ValueError, TypeError, AttributeError):
        return case_key, case_json
    return case.key, canonical_json(case.content())


def former_keys(store: Store) -> dict[str, str]:
    """Former key -> current key, for the cases whose key has changed."""
    try:
        content = store.read(PATH)
    except FileNotFoundError:
        return {}
    return _parsed(content)


@lru_cache(maxsize=4)
def _parsed(content: bytes) -> dict[str, str]:
    keys: dict[str, str] = json_object(content, PATH, {}, "Restore it from a backup.")
    return keys


def under_todays_keys(record: AnyRecord, keys: Mapping[str, str]) -> AnyRecord:
    """A record with its case keys replaced by the current ones; `keys` from `former_keys`."""
    named = {name: keys[str(record[name])] for name in FIELDS if record.get(name) in keys}
    return cast(AnyRecord, {**record, **named})


def bring_up_to_date(store: Store) -> None:
    """Migrate a store of schema 1 to the current keys; a current or empty store is left unchanged.

    It can be interrupted and repeated: the list is written before the first file is replaced, and a row with its
    current key keeps it.

    Raises:
        StoreError: the store cannot be written.
    """
    mark = store.schema_version()
    # A store without a mark is empty (marked at first use), or older than the marks.
    if (mark or 1) != 1 or not (mark or result_files(store)):
        return
    keys = dict(former_keys(store))
    paths = result_files(store)
    for path in paths:
        keys |= {row.key: row.key_now for row in _rows(read_result_table(store, path, ["case_key", "case_json"]))}
    if changed := {former: now for former, now in keys.items() if former != now}:
        store.replace(PATH, object_bytes(changed))
    for path in paths:
        _rewrite(store, path)
    store.replace(SCHEMA_PATH, json.dumps({"schema_version": SCHEMA_VERSION}).encode())


class _Row(NamedTuple):
    key: str
    content: str
    key_now: str
    content_now: str


def _rows(table: pa.Table | None) -> list[_Row]:
    """The cases of a result file; none if it is broken."""
    if table is None:
        return []
    cases = zip(table["case_key"].to_pylist(), table["case_json"].to_pylist(), strict=True)
    return [_Row(*case, *case_of_today(*case)) for case in cases]


def _rewrite(store: Store, path: str) -> None:
    table = read_result_table(store, path)
    rows = _rows(table)
    if table is None or all(row.key == row.key_now for row in rows):
        return
    for name, values in {
        "case_key": [row.key_now for row in rows],
        "case_json": [row.content_now for row in rows],
    }.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.string()))
    store.replace(path, parquet_bytes(table))
