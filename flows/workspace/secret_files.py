"""Files of secrets: one line or document, readable by their owner only, created once and complete.

A file that others may read is refused, not corrected: they may have read it.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ml.errors import ServiceError
from ml.store import flush_folder


def read_secret_file(path: Path, remedy: str) -> str:
    """The text of a secret file, without white space at its ends.

    Args:
        path: the file.
        remedy: the sentence that follows an error about who may read it.

    Raises:
        FileNotFoundError: there is none.
        ServiceError: others may read or change it, or it cannot be read.
    """
    with _failing_with_a_remedy(path, FileNotFoundError), path.open(encoding="ascii", errors="replace") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        text = file.read().strip()
    if mode & 0o077:
        raise ServiceError(f"Other users may read or change {path} (mode {mode:o}): it is no longer secret. {remedy}")
    return text


def write_secret_file(path: Path, text: str, *, replace: bool = False) -> None:
    """Create a secret file atomically with mode 0600, and flush it and its folder to disk.

    Args:
        path: the file.
        text: its content; a line end is added.
        replace: whether an existing file is replaced. Otherwise it stays: of several processes that need the file at
            once, all use the first one's.

    Raises:
        ServiceError: it cannot be written.
    """
    with _failing_with_a_remedy(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # of mode 0600
        part = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(f"{text}\n")
                file.flush()
                os.fsync(file.fileno())
            if replace:
                part.replace(path)
            else:
                with suppress(FileExistsError):
                    os.link(part, path)
        finally:
            part.unlink(missing_ok=True)
        flush_folder(path.parent)


def delete_remedy(path: Path) -> str:
    """The remedy where a new secret may simply be made."""
    return f"Delete it with `rm {shlex.quote(str(path))}` and run again: a new one is made."


@contextmanager
def _failing_with_a_remedy(path: Path, *passed: type[OSError]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, passed):
            raise
        raise ServiceError(
            f"Cannot read or write {path} ({error.strerror}). Check its owner and the free space, or choose another "
            "home with --home."
        ) from error
