"""Each model edited, then built by each selection, then a plain run: after each, is all right, or is it said?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.dbt.built import BUILD_CANDLES, Built
from tests.partial_builds.worlds import REMEDY, Copy, Sums, copy_of, full_build, said_by, sums_of

FORMS = ("{}", "+{}", "{}+")


@dataclass(frozen=True)
class Outcome:
    """What one selection did after an edit, and what the plain run after it."""

    selection: str
    said: str
    selected: Sums
    plain: Sums
    full: Sums

    @property
    def differences(self) -> list[str]:
        """What breaks the promise; empty when it is kept."""
        found = []
        if self.said and not self.said.rstrip(".").endswith(REMEDY):
            found.append(f"{self.selection}: no remedy in {self.said!r}")
        if not self.said:
            found += [
                f"{self.selection}: {name} is wrong, and nothing says so" for name in _unlike(self.selected, self.full)
            ]
        return found + [
            f"{self.selection}, then a plain run: {name} is wrong" for name in _unlike(self.plain, self.full)
        ]

    def __str__(self) -> str:
        wrong = _unlike(self.selected, self.full)
        state = "right" if not wrong else f"{len(wrong)} tables wait, said" if self.said else f"{len(wrong)} WRONG"
        sums = ", ".join(f"{name.partition('.')[2]} {rows} {checksum}" for name, (rows, checksum) in self.plain.items())
        verdict = "EQUAL" if self.plain == self.full else "DIFFERENT"
        return f"{self.selection:<40} {state:<21} then a plain run: {verdict:<9} {sums}"


def _unlike(found: Sums, wanted: Sums) -> list[str]:
    return [name for name in wanted if found[name] != wanted[name]]


def outcomes(old: Built, project: Copy, models: Iterable[str], folder: Path) -> Iterator[Outcome]:
    """Edit these models of a copy of the project, one at a time, and build each by each selection.

    Args:
        old: What the project built before the edit.
        project: The copy, which the runs of dbt use (`copied_project`).
        models: Names.
        folder: Takes the warehouses.
    """
    for model in models:
        project.edit(model)
        full = sums_of(full_build(old, folder / "whole"))
        for form in FORMS:
            selection = form.format(model)
            built = copy_of(old, folder / "part")
            said = said_by(built, ["build", "--select", selection])
            selected = sums_of(built)
            built.run(BUILD_CANDLES)
            yield Outcome(selection, said, selected, sums_of(built), full)
        project.restore(model)
