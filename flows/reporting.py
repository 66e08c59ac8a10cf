"""Progress of long work: steps that report how far they are, to a terminal, a log or nobody."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Step(Protocol):
    """One piece of work that somebody may be watching."""

    def share(self, share: float) -> None:
        """Done is this share of the work, 0 to 1."""

    def count(self, done: int, total: int) -> None:
        """Done are so many of so many."""

    def say(self, line: object) -> None:
        """What came out, in one line."""

    def warn(self, line: str) -> None:
        """What went wrong although the work goes on, in one line."""


class Reporter:
    """Reports to nobody; the base of those that report to somebody."""

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A step of the work, running for the block."""
        yield _SilentStep()


class _SilentStep:
    def share(self, share: float) -> None:
        """Nobody is watching."""

    def count(self, done: int, total: int) -> None:
        """Nobody is watching."""

    def say(self, line: object) -> None:
        """Nobody is watching."""

    def warn(self, line: str) -> None:
        """Nobody is watching."""


SILENT = Reporter()


class TerminalReporter(Reporter):
    """Bars on a terminal; one line a finished step where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)

    def __enter__(self) -> TerminalReporter:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A bar that fills, and stays with its outcome and its time when the step is over."""
        identity = self._progress.add_task(name, total=1.0, detail="")
        step = _TerminalStep(self._progress, identity)
        started = time.monotonic()
        yield step
        self._progress.update(identity, completed=1.0, detail=step.line)
        self._progress.stop_task(identity)
        if not self._console.is_terminal:
            self._console.print(f"{name:<22} {time.monotonic() - started:6.1f} s  {step.line}", highlight=False)


class _TerminalStep:
    def __init__(self, progress: Progress, identity: object) -> None:
        self._progress = progress
        self._identity = identity
        self.line = ""

    def share(self, share: float) -> None:
        self._progress.update(self._identity, completed=min(share, 1.0))  # type: ignore[arg-type]

    def count(self, done: int, total: int) -> None:
        self._progress.update(
            self._identity,  # type: ignore[arg-type]
            completed=done / total if total else 1.0,
            detail=f"{done} of {total}",
        )

    def say(self, line: object) -> None:
        self.line = str(line)

    def warn(self, line: str) -> None:
        self._progress.console.print(f"Warning: {line}", style="yellow", highlight=False, soft_wrap=True)
