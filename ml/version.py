"""The version of the code that made a result: the package's version and a hash of the code of `ml`."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


@cache
def code_version() -> str:
    """For example ``0.1.0+3f2a9c01``: the part after the plus changes with the code of a file of `ml`, or its name.

    Comments, docstrings and layout have no part in it, so workers that differ only in them have the same version.
    """
    code = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        words = [path.relative_to(folder).as_posix()]
        _words(ast.parse(path.read_bytes()), words)
        code.update("\0".join(words).encode())
    try:
        package = version("candleworks")
    except PackageNotFoundError:
        package = "0"
    return f"{package}+{code.hexdigest()[:8]}"


def _words(value: Any, words: list[str]) -> None:
    """Append the tree in prefix order. Not `ast.dump`, whose text differs between Python 3.11 and 3.13.

    Fields without a value are left out, since newer Pythons add some (`type_params`). A statement that is only a
    constant does nothing: it is a docstring or ``...``.
    """
    if isinstance(value, list):
        words.append("[")
        for item in value:
            if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)):
                _words(item, words)
        words.append("]")
    elif isinstance(value, ast.AST):
        words.append(type(value).__name__)
        for name in value._fields:
            content = getattr(value, name, None)
            if content is not None and content != []:
                words.append(name)
                _words(content, words)
        words.append(")")
    else:
        words.append(repr(value))
