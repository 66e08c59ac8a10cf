"""Progress of long work: steps that report how far they are, to a terminal or a log, or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from ml.texts import printable


class Terminal(Console):
    """A console that shows texts as they are: no markup, and no character that would control the terminal.

    Names of workers and markets, errors in results and messages of servers come from outside. All commands print
    through this class, so that none of them has to tell such texts from its own.
    """

    def __init__(self, *, stderr: bool = False, file: IO[str] | None = None, width: int | None = None) -> None:
        super().__init__(stderr=stderr, file=file, width=width, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """A text as rich shows it; called for every printed text and every cell of a table."""
        return super().render_str(printable(text), **options)


class Step(Protocol):
    """One piece of work that reports its progress."""

    def share(self, share: float) -> None:
        """Report the share of the work that is done, 0 to 1."""

    def count(self, done: int, total: int) -> None:
        """Report the number of items done, and of all."""

    def say(self, line: object) -> None:
        """Report the outcome, in one line."""

    def warn(self, line: str) -> None:
        """Report a problem that does not stop the work, in one line."""


class Reporter:
    """Reports nothing; the base class of the others."""

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A step of the work, running for the block."""
        yield _SilentStep()


class _SilentStep:
    def share(self, share: float) -> None:
        """Ignored."""

    def count(self, done: int, total: int) -> None:
        """Ignored."""

    def say(self, line: object) -> None:
        """Ignored."""

    def warn(self, line: str) -> None:
        """Ignored."""


SILENT = Reporter()


class TerminalReporter(Reporter):
    """Progress bars on a terminal; one line per finished step where the output is not a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<22}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}", markup=False),
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
        """A progress bar, which stays with outcome and duration when the step is done."""
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
        self.line = printable(str(line))

    def warn(self, line: str) -> None:
        self._progress.console.print(f"Warning: {line}", style="yellow", highlight=False, soft_wrap=True)
