"""Every test has one kind, and a unit test that is more than one is caught."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.kinds import KINDS, NotAUnit, guarded, kinds_of, sort_into_kinds


def test_every_test_has_exactly_one_kind(request: pytest.FixtureRequest) -> None:
    assert {len(kinds_of(item)) for item in request.session.items} == {1}


def test_workers_know_the_group_of_a_test(request: pytest.FixtureRequest) -> None:
    """xdist reads it off the end of the name; without it every test would be handed out alone."""
    grouped = getattr(request.config.option, "loadgroup", False)
    assert request.node.nodeid.endswith("@tests/test_kinds.py") == grouped


class Item:
    """As much of a test as has a kind."""

    nodeid = "tests/test_a.py::test_b"

    def __init__(self, *marks: str, fixtures: tuple[str, ...] = ()) -> None:
        self.marks, self.fixturenames = list(marks), fixtures

    def add_marker(self, mark: object) -> None:
        self.marks.append(mark if isinstance(mark, str) else "xdist_group")

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
def test_it_is_caught_where_the_code_under_test_swallows_it() -> None:
    with pytest.raises(NotAUnit, match="starts a process"), guarded(), suppress(BaseException):
        subprocess.run(["true"], check=True)
