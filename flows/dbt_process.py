"""dbt as a process that first loads itself and the project, which takes most of its time, and then waits for commands.

    python -P -m flows.dbt_process      its standard input is a socket: a JSON list of dbt's arguments a line comes in,
                                        dbt's exit code a line goes out

Loading needs no warehouse, so a flow that knows that it will transform keeps a process (`kept`), which loads beside its
other work and then does all its commands (`process_for`).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.services.processes import child_environment, start_child, stop_child

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

#: What dbt calls an end without results, such as a project that cannot be read.
EXIT_BROKEN = 2
#: What goes wrong, a JSON object a line; the rest stands in dbt's own log file.
QUIET = ["--log-format", "json", "--log-level", "error"]


@dataclass(frozen=True)
class DbtPlace:
    """Where dbt works: its project folder, the variables that tell it everything else, and the folder of its output."""

    project: Path
    variables: tuple[tuple[str, str], ...]
    target: Path

    @staticmethod
    def of(project: Path, variables: Mapping[str, str], target: Path) -> DbtPlace:
        """A place that can be compared."""
        return DbtPlace(project, tuple(sorted(variables.items())), target)


class DbtProcess:
    """A process for one place. It opens the warehouse for each command and frees it afterwards."""

    def __init__(self, place: DbtPlace, name: str = "output") -> None:
        place.target.mkdir(parents=True, exist_ok=True)
        #: The structured log of the last command, a JSON object a line; or of loading, where that failed.
        self.output = place.target / f"{name}.jsonl"
        self.output.unlink(missing_ok=True)
        # -P: a folder of the project (tests, models) must not pass for a Python package
        command = [sys.executable, "-P", "-m", "flows.dbt_process"]
        self._socket, theirs = socket.socketpair()
        with theirs:
            environment = child_environment(dict(place.variables))
            self._child = start_child(command, environment, self.output, cwd=place.project, stdin=theirs.fileno())

    def run(self, command: Sequence[str]) -> int:
        """Run a command; returns dbt's exit code. A process that ended instead of answering runs nothing more."""
        # One that could not load the project has ended already: nothing to write to, nothing to read.
        with contextlib.suppress(OSError), self._socket.makefile("rw", encoding="utf-8") as line:
            line.write(json.dumps(list(command)) + "\n")
            line.flush()
            if answer := line.readline():
                return int(answer)
        return self._child.wait() or EXIT_BROKEN

    @property
    def is_alive(self) -> bool:
        return self._child.poll() is None

    def close(self) -> None:
        self._socket.close()
        stop_child(self._child)


_lock = threading.Lock()
#: For each open block of `kept`: its process, or None while `process_for` has lent it or when it is no good any more.
_kept: dict[DbtPlace, DbtProcess | None] = {}


@contextlib.contextmanager
def kept(place: DbtPlace) -> Iterator[None]:
    """Keep a process loaded for the commands at a place until the block ends; within another such block, nothing."""
    with _lock:
        ours = place not in _kept
        if ours:
            _kept[place] = DbtProcess(place, "output_kept")
    try:
        yield
    finally:
        if ours:
            with _lock:
                process = _kept.pop(place)
            if process is not None:
                process.close()


@contextlib.contextmanager
def process_for(place: DbtPlace) -> Iterator[DbtProcess]:
    """The process that is kept for a place, where there is one and it is free, else one for this block alone.

    One whose block raised is not kept any longer: what a failed command left in it, nobody knows.
    """
    with _lock:
        process = _kept.get(place)
        if process is not None:
            _kept[place] = None
    is_kept = process is not None and process.is_alive
    if process is None or not process.is_alive:
        if process is not None:
            process.close()
        process = DbtProcess(place)
    back = False
    try:
        yield process
        back = is_kept
    finally:
        with _lock:
            back = back and place in _kept
            if back:
                _kept[place] = process
        if not back:
            process.close()


def _load_plugins() -> None:
    """Import what the project's functions need, else the first connection would wait a second for it."""
    sys.path.append(str(Path.cwd() / "plugins"))
    for file in sorted(Path("plugins").glob("*.py")):
        importlib.import_module(file.stem)


def _load_macros(manifest: Manifest) -> None:
    """Compile the templates of the macros, else the first model that calls one would wait for it."""
    from dbt_common.clients.jinja import template_cache  # noqa: PLC0415 - only this process needs it

    for macro in manifest.macros.values():
        template_cache.get_node_template(macro)


def _free_warehouse() -> None:
    """Close the file, which dbt keeps open from model to model, so that others can open it."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager as Manager  # noqa: PLC0415

    if Manager._ENV is not None:  # a command that ran no model has opened nothing
        Manager.env().close()
        Manager.close_all_connections()


def main() -> int:
    """What the process does."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - only this process needs it

    # Without its artefacts: another dbt process may be writing them at this time.
    loaded = dbtRunner().invoke([*QUIET, "--no-write-json", "parse"])
    if not loaded.success:
        sys.stderr.write(f"{loaded.exception}\n")  # not every reason is in a log
        return EXIT_BROKEN
    _load_plugins()
    _load_macros(loaded.result)
    with socket.socket(fileno=sys.stdin.fileno()) as line, line.makefile("rw", encoding="utf-8") as talk:
        while True:
            # dbt marks in the manifest what it has compiled, so each command gets a fresh one.
            manifest = loaded.result.deepcopy()
            command = talk.readline()
            if not command:
                return 0
            os.truncate(sys.stdout.fileno(), 0)  # it is appended to: the log begins anew
            done = dbtRunner(manifest=manifest).invoke([*QUIET, *json.loads(command)])
            _free_warehouse()
            if done.exception is not None:
                sys.stderr.write(f"{done.exception}\n")
            code = EXIT_BROKEN if done.exception is not None else 0 if done.success else 1
            talk.write(f"{code}\n")
            talk.flush()


if __name__ == "__main__":
    sys.exit(main())
