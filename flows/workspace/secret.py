"""The secret of a home: its Prefect server answers no request without it.

It is one line, `user:password` for HTTP basic authentication, in a secret file (`secret_files`). It is created when it
is first needed and stays: for a new one delete the file and restart `candleworks up`, then start lent workers with
their new line. Other processes get it in their environment, never as an argument, which every user could list.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from pathlib import Path

from flows.workspace.secret_files import delete_remedy, read_secret_file, write_secret_file
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
    with suppress(FileNotFoundError):
        return _read(path)
    write_secret_file(path, f"{USER}:{secrets.token_urlsafe(SECRET_BYTES)}")
    return _read(path)


def _read(path: Path) -> str:
    secret = read_secret_file(path, delete_remedy(path))
    if not _FORM.fullmatch(secret):
        raise ServiceError(
            f"{path} does not hold user:password, with 16 characters of password or more. {delete_remedy(path)}"
        )
    return secret
