"""Reading a TOML file that a user has edited."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ml.errors import CandleworksError

#: A table of a file that a user has edited: it has any names and values until a model of pydantic has checked it.
TomlTable = dict[str, Any]


def read_toml(path: Path, called: str, error_type: type[CandleworksError]) -> TomlTable:
    """The content of a TOML file; a byte-order mark and Windows line endings are accepted.

    Args:
        path: of the file.
        called: its name in an error message, such as "the settings".
        error_type: type of the error.

    Raises:
        CandleworksError: of that type, if the file cannot be read, is not UTF-8 or not valid TOML.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
        if "\0" in text:  # UTF-16 without a mark
            raise UnicodeError("zeros between the letters")
        return tomllib.loads(text)
    except OSError as error:
        raise error_type(f"Cannot read {called} {path} ({error.strerror}). Name an existing file.") from error
    except UnicodeError as error:
        raise error_type(f"{path} is not saved as UTF-8 ({error}). Save it as UTF-8 in the editor.") from error
    except tomllib.TOMLDecodeError as error:
        raise error_type(f"{path} is not valid TOML ({error}). Correct that line.") from error
