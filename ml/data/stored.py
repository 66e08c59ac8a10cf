"""Checked reading of stored files: a damaged one is named with its remedy, or set aside and made anew.

A file may be damaged in any way: empty, cut off, overwritten, or a valid file of another kind. Every reader of a kind
of file goes through a function of this module, so that damage is always a `DamagedError` that names file and remedy,
never another exception and never other numbers. Files are of two sorts:

- sources (datasets, results, models, chains): damage is an error, and the remedy restores or recomputes the file;
- derived files (costs, pointers, progress): a damaged one is renamed to ``<path>.corrupt`` and read as missing, since
  the program makes it anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ml.canonical import digest
from ml.data.parquet import read_parquet
from ml.errors import DamagedError, StoreError
from ml.store import Store
from ml.texts import first_line

_logger = logging.getLogger(__name__)

#: Key -> type, or types, of its value in a JSON object.
Keys = Mapping[str, type | tuple[type, ...]]
Value = TypeVar("Value")


#: Key of the digest of a JSON object over its other keys.
DIGEST = "digest"


def sha256(content: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def object_bytes(content: Mapping[str, Any], indent: int | None = None) -> bytes:
    """A JSON object with a digest of its content, which `json_object` checks."""
    return json.dumps({**content, DIGEST: digest(content)}, indent=indent).encode()


def json_object(content: bytes, path: str, keys: Keys, remedy: str) -> Any:
    """A JSON object that has the keys, each with a value of its type, and its digest; the caller names its type.

    Files of earlier versions have no digest, which is accepted.

    Args:
        content: of the file.
        path: of the file, for the error.
        keys: required ones; others may be there.
        remedy: sentence for the error.

    Raises:
        DamagedError: it is something else.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise _damaged(path, "empty" if not content else "not JSON", remedy) from None
    if not isinstance(found, dict):
        raise _damaged(path, "not a JSON object", remedy)
    if found.pop(DIGEST, None) not in (None, _digest_of(found)):
        raise _damaged(path, "changed since it was written", remedy)
    for name, kind in keys.items():
        # A bool is an int in Python, in JSON it is not.
        if not isinstance(found.get(name), kind) or (isinstance(found[name], bool) and kind is not bool):
            raise _damaged(path, f"without a valid {name!r}", remedy)
    return found


def read_object(store: Store, path: str, keys: Keys, remedy: str) -> Any:
    """The JSON object of a file (see `json_object`).

    Raises:
        FileNotFoundError: there is no file.
        DamagedError: it is damaged.
    """
    return json_object(store.read(path), path, keys, remedy)


def read_derived(store: Store, path: str, keys: Keys) -> Any | None:
    """The JSON object of a file that the program can make anew; None where there is none, or a damaged one."""
    return derived(store, path, lambda: read_object(store, path, keys, ""))


def derived(store: Store, path: str, read: Callable[[], Value]) -> Value | None:
    """What `read` gives, for a file that the program can make anew; None where there is none.

    A damaged file is set aside, logged, and read as missing.
    """
    try:
        return read()
    except FileNotFoundError:
        return None
    except DamagedError as error:
        try:
            aside = store.set_aside(path)
        except StoreError:  # of a reader that may not write, such as a notebook: the next writer replaces it
            _logger.warning("%s", error)
        else:
            _logger.warning("%s It is set aside as %s and made anew.", error, aside)
        return None


def table(
    content: bytes, path: str, schema: Mapping[str, pa.DataType], remedy: str, columns: Sequence[str] | None = None
) -> pa.Table:
    """A Parquet file as a table that has the columns, each of its type; page checksums are verified.

    Args:
        content: of the file.
        path: of the file, for the error.
        schema: required columns; others may be there.
        remedy: sentence for the error.
        columns: which to read; None for all.

    Raises:
        DamagedError: it is something else.
    """
    try:
        found = read_parquet(content, None if columns is None else list(columns))
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, f"not a readable Parquet file: {first_line(error, 80)}", remedy) from None
    wanted = schema if columns is None else {name: kind for name, kind in schema.items() if name in columns}
    for name, kind in wanted.items():
        if name not in found.column_names:
            raise _damaged(path, f"without a column {name!r}", remedy)
        if found.schema.field(name).type != kind:
            raise _damaged(path, f"with {found.schema.field(name).type} for {kind} in column {name!r}", remedy)
    return found


def arrays(content: bytes, path: str, names: Sequence[str], remedy: str) -> dict[str, npt.NDArray[Any]]:
    """The named arrays of an ``.npz`` file, never pickled objects; their CRC is verified.

    Raises:
        DamagedError: it is something else.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except KeyError as error:
        raise _damaged(path, f"without an array {error}", remedy) from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise _damaged(path, f"no archive of arrays: {first_line(error, 80)}", remedy) from None


def _digest_of(found: dict[str, Any]) -> str:
    try:
        return digest(found)
    except ValueError:  # NaN, which no writer of a digest has
        return ""


def _damaged(path: str, how: str, remedy: str) -> DamagedError:
    return DamagedError(f"{path} is damaged ({how}). {remedy}".strip())
