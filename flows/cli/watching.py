"""Watches a sweep on the terminal until it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from flows.terminal.output import records_table, terminal
from flows.terminal.tables import status_records
from ml.forecasting.published import read_progress
from ml.records import SweepProgress
from ml.store import Store

REDRAW_SECONDS = 1.0
#: A sweep writes its progress every 30 s, however long a chunk takes.
SILENT_SECONDS = 180.0


def headline(progress: SweepProgress | None, now: datetime) -> str:
    """One line about a sweep as a whole."""
    if progress is None:
        return "No sweep has run yet. Start one with `candleworks sweep`."
    done, total = progress["cases_done"], progress["cases_total"]
    rate = progress["cases_per_minute"]
    eta = progress["eta_seconds"]
    words = [f"Sweep {progress['sweep_id']} {progress['status']}: {done:,} of {total:,} test cases have a result"]
    words += [f"{rate:,.1f} a minute"] if rate else []
    words += [f"{eta / 60:,.0f} min left"] if eta and progress["status"] == "running" else []
    if is_silent(progress, now):
        words.append("no progress written for minutes, probably killed: `candleworks sweep` continues it")
    return ", ".join(words)


def is_silent(progress: SweepProgress, now: datetime) -> bool:
    """Whether a sweep is marked as running but no longer writes its progress."""
    silent = (now - datetime.fromisoformat(progress["updated_at"])).total_seconds()
    return progress["status"] == "running" and silent > SILENT_SECONDS


def watch_sweep(
    store: Store,
    columns: Sequence[str],
    console: Console | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> bool:
    """Redraw the status until no sweep runs.

    Args:
        store: the workspace's store.
        columns: columns of the table, names of `status_records`.
        console: the output; None: the terminal.
        wait: waits between two redraws.

    Returns:
        Whether the sweep is done; False where none was ever run, or it was interrupted.
    """
    with Live(console=console or terminal(), auto_refresh=False) as live:
        while True:
            progress, now = read_progress(store), datetime.now(UTC)
            records = status_records(store)
            table = [records_table(records, "Status", columns)] if records else []
            lines = progress.get("warnings", []) if progress else []
            warnings = [Text(f"Warning: {line}", "yellow") for line in lines]
            live.update(Group(*table, *warnings, Text(headline(progress, now))), refresh=True)
            if progress is None or progress["status"] != "running" or is_silent(progress, now):
                return progress is not None and progress["status"] == "done"
            wait(REDRAW_SECONDS)
