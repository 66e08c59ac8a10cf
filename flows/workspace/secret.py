"""The secret of a home: its Prefect server answers no request without it.

It is one line, `user:password` for HTTP basic authentication, in a file of mode 0600. It is created when it is first
needed and stays: for a new one delete the file and restart `candleworks up`, then start lent workers with their new
line. Other processes get it in their environment, never as an argument, which every user could list.

A file that others may read is refused, not corrected: they may have read it.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import tempfile
from contextlib import suppress
from pathlib import Path

from ml.errors import ServiceError

USER = "candleworks"
SECRET_BYTES = 32
#: ASCII, because Prefect compares it as such; users may choose a password, but not a short one.
_FORM = re.compile(r"[!-9;-~]+:[!-~]{16,}")


def secret_path(home: Path) -> Path:
    """The file of a home's secret."""
    return home / "prefect-secret"


def home_secret(home: Path) -> str:
    """The secret of a home, created if there is none.

    Raises:
        ServiceError: others may read its file, or it cannot be read, is broken or cannot be written.
    """
    path = secret_path(home)
    try:
        with suppress(FileNotFoundError):
            return _read(path)
        _create(path)
        return _read(path)
    except OSError as error:
        raise ServiceError(
            f"Cannot read or write {path} ({error.strerror}). Check its owner and the free space, or choose another "
            "home with --home."
        ) from error


def _read(path: Path) -> str:
    with path.open(encoding="ascii", errors="replace") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        secret = file.read().strip()
    remedy = f"Delete it with `rm {shlex.quote(str(path))}` and run again: a new one is made."
    if mode & 0o077:
        raise ServiceError(f"Other users may read or change {path} (mode {mode:o}): it is no longer secret. {remedy}")
    if not _FORM.fullmatch(secret):
        raise ServiceError(f"{path} does not hold user:password, with 16 characters of password or more. {remedy}")
    return secret


def _create(path: Path) -> None:
    """Create the file atomically: of several processes that need it at once, all use the first one's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".prefect-secret-")  # of mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{USER}:{secrets.token_urlsafe(SECRET_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
