"""dbt as a process that first loads dbt and the project, which takes most of the time, and then waits for commands.

    python -P -m flows.warehouse.dbt_process    its standard input is a socket: per line a JSON list of environment
                                                variables and dbt's arguments comes in, dbt's exit code goes out

Loading needs no warehouse, so a flow that will transform keeps a process (`kept`), which loads during its other work
and then runs all its commands (`process_for`), at any place of the same project.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.processes.children import child_environment, start_child, stop_child
from flows.warehouse.dbt_shortcuts import take_shortcuts
from ml.data import targets

#: dbt's exit code for an end without results, such as a project that cannot be read.
EXIT_BROKEN = 2
SOURCES = {".sql", ".yml", ".py"}
#: The macro label_horizon reads this file.
LABEL_LENGTHS = Path(targets.__file__)
#: dbt's own log file has everything; each further log formats every event once more, even those that it then drops.
QUIET = ["--log-level", "none"]


@dataclass(frozen=True)
class DbtPlace:
    """Where dbt works: its project folder, the environment variables that configure it, and its output folder."""

    project: Path
    variables: tuple[tuple[str, str], ...]
    target: Path

    @staticmethod
    def of(project: Path, variables: Mapping[str, str], target: Path) -> DbtPlace:
        """A place that can be compared."""
        return DbtPlace(project, tuple(sorted(variables.items())), target)

    @property
    def loaded(self) -> tuple[Path, str]:
        """What a process loads for it: the project, and the name of the database, which is in each relation's name."""
        return self.project, Path(dict(self.variables).get("CANDLEWORKS_WAREHOUSE", "")).stem

    def edited(self) -> frozenset[tuple[str, int]]:
        """The files that a process has loaded, and when each was written, in nanoseconds."""
        files = (Path(folder, name) for folder, _, names in os.walk(self.project) for name in names)
        edited = [*(file for file in files if file.suffix in SOURCES), LABEL_LENGTHS]
        return frozenset((str(file), file.stat().st_mtime_ns) for file in edited)


class DbtProcess:
    """A process for the places of one project. It opens the warehouse for each command and frees it afterwards."""

    def __init__(self, place: DbtPlace, name: str = "output") -> None:
        place.target.mkdir(parents=True, exist_ok=True)
        #: Errors of the last command, or of loading, that dbt does not report by node.
        self.output = place.target / f"{name}.txt"
        self.output.unlink(missing_ok=True)
        # -P: a folder of the project (tests, models) must not be imported as a Python package
        command = [sys.executable, "-P", "-m", "flows.warehouse.dbt_process"]
        #: The place of its next command.
        self.place = place
        self._project = place.edited()
        self._variables: dict[str, str | None] = dict(place.variables)
        self._socket, theirs = socket.socketpair()
        with theirs:
            environment = child_environment(dict(place.variables))
            self._child = start_child(command, environment, self.output, cwd=place.project, stdin=theirs.fileno())

    def run(self, command: Sequence[str]) -> int:
        """Run a command; returns dbt's exit code. A process that exited instead of answering runs nothing more."""
        # None unsets variables of an earlier place.
        self._variables = {**dict.fromkeys(self._variables), **dict(self.place.variables)}
        # A process that could not load the project has exited already: writing fails, or there is no answer.
        with contextlib.suppress(OSError), self._socket.makefile("rw", encoding="utf-8") as line:
            line.write(json.dumps([self._variables, list(command)]) + "\n")
            line.flush()
            if answer := line.readline():
                return int(answer)
        return self._child.wait() or EXIT_BROKEN

    @property
    def is_usable(self) -> bool:
        """Whether it is running and has loaded the project as it is now."""
        return self._child.poll() is None and self.knows_the_project

    @property
    def knows_the_project(self) -> bool:
        """Whether no file was edited, added or removed since it began to load."""
        return self._project == self.place.edited()

    def close(self) -> None:
        self._socket.close()
        stop_child(self._child)


