"""The matrix: damage a file of a copy of a home, read it, and compare with what the undamaged home gives.

A cell is fine if the reader gives the same as before, or an error or a warning that names the damage; a traceback, and
other results without a word, are not. Only readers that open a file are held against its damages: what they open is
recorded in a run on the undamaged home.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml.errors import CandleworksError
from ml.execution.leases import FOLDER
from tests.damage.damages import DAMAGES, files_by_kind, foreign

#: Words of a message that says that something is wrong with a file.
_NAMED = ("damaged", "broken", "missing", "cannot be", "set aside", "not there", "corrupt", "incomplete", "`")
#: The same in a result, such as the reason of a forecast.
_NAMED_IN_A_RESULT = ("cannot be loaded", "damaged", "No model")
SAME, NAMED, ABSENT, SILENT, TRACEBACK = "same", "named", "absent", "SILENT", "TRACEBACK"
#: Kinds whose absence is the state before they were made: without them a reader gives less, and nothing is wrong. A
#: deleted warehouse is that of a new home, one without its log that of the last checkpoint.
_MADE_ANEW = (f"{FOLDER}/", "costs/", "results/", "current/", "published/", "served/", "warehouse")
#: What no reader can see, and why it changes no number.
_HARMLESS = {
    ("foreign", f"store/{FOLDER}/*/*.json"): "a lease names no chunk: another one only frees the chunk, or delays it",
    ("foreign", "store/results/*/*.parquet"): "results name their cases: lost ones are evaluated again, as if deleted",
}


@dataclass(frozen=True)
class Reader:
    """A command, or a step of a flow.

    Attributes:
        name: of it.
        read: home -> what it gives, comparable by its text.
        warehouse: whether it opens the warehouse, which then is copied.
    """

    name: str
    read: Callable[[Path], Any]
    warehouse: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a reader gave: its result as text, what it said, and how it ended."""

    result: str
    said: str
    error: str = ""

    def against(self, before: Outcome, damage: str, kind: str) -> str:
        """The verdict on a cell."""
        if self.error:
            return TRACEBACK
        if self.result == before.result:
            return SAME
        new = set(self.said.splitlines()) - set(before.said.splitlines())
        told = any(self.result.count(word) > before.result.count(word) for word in _NAMED_IN_A_RESULT)
        if self.result == "error" or told or any(word in line for line in new for word in _NAMED):
            return NAMED
        if (damage, kind) in _HARMLESS:
            return SAME
        return ABSENT if damage == "deleted" and any(place in kind for place in _MADE_ANEW) else SILENT


@dataclass
class Cell:
    """A damaged file, read once."""

    kind: str
    path: str
    damage: str
    reader: str
    verdict: str
    outcome: Outcome


@dataclass
class _Opened:
    active: bool = False
    paths: set[str] = field(default_factory=set)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.active and event == "open" and isinstance(arguments[0], str | os.PathLike):
            self.paths.add(os.fspath(arguments[0]))


_OPENED = _Opened()
_HOOKED: list[bool] = []


@contextmanager
def _recorded() -> Iterator[set[str]]:
    """The paths that are opened in the block; audit hooks cannot be removed, so there is one per process."""
    if not _HOOKED:
        sys.addaudithook(_OPENED.hook)
        _HOOKED.append(True)
    _OPENED.paths, _OPENED.active = set(), True
    try:
        yield _OPENED.paths
    finally:
        _OPENED.active = False


def copy_home(home: Path, target: Path, warehouse: bool) -> None:
    """A copy that shares all files by hard links but the databases, which are written in place."""

    def link_or_copy(source: str, place: str) -> None:
        if ".duckdb" in source or "prefect.db" in source:
            if warehouse:
                shutil.copyfile(source, place)
        else:
            os.link(source, place)

    shutil.copytree(
        home, target, copy_function=link_or_copy, ignore=shutil.ignore_patterns("dbt", "logs", ".candleworks")
    )


