"""The time before the first snapshot: which steps of the first run have left something in the store so far.

Streamlit draws it again every few seconds, so the page follows a run that is at work.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import streamlit as st

from app import clock, formats
from app.commands import command
from app.provenance import parse_time
from app.snapshot import read_progress, store_url
from ml.errors import StoreError
from ml.records import SweepProgress
from ml.store import Store

SILENT = timedelta(minutes=3)
"""A running sweep that has not reported for longer is called silent."""


@dataclass(frozen=True)
class FirstRun:
    """State of a store without a snapshot.

    Attributes:
        state: "none": nothing was started; "at work"; "silent": at work without a report; "waiting": steps have ended
            and none is known to run.
        steps: name of a step -> its state in words, in the order of the run; empty for "none".
        share: share of the test cases that are done; None before the sweep.
    """

    state: str
    steps: dict[str, str]
    share: float | None


def is_silent(progress: SweepProgress, now: datetime) -> bool:
    """Whether a running sweep has not reported for a while; a time that cannot be read is no silence."""
    updated = parse_time(progress.get("updated_at"))
    return progress.get("status") == "running" and updated is not None and now - updated > SILENT


def first_run_of(store: Store, progress: SweepProgress | None, now: datetime) -> FirstRun:
    """The state of a store without a snapshot."""
    found = {name: bool(store.list(name)) for name in ("datasets", "results", "verdicts", "forecasts")}
    if not any(found.values()) and progress is None:
        return FirstRun("none", {}, None)
    progress = progress or {}
    total, done = int(progress.get("cases_total") or 0), int(progress.get("cases_done") or 0)
    sweep = f"{done:,} of {total:,} test cases" if total else "results are there" if found["results"] else "not begun"
    words = {True: "done", False: "not begun"}
    steps = {
        "Candles and datasets": words[found["datasets"]],
        "Sweep": sweep,
        "Promotion gate": words[found["verdicts"]],
        "Forecasts": words[found["forecasts"]],
        "Snapshot": "not begun",
    }
    state = "at work" if progress.get("status") == "running" else "waiting"
    if is_silent(progress, now):
        state = "silent"
    return FirstRun(state, steps, done / total if total else None)


@st.fragment(run_every=3)
def draw_first_run() -> None:
    """Draw the state of the first run, with its progress and the command that comes next."""
    try:
        run = first_run_of(Store(store_url()), read_progress(), clock.now())
    except (OSError, StoreError) as error:
        st.error(f"The store {store_url()} cannot be read: {error}", icon=":material/error:")
        return
    looked = f"Looked into `{store_url()}`."
    if run.state == "none":
        st.info(
            "Nothing is published yet, and no run has left anything here. Run `make demo` for the whole loop on "
            f"simulated markets, or {command('ingest')} and the steps after it. {looked}",
            icon=":material/candlestick_chart:",
        )
        return
    head = {
        "at work": "The first run is at work. This page shows its snapshot as soon as there is one.",
        "silent": f"The first run has not reported for minutes. Run {command('status')}, which shows why.",
        "waiting": "The first run has begun, and nothing is published yet. If none is at work, run "
        f"{command('publish')} after the steps that lack.",
    }[run.state]
    st.info(f"{head} {looked}", icon=":material/hourglass_top:")
    if run.share is not None:
        st.progress(min(1.0, run.share), text=f"Test cases: {formats.share(run.share)}")
    for step, words in run.steps.items():
        st.markdown(f"{'✓' if words == 'done' else '○'} **{step}**: {words}")
