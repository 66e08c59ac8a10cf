"""dbt as a process that first loads itself and the project, which takes most of its time, and then waits for a command.

    python -P -m flows.dbt_process < COMMAND       a JSON list of dbt's arguments

Loading needs no warehouse, so a flow that knows that it will transform soon has it done beside its other work:
`prepare` starts a process ahead, and `take` hands it out, or starts one where none is ready.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.services.processes import child_environment, start_child, stop_child

#: What dbt calls an end without results, such as a project that cannot be read.
EXIT_BROKEN = 2


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
    """One process, good for one command."""

    def __init__(self, place: DbtPlace, number: int) -> None:
        place.target.mkdir(parents=True, exist_ok=True)
        #: Its structured log, a JSON object a line.
        self.output = place.target / f"output{number}.jsonl"
        self.output.unlink(missing_ok=True)
        # -P: a folder of the project (tests, models) must not pass for a Python package
        command = [sys.executable, "-P", "-m", "flows.dbt_process"]
        environment = child_environment(dict(place.variables))
        self._child = start_child(command, environment, self.output, cwd=place.project, stdin=subprocess.PIPE)

    def run(self, command: Sequence[str]) -> int:
        """Run the one command; returns dbt's exit code."""
        try:
            # One that could not load the project has ended already.
            with contextlib.suppress(BrokenPipeError):
                self._child.communicate(json.dumps(list(command)).encode())
            return self._child.wait()
        finally:
            stop_child(self._child)


@dataclass(frozen=True)
class _Ahead:
    process: DbtProcess
    more: int


_lock = threading.Lock()
_ahead: dict[DbtPlace, _Ahead] = {}


def prepare(place: DbtPlace, times: int) -> None:
    """Have a process loaded ahead; when it is taken the next one is started, until there were so many."""
    with _lock:
        if place not in _ahead:
            _ahead[place] = _Ahead(DbtProcess(place, times), times - 1)


def take(place: DbtPlace) -> DbtProcess:
    """A process that is or soon will be ready."""
    with _lock:
        ahead = _ahead.pop(place, None)
        if ahead is None:
            return DbtProcess(place, 0)
        if ahead.more:
            _ahead[place] = _Ahead(DbtProcess(place, ahead.more), ahead.more - 1)
        return ahead.process


def _load_plugins() -> None:
    """Import what the project's functions need, else the first connection would wait a second for it."""
    sys.path.append(str(Path.cwd() / "plugins"))
    for file in sorted(Path("plugins").glob("*.py")):
        importlib.import_module(file.stem)


def main() -> int:
    """What the process does."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - only this process needs it

    # Without its artefacts: another dbt process may be writing them at this time.
    loaded = dbtRunner().invoke(["--log-format", "json", "--no-write-json", "parse"])
    if not loaded.success:
        sys.stderr.write(f"{loaded.exception}\n")  # not every reason is in a log
        return EXIT_BROKEN
    _load_plugins()
    command = json.load(sys.stdin)
    done = dbtRunner(manifest=loaded.result).invoke(["--log-format", "json", *command])
    if done.exception is not None:
        sys.stderr.write(f"{done.exception}\n")
        return EXIT_BROKEN
    return 0 if done.success else 1


if __name__ == "__main__":
    sys.exit(main())
