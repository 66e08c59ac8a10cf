"""The published snapshot: immutable Parquet files of the marts, and a pointer that is swapped atomically.

``published/current.json`` names a version, ``published/<version>/<table>.parquet`` are its tables, and
``published/progress.json`` is the sweep's live progress. The app and the tables of the command line read nothing else,
so they never see a half-written state and never wait for a lock.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from ml.data.stored import object_bytes, read_object, sha256, table
from ml.errors import DamagedError, StoreError
from ml.records import SnapshotPointer, SweepProgress
from ml.store import Store

_logger = logging.getLogger(__name__)

POINTER = "published/current.json"
PROGRESS = "published/progress.json"
#: Version of the tables' layout; raised when earlier programs could not read it.
LAYOUT = 1
_AGAIN = "Publish it again: `candleworks transform`, then `candleworks publish`."
#: Number of versions kept, for readers that opened one just before the swap.
VERSIONS_KEPT = 3


def current_version(store: Store) -> SnapshotPointer | None:
    """The pointer; None before the first publication.

    Raises:
        StoreError: it is broken, or the version has another layout.
    """
    pointer = _pointer(store)
    if pointer is None:
        return None
    layout = pointer.get("layout", 1)  # missing in earlier versions
    if layout != LAYOUT:
        raise StoreError(f"The snapshot in {store.url} has layout {layout}, this program reads {LAYOUT}. {_AGAIN}")
    version = pointer.get("version")
    if not isinstance(version, str) or not version or PurePosixPath(version).name != version:  # it names a folder
        raise StoreError(f"{POINTER} in {store.url} is broken. {_AGAIN}")
    return pointer


def _pointer(store: Store) -> SnapshotPointer | None:
    """The content of the pointer file; empty if it is damaged, None if it is missing."""
    try:
        pointer: SnapshotPointer = read_object(store, POINTER, {}, "")
    except FileNotFoundError:
        return None
    except DamagedError:
        return {}
    return pointer


def read_arrow(store: Store, name: str) -> pa.Table | None:
    """One table of the current version; None before the first publication.

    Raises:
        StoreError: it is missing or cannot be read.
    """
    problem: Exception | None = None
    for _ in range(2):  # retry once: a newer version may have replaced it since the pointer was read
        pointer = current_version(store)
        if pointer is None:
            return None
        try:
            return table(table_file(store, pointer["version"], name), _path(pointer["version"], name), {}, "")
        except (OSError, StoreError) as error:
            problem = error
    raise unreadable_table(store, name, problem)


def unreadable_table(store: Store, name: str, problem: Exception | None) -> StoreError:
    """The error for an unusable table of the current version."""
    return StoreError(f"The table {name} of the snapshot in {store.url} cannot be read ({problem}). {_AGAIN}")


def has_table(store: Store, name: str) -> bool:
    """Whether the current version has a table; snapshots of earlier programs lack newer tables."""
    pointer = current_version(store)
    return pointer is not None and store.exists(_path(pointer["version"], name))


def table_names(store: Store, version: str) -> list[str]:
    """The tables of a version, sorted."""
    files = [PurePosixPath(path) for path in store.list(f"published/{version}")]
    return [file.stem for file in files if file.suffix == ".parquet"]


def table_file(store: Store, version: str, name: str) -> bytes:
    """The Parquet file of a table of a version, compared with its hash in the pointer.

    Raises:
        FileNotFoundError: it is not there, or newer versions have replaced it.
        DamagedError: it is not the file that was published.
    """
    path = _path(version, name)
    content = store.read(path)
    known = sha256(content)
    if file_hashes(store, version).get(name, known) != known:
        raise DamagedError(f"{path} is damaged (its hash is not that of {POINTER}).")
    return content


def file_hashes(store: Store, version: str) -> Mapping[str, str]:
    """Table -> SHA-256 of its file; empty for a version that the pointer does not name, or of earlier programs."""
    pointer = _pointer(store) or {}
    return pointer.get("files", {}) if pointer.get("version") == version else {}


def read_table(store: Store, name: str) -> list[Any]:
    """All rows of one table of the current version; empty before the first publication.

    Returns:
        One dictionary per row, with the columns of the table's dbt contract; the caller names its type.

    Raises:
        StoreError: it is missing or cannot be read.
    """
    found = read_arrow(store, name)
    return [] if found is None else list(found.to_pylist())


def read_all_tables(store: Store) -> dict[str, pa.Table] | None:
    """All tables of the current version by name; None before the first publication.

    Raises:
        StoreError: one cannot be read.
    """
    pointer = current_version(store)
    if pointer is None:
        return None
    found = {name: read_arrow(store, name) for name in table_names(store, pointer["version"])}
    return {name: table for name, table in found.items() if table is not None}


def read_progress(store: Store) -> SweepProgress | None:
    """The sweep's progress; None before the first sweep, or if the file is broken (the next sweep rewrites it)."""
    try:
        progress: SweepProgress = read_object(
            store, PROGRESS, {"status": str, "series": list}, "A sweep makes it anew."
        )
    except FileNotFoundError:
        return None
    except DamagedError as error:
        _logger.warning("%s", error)
        return None
    return progress


def write_progress(store: Store, progress: SweepProgress) -> None:
    store.replace(PROGRESS, object_bytes(progress))


def _path(version: str, name: str) -> str:
    return f"published/{version}/{name}.parquet"


def _holds(store: Store, path: str, content: bytes) -> bool:
    try:
        return store.read(path) == content
    except FileNotFoundError:
        return False


def publish_version(store: Store, version: str, tables: dict[str, bytes], pointer: SnapshotPointer) -> bool:
    """Write the tables (Parquet) of a version, swap the pointer to it, delete versions that are too old to be in use.

    Returns:
        False if that version is already current and complete; nothing was written.
    """
    current = _pointer(store) or {}
    same = (current.get("version"), current.get("layout", LAYOUT)) == (version, LAYOUT)
    if same and all(_holds(store, _path(version, name), content) for name, content in tables.items()):
        return False
    for name, content in tables.items():
        store.replace(_path(version, name), content)
    earlier = [name for name in current.get("kept", []) if name != version]
    kept = [version, *earlier][:VERSIONS_KEPT]
    files = {name: sha256(content) for name, content in tables.items()}
    store.replace(
        POINTER, object_bytes({**pointer, "layout": LAYOUT, "version": version, "kept": kept, "files": files})
    )
    present = {path.split("/")[1] for path in store.list("published") if path.count("/") == 2}
    for old in present - set(kept):
        store.delete(f"published/{old}")
    return True
