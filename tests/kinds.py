"""Every test is of one kind: `unit`, `warehouse` or `e2e`. A unit test is held to what its kind promises.

A test's kind is its own mark (`pytestmark` of its file, or a decorator), else that of a fixture that it uses (below),
else `unit`. Whoever writes a test that starts a process and forgets the mark is told so by that test's failure.
"""

from __future__ import annotations

import _posixsubprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

KINDS = ("unit", "warehouse", "e2e")
#: The fixtures that make a test what it is.
KIND_OF_FIXTURE = {"make_built": "warehouse", "keras_on_cpu": "e2e", "open_page": "e2e"}
#: Files and folders whose tests share what takes long to build or to load, the longest first: they begin the run.
LONG = (
    "tests/flows/simulation/test_demo",  # and test_demo_notebook.py, which reads its home
    "tests/dbt/",
    "tests/flows/test_weekly.py",
    "tests/flows/server/test_up.py",
    "tests/flows/simulation/",
    "tests/expectations/",
)
FORBIDDEN_PACKAGES = ("tensorflow", "dbt")
_STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec")


class NotAUnit(BaseException):
    """A unit test did what a unit test does not do. No `except Exception` of the code under test hides it."""


class _Guard:
    """Sees processes that are started and packages that are imported while a unit test runs."""

    def __init__(self) -> None:
        self.active = False
        self.breaches: list[str] = []

    def breach(self, what: str) -> None:
        if self.active:
            self.breaches.append(what)
            raise NotAUnit(f"a unit test {what}: mark it `warehouse` or `e2e` (tests/kinds.py)")

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _STARTS:
            self.breach(f"starts a process ({event} {arguments[0] if arguments else ''})")

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Asked before any finder for a package that is not loaded yet."""
        if name.partition(".")[0] in FORBIDDEN_PACKAGES:
            self.breach(f"imports {name}")


GUARD = _Guard()


@contextmanager
def guarded() -> Iterator[None]:
    """Within, to start a process or to import TensorFlow or dbt is an error, also where the error is swallowed."""
    GUARD.breaches.clear()
    GUARD.active = True
    try:
        yield
    finally:
        GUARD.active = False
    if GUARD.breaches:
        raise NotAUnit(f"a unit test {GUARD.breaches[0]}: mark it `warehouse` or `e2e` (tests/kinds.py)")


def install_guard() -> None:
    """Once a process: audit hooks cannot be removed. What Python does not audit is wrapped."""
    sys.addaudithook(GUARD.hook)
    sys.meta_path.insert(0, GUARD)  # type: ignore[arg-type]
    fork_exec, start = _posixsubprocess.fork_exec, BaseProcess.start

    def guarded_fork_exec(*arguments: Any) -> int:
        GUARD.breach("starts a process (fork_exec)")
        return fork_exec(*arguments)

    def guarded_start(process: BaseProcess) -> None:
        GUARD.breach("starts a process (multiprocessing)")
        start(process)

    _posixsubprocess.fork_exec = guarded_fork_exec  # of multiprocessing; subprocess has its own name for it
    BaseProcess.start = guarded_start  # type: ignore[method-assign]


def refuse_loaded_packages() -> None:
    """Called when the tests are collected: a file that imports TensorFlow or dbt at its top costs each worker seconds.

    Raises:
        pytest.UsageError: one of them is loaded.
    """
    for package in FORBIDDEN_PACKAGES:
        if package in sys.modules:
            raise pytest.UsageError(f"a file of tests imports {package} at its top: import it within the tests")


def kinds_of(item: pytest.Item) -> list[str]:
    """The kinds that a test is marked with; one, once the collection is over."""
    return [kind for kind in KINDS if item.get_closest_marker(kind)]


def group_of(nodeid: str) -> str:
    """The tests of one group run on one worker: those of a file, or of a folder that shares what it builds."""
    return next((place for place in LONG if nodeid.startswith(place)), nodeid.partition("::")[0])


def sort_into_kinds(items: list[pytest.Item]) -> None:
    """Give every test its kind, and put the long ones first."""
    for item in items:
        fixtures: Iterable[str] = getattr(item, "fixturenames", ())
        if not kinds_of(item):
            of_fixtures = {KIND_OF_FIXTURE[name] for name in fixtures if name in KIND_OF_FIXTURE}
            item.add_marker(max(of_fixtures, key=KINDS.index, default="unit"))
        if len(kinds_of(item)) > 1:
            raise pytest.UsageError(f"{item.nodeid} is marked {' and '.join(kinds_of(item))}; one kind a test")
    items.sort(key=_place_in_the_run)


def _place_in_the_run(item: pytest.Item) -> tuple[int, int]:
    group = group_of(item.nodeid)
    long = LONG.index(group) if group in LONG else len(LONG)
    return long, -KINDS.index(kinds_of(item)[0])


class GroupScheduling(LoadScopeScheduling):
    """Hands out whole groups. Of xdist's own ways one knows files only; the marks of the other pytest 9.2 ignores."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
