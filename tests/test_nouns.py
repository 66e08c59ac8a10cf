"""Records have types: a dictionary from text to anything stands only where its keys are truly open."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

MAPPINGS = {"dict", "Mapping", "MutableMapping"}
OPEN_VALUES = {"Any", "object"}

#: Module and definition -> the reason why its keys are open.
OPEN = {
    "flows/notebook/evaluation.py CaseLike": "a description that a user has written; TestCase checks it",
    "flows/promotion/jobs.py promote_champion": "settings as JSON, which masks their secrets",
    "flows/promotion/jobs.py review_series_champion": "settings as JSON, which masks their secrets",
    "flows/promotion/steps.py _place": "settings as JSON, for a worker process",
    "flows/server/gateway.py Json": "bodies and events of Prefect's API, of which the gateway checks some keys",
    "flows/server/job_templates.py closed": "a job template of Prefect, with keys of each type of pool",
    "flows/server/prefect_app.py _connect_tidily": "parameters of a connection, from SQLAlchemy",
    "flows/settings.py Overrides": "sections and keys that Settings checks",
    "flows/tasks.py RETRIED": "options of Prefect's decorator",
    "flows/tasks.py UNCACHED": "options of Prefect's decorator",
    "flows/tasks.py show_table": "the artifact takes a row of any table",
    "flows/terminal/output.py PrintedRow": "the printer takes a row of any table",
    "ml/analysis/reports.py ReportRow": "the printer takes a row of any report",
    "ml/analysis/tables.py Row": "a row of any computed table; its schema checks it",
    "ml/data/stored.py _digest_of": "a JSON object of any kind; the caller names its type",
    "ml/data/stored.py object_bytes": "a JSON object of any kind, written as its digest is made",
    "ml/networks/charts.py get_config": "the signature of Keras",
    "ml/records.py AnyRecord": "the bound of a type variable: the type of record that goes in comes out",
    "ml/search/cases.py model_copy": "the signature of pydantic",
    "ml/toml_files.py TomlTable": "a file that a user has edited, before a model of pydantic has checked it",
}


def _defined(node: ast.AST, within: str) -> str:
    """The name of the definition that a node begins, else that of the one it is in."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    if within == "" and isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        return target.id if isinstance(target, ast.Name) else within
    return within


def open_dictionaries(source: str) -> Iterator[str]:
    """The name of the definition around each type of a dictionary from text to anything, and of a bare one."""

    def walk(node: ast.AST, name: str) -> Iterator[str]:
        name = _defined(node, name)
        if isinstance(node, ast.Subscript):
            key = ast.unparse(node.slice)
            if ast.unparse(node.value) in MAPPINGS and any(key == f"(str, {value})" for value in OPEN_VALUES):
                yield name
            if ast.unparse(node.value) in {"list", "Sequence", "Iterable"} and key in MAPPINGS:
                yield name
        if isinstance(node, ast.arg) and node.annotation and ast.unparse(node.annotation) in MAPPINGS:
            yield name
        if isinstance(node, ast.FunctionDef) and node.returns and ast.unparse(node.returns) in MAPPINGS:
            yield name
        for child in ast.iter_child_nodes(node):
            yield from walk(child, name)

    return walk(ast.parse(source), "")


def test_every_dictionary_with_open_keys_has_a_reason() -> None:
    found = {
        f"{path.relative_to(REPOSITORY).as_posix()} {name}"
        for package in ("flows", "ml")
        for path in Path(REPOSITORY / package).rglob("*.py")
        for name in open_dictionaries(path.read_text("utf-8"))
    }
    assert sorted(found - OPEN.keys()) == [], "give them a type: a dataclass, or a TypedDict (ml/records.py if stored)"
    assert sorted(OPEN.keys() - found) == [], "no longer there: remove them from the list"


@pytest.mark.parametrize(
    "source",
    [
        "def f(row: dict[str, Any]) -> None: ...",
        "def f() -> list[Mapping[str, object]]: ...",
        "def f(rows: list[dict]) -> None: ...",
        "def f(row: dict) -> None: ...",
        "def f():\n    rows: dict[str, Any] = {}",
        "f = dict[str, Any]",
        "f: dict[str, Any] = {}",
    ],
)
def test_an_open_dictionary_is_found_in_each_place(source: str) -> None:
    assert set(open_dictionaries(source)) == {"f"}


def test_a_typed_dictionary_is_none() -> None:
    assert list(open_dictionaries("def f(a: dict[str, int], b: list[ResultRow]) -> Mapping[str, str]: ...")) == []