@dataclass
class _Kept:
    """State of a block of `kept`; the process is None after an unusable one was closed, until the next is needed."""

    process: DbtProcess | None
    is_lent: bool = False


_lock = threading.Lock()
_kept: dict[tuple[Path, str], _Kept] = {}


@contextlib.contextmanager
def kept(place: DbtPlace) -> Iterator[None]:
    """Keep a process loaded for the commands at a place until the block ends; a nested block does nothing.

    The process also runs commands at other places of the same project and database name.
    """
    with _lock:
        ours = None if place.loaded in _kept else _Kept(DbtProcess(place, "output_kept"))
        if ours is not None:
            _kept[place.loaded] = ours
    try:
        yield
    finally:
        if ours is not None:
            with _lock:
                del _kept[place.loaded]
            if ours.process is not None and not ours.is_lent:
                ours.process.close()


@contextlib.contextmanager
def process_for(place: DbtPlace) -> Iterator[DbtProcess]:
    """The kept process of a place, if there is one and it is free, else a process for this block alone.

    A kept process is replaced if it has exited, its project was edited since it was loaded, or its block raised.
    """
    with _lock:
        kept = _kept.get(place.loaded)
        ours = kept if kept is not None and not kept.is_lent else None
        if ours is not None:
            ours.is_lent = True
    process = ours.process if ours is not None else None
    if process is not None and not process.is_usable:
        process.close()
        process = None
    process = process or DbtProcess(place, "output_kept" if ours is not None else "output")
    process.place = place
    completed = False
    try:
        yield process
        completed = True
    finally:
        with _lock:
            stays = completed and ours is not None and _kept.get(place.loaded) is ours
            if ours is not None:
                ours.process, ours.is_lent = process if stays else None, False
        if not stays:
            process.close()


def _load_plugins() -> None:
    """Import the modules of the project's functions, else the first connection would wait a second for them."""
    sys.path.append(str(Path.cwd() / "plugins"))
    for file in sorted(Path("plugins").glob("*.py")):
        importlib.import_module(file.stem)


def _free_warehouse() -> None:
    """Close the file, which dbt keeps open from model to model, so that others can open it."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager as Manager  # noqa: PLC0415

    if Manager._ENV is not None:  # a command that ran no model has not opened the file
        Manager.env().close()
        Manager.close_all_connections()


def _set_environment(variables: Mapping[str, str | None]) -> None:
    """Set environment variables; None unsets one."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def main() -> int:
    """Main function of the process."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - only this process needs it

    take_shortcuts()
    # dbt compares the path of the warehouse with that of its last parse: another one would cost 6 s in a moved home.
    os.environ["CANDLEWORKS_WAREHOUSE"] = Path(os.environ.get("CANDLEWORKS_WAREHOUSE", "")).name
    # Without artefacts: another dbt process may be writing them at the same time.
    loaded = dbtRunner().invoke([*QUIET, "--no-write-json", "parse"])
    if not loaded.success:
        sys.stderr.write(f"{loaded.exception}\n")  # not every reason is in a log
        return EXIT_BROKEN
    _load_plugins()
    gc.freeze()  # permanent objects: garbage collection may skip them
    with socket.socket(fileno=sys.stdin.fileno()) as line, line.makefile("rw", encoding="utf-8") as talk:
        while True:
            # dbt marks in the manifest what it has compiled, so each command gets a fresh one.
            manifest = loaded.result.deepcopy()
            request = talk.readline()
            if not request:
                return 0
            variables, command = json.loads(request)
            _set_environment(variables)
            os.truncate(sys.stdout.fileno(), 0)  # opened for appending: truncate the log of the last command
            done = dbtRunner(manifest=manifest).invoke([*QUIET, *command])
            _free_warehouse()
            if done.exception is not None:
                sys.stderr.write(f"{done.exception}\n")
            code = EXIT_BROKEN if done.exception is not None else 0 if done.success else 1
            talk.write(f"{code}\n")
            talk.flush()


if __name__ == "__main__":
    sys.exit(main())
