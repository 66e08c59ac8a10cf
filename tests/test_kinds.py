"""Every test has one kind, and a unit test that is more than one is caught."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.kinds import KINDS, NotAUnit, group_of, guarded, kinds_of, sort_into_kinds


def test_every_test_has_exactly_one_kind(request: pytest.FixtureRequest) -> None:
    assert {len(kinds_of(item)) for item in request.session.items} == {1}


def test_a_group_is_a_file_or_a_folder_that_shares_what_it_builds() -> None:
    nodeids = ("tests/dbt/test_a.py::test_b[1]", "tests/dbt/test_c.py::test_b", "tests/ml/test_a.py::test_b[x::y]")
    assert [group_of(nodeid) for nodeid in nodeids] == ["tests/dbt/", "tests/dbt/", "tests/ml/test_a.py"]


@pytest.mark.e2e
def test_the_tests_of_a_group_run_on_one_worker(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_xdist_make_scheduler\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).write_text("def test_1(): pass\ndef test_2(): pass\ndef test_3(): pass\n")
    command = [sys.executable, "-m", "pytest", "-n", "2", "-vv", "-p", "no:cacheprovider"]
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    ran = re.findall(r"\[(gw\d)\].* PASSED (test_.\.py)", done.stdout)
    assert len(ran) == 6, done.stdout
    assert len(set(ran)) == 2, "a file on two workers"


class Item:
    """As much of a test as has a kind."""

    nodeid = "tests/test_a.py::test_b"

    def __init__(self, *marks: str, fixtures: tuple[str, ...] = ()) -> None:
        self.marks, self.fixturenames = list(marks), fixtures

    def add_marker(self, mark: object) -> None:
        self.marks.append(str(mark))

    def get_closest_marker(self, name: str) -> bool:
        return name in self.marks


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (Item(), "unit"),
        (Item("e2e", fixtures=("make_built",)), "e2e"),
        (Item(fixtures=("tmp_path", "built", "make_built")), "warehouse"),
        (Item(fixtures=("make_built", "keras_on_cpu")), "e2e"),
    ],
    ids=["plain", "marked", "of a fixture", "of two fixtures"],
)
def test_a_kind_is_the_mark_or_that_of_a_fixture(item: Item, kind: str) -> None:
    sort_into_kinds([item])  # type: ignore[list-item]
    assert [mark for mark in item.marks if mark in KINDS] == [kind]


def test_two_kinds_are_refused() -> None:
    with pytest.raises(pytest.UsageError, match="is marked unit and e2e"):
        sort_into_kinds([Item("unit", "e2e")])  # type: ignore[list-item]


@pytest.mark.parametrize("start", [
    lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    lambda: os.system("true"),
    os.fork,
    multiprocessing.get_context("spawn").Process(target=print).start,
    lambda: importlib.import_module("dbt.nothing_of_this_name"),
    lambda: importlib.import_module("tensorflow.nothing_of_this_name"),
], ids=["subprocess", "system", "fork", "multiprocessing", "dbt", "tensorflow"])  # fmt: skip
@pytest.mark.e2e  # its own guard, not that of its kind
def test_what_a_unit_test_does_not_do_is_caught(start: object) -> None:
    with pytest.raises(NotAUnit, match="mark it `warehouse` or `e2e`"), guarded():
        start()  # type: ignore[operator]


@pytest.mark.e2e
def test_a_started_process_is_caught_where_the_code_under_test_swallows_the_error() -> None:
    with pytest.raises(NotAUnit, match="starts a process"), guarded(), suppress(BaseException):
        subprocess.run(["true"], check=True)
