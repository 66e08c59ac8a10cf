"""The reports of a month, stored as an edition that is never rewritten."""

from __future__ import annotations

from flows.reporting import Reporter
from flows.workspace.workspace import Workspace
from ml.analysis.month import Edition, Month, store_month


def run_month(workspace: Workspace, reporter: Reporter, month: str) -> Edition:
    """Store the reports of a month, such as 2026-10; an edition with the same tables is kept as it is.

    Raises:
        ConfigurationError: it is no month.
        StoreError: nothing has been published yet.
    """
    with reporter.step(f"reports of {month}") as step:
        edition, is_new = store_month(workspace.store, Month.read(workspace.store, month))
        rows = ", ".join(f"{count:,} {kind}" for kind, count in edition["rows"].items())
        step.say(f"edition {edition['number']}{'' if is_new else ', unchanged'}: {rows}")
    return edition