def _run(reader: Reader, home: Path) -> Outcome:
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logging.getLogger("ml").addHandler(handler)
    logging.getLogger("flows").addHandler(handler)
    logging.getLogger("app").addHandler(handler)
    try:
        with redirect_stdout(said), redirect_stderr(said):
            result = reader.read(home)
        return Outcome(str(result).replace(str(home), "HOME"), said.getvalue())
    except CandleworksError as error:
        return Outcome("error", said.getvalue() + "\n".join(error.lines()))
    except Exception as error:  # exactly what must not happen
        return Outcome("", said.getvalue(), f"{type(error).__name__}: {error}")
    finally:
        for name in ("ml", "flows", "app"):
            logging.getLogger(name).removeHandler(handler)


def run_matrix(
    home: Path,
    scratch: Path,
    readers: Sequence[Reader],
    only: Callable[[str], bool] = lambda _: True,
    say: Callable[[str], None] = lambda _: None,
) -> list[Cell]:
    """Every kind of file that a reader opens, in every damage, by each of its readers.

    Args:
        home: undamaged; it is not changed.
        scratch: an empty folder on the same file system.
        readers: the commands.
        only: which kinds.
        say: gets a line per kind.
    """
    kinds = files_by_kind(home)
    before, opens = {}, {}
    for reader in readers:
        with _copy(home, scratch, reader) as copy:
            with _recorded() as paths:
                before[reader.name] = _run(reader, copy)
            prefix = f"{copy}/"
            opens[reader.name] = {path.removeprefix(prefix) for path in paths if path.startswith(prefix)}
        assert not before[reader.name].error, (reader.name, before[reader.name])
    cells: list[Cell] = []
    for kind, paths in kinds.items():
        if not only(kind):
            continue
        mine = _representative(paths, opens)
        wanted = [one for one in readers if mine in opens[one.name] or (one.warehouse and ".duckdb" in mine)]
        for damage in DAMAGES if wanted else ():
            other = foreign(home, kinds, mine)
            for reader in wanted:
                with _copy(home, scratch, reader) as copy:
                    DAMAGES[damage](copy / mine, (home / mine).read_bytes(), other)
                    outcome = _run(reader, copy)
                cells.append(
                    Cell(kind, mine, damage, reader.name, outcome.against(before[reader.name], damage, kind), outcome)
                )
        say(f"{kind}: {len(wanted)} readers, {_counts([cell for cell in cells if cell.kind == kind])}")
    return cells


def _representative(paths: Sequence[str], opens: Mapping[str, set[str]]) -> str:
    """The file of a kind that most readers open."""
    return max(paths, key=lambda path: sum(path in opened for opened in opens.values()))


@contextmanager
def _copy(home: Path, scratch: Path, reader: Reader) -> Iterator[Path]:
    copy = scratch / "home"
    copy_home(home, copy, reader.warehouse)
    try:
        yield copy
    finally:
        shutil.rmtree(copy)


def _counts(cells: Sequence[Cell]) -> str:
    counts = Counter(cell.verdict for cell in cells)
    return ", ".join(f"{counts[name]} {name}" for name in (SAME, NAMED, ABSENT, SILENT, TRACEBACK))


def summary(cells: Sequence[Cell]) -> str:
    """Counts in one line."""
    files, damages = len({cell.path for cell in cells}), len({cell.damage for cell in cells})
    readers = len({cell.reader for cell in cells})
    return f"{files} files x {damages} damages x {readers} readers, {len(cells)} reads: {_counts(cells)}"


def faults(cells: Sequence[Cell]) -> list[str]:
    """A line per cell that is not fine."""
    return [
        f"{cell.verdict}: {cell.path} {cell.damage}, read by {cell.reader}: "
        f"{cell.outcome.error or cell.outcome.said.strip() or cell.outcome.result[:150]}"
        for cell in cells
        if cell.verdict in (SILENT, TRACEBACK)
    ]
