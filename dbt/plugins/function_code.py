"""The code of a function as text that does not depend on comments, docstrings and formatting."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

_FOLDER = Path(__file__).resolve().parent


@cache
def code_of(function: Callable[..., Any]) -> str:
    """Text of a function and of everything in this folder that it uses; of code elsewhere only the name."""
    seen: dict[str, str] = {}
    _add(function, seen)
    return "\n".join(text for _, text in sorted(seen.items()))


def _add(item: Any, seen: dict[str, str]) -> None:
    item = inspect.unwrap(getattr(item, "py_func", item)) if callable(item) else item
    name = f"{getattr(item, '__module__', '')}.{getattr(item, '__qualname__', getattr(item, '__name__', repr(item)))}"
    if name in seen:
        return
    try:
        own = Path(inspect.getfile(item)).resolve().parent == _FOLDER
    except TypeError:
        own = False
    if not own:
        seen[name] = name
        return
    tree = ast.parse(textwrap.dedent(inspect.getsource(item)))
    seen[name] = _plain(tree)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    around = dict(vars(item)) if isinstance(item, ModuleType) else getattr(item, "__globals__", {})
    around |= _captured(item)
    for used in sorted(names & around.keys()):
        _add_value(used, around[used], seen)


def _captured(item: Any) -> dict[str, Any]:
    """The closure variables of a function."""
    try:
        return dict(inspect.getclosurevars(item).nonlocals) if inspect.isfunction(item) else {}
    except ValueError:  # a cell that is still empty
        return {}


def _add_value(name: str, value: Any, seen: dict[str, str]) -> None:
    if (
        inspect.isfunction(value)
        or inspect.isclass(value)
        or inspect.isbuiltin(value)
        or isinstance(value, ModuleType)
        or hasattr(value, "py_func")
    ):
        _add(value, seen)
    else:
        seen[f"{name}="] = f"{name} = {_constant(value)}"


def _constant(value: Any) -> str:
    """A constant as text that is the same in every process; for anything else, its type."""
    if isinstance(value, np.ndarray):
        return str(value.tolist())
    if isinstance(value, list | tuple):
        return str([_constant(entry) for entry in value])
    if isinstance(value, bool | int | float | str | None):
        return repr(value)
    return type(value).__name__


def _plain(tree: ast.AST) -> str:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and body and _is_text(body[0]):
            node.body = body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
