"""Sweep: live progress of the test cases, share per worker, and failed cases."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

import pandas as pd
import streamlit as st

from app import components, formats, states
from app.commands import command
from app.snapshot import Snapshot, read_progress
from app.terms import TERMS
from ml.records import SeriesProgress, SweepProgress, WorkerProgress

_SILENT_SECONDS = 180

TOTALS_SQL = """
select count(*) as results, count(distinct case_key) as cases, count(*) filter (status = 'tested') as tested,
    count(*) filter (status = 'failed') as failed, avg(fit_seconds) as mean_seconds from results
"""

WORKERS_SQL = """
select coalesce(machine, worker) as worker, count(*) as results, count(*) / sum(count(*)) over () as share,
    avg(fit_seconds) as mean_seconds
from results group by all order by results desc, worker
"""

FAILED_SQL = """
select symbol || ' · ' || timeframe as series, model, feature_set, error, coalesce(machine, worker) as machine,
    finished_at, case_key
from results where status = 'failed' order by finished_at desc limit 200
"""


@st.fragment(run_every=3)
def _live() -> None:
    progress = read_progress()
    if progress is None:
        components.empty(
            "No sweep has run yet.", f"{command('sweep')} (or `make demo`)", "Its progress appears here while it runs."
        )
        return
    total, done = int(progress.get("cases_total") or 0), int(progress.get("cases_done") or 0)
    failed = int(progress.get("cases_failed") or 0)
    st.html(_headline(progress, total, done, failed))
    for line in progress.get("warnings") or []:
        components.note(escape(str(line)), "bad")
    running = progress.get("status") == "running"
    components.numbers(
        "sweep",
        [
            (
                "Done of total",
                f"{done:,} of {total:,}",
                "Test cases of this sweep with a result; failed ones count as done.",
            ),
            ("In progress", formats.count(progress.get("cases_in_work")), "Cases leased by a worker."),
            ("Failed", formats.count(failed), "Cases that ended with an error; listed below once published."),
            (
                "Rate",
                f"{formats.decimal(progress.get('cases_per_minute'), 1)} / min",
                "Cases finished in a minute, all workers together.",
            ),
            ("Mean time", formats.duration(progress.get("mean_seconds")), "Mean time of a case on its worker."),
            (
                "Time left",
                formats.duration(progress.get("eta_seconds")) if running else formats.DASH,
                "At the current rate.",
            ),
        ],
    )
    _progress_workers(progress.get("workers") or [])
    _progress_series(progress.get("series") or [])


def _headline(progress: SweepProgress, total: int, done: int, failed: int) -> str:
    status = str(progress.get("status") or "idle")
    good, bad = (100 * (done - failed) / total, 100 * failed / total) if total else (0.0, 0.0)
    words = {"running": "Running", "done": "Finished", "stopped": "Stopped", "idle": "Idle"}.get(status, escape(status))
    share = formats.share(done / total, 1) if total else formats.DASH
    return (
        f'<div class="cw-line"><b>{words}</b> &nbsp;·&nbsp; {share} done &nbsp;·&nbsp; sweep '
        f"{escape(str(progress.get('sweep_id') or formats.DASH))} &nbsp;·&nbsp; started "
        f"{formats.iso_moment(progress.get('started_at'))} UTC{_silence(progress, status)}</div>"
        f'<div class="track cw-big"><div class="fill" style="width:{good:.2f}%"></div>'
        f'<div class="bad" style="width:{bad:.2f}%"></div></div>'
    )


def _silence(progress: SweepProgress, status: str) -> str:
    """A warning if a running sweep has not reported for a while."""
    try:
        updated = datetime.fromisoformat(str(progress.get("updated_at")))
    except ValueError:
        return ""
    if updated.tzinfo is None:
        updated = updated.replace(tzinfo=UTC)
    silent = (datetime.now(UTC) - updated).total_seconds()
    if status != "running" or silent < _SILENT_SECONDS:
        return ""
    ago = formats.duration(silent)
    return f' &nbsp;·&nbsp; <b class="down">no update for {ago}: <code>candleworks status</code> shows why</b>'


def _progress_workers(workers: list[WorkerProgress]) -> None:
    if not workers:
        return
    st.subheader("Share per worker", anchor=False, help="Number of cases of this sweep that each worker finished.")
    ordered = sorted(workers, key=lambda worker: -int(worker["cases"]))
    components.bar_rows(
        (str(w["worker"]), float(w["share"]), 0.0, f"{int(w['cases']):,} · {formats.share(w['share'])}")
        for w in ordered
    )


def _progress_series(series: list[SeriesProgress]) -> None:
    if not series:
        return
    st.subheader("By market and timeframe", anchor=False, help=TERMS["states"])
    rows = []
    for one in series:
        total, done, failed = int(one["cases_total"]), int(one["cases_done"]), int(one["cases_failed"])
        further = {
            "failed": failed,
            "being tested": int(one["cases_in_work"]),
            "never tested": int(one.get("cases_never_tested") or 0),
            "pruned": int(one.get("cases_pruned") or 0),
        }
        note = ", ".join([f"{done:,} of {total:,}", *(f"{count:,} {what}" for what, count in further.items() if count)])
        good, bad = ((done - failed) / total, failed / total) if total else (0.0, 0.0)
        rows.append((f"{one['symbol']} · {one['timeframe']}", good, bad, note))
    components.bar_rows(rows)


def _published(snapshot: Snapshot) -> None:
    st.subheader("All results so far", anchor=False, help="All sweeps together, as of the published snapshot.")
    if not states.say(states.state_of(snapshot, "results"), "published result", "sweep"):
        return
    totals = snapshot.query(TOTALS_SQL).iloc[0]
    components.numbers(
        "totals",
        [
            ("Test cases", formats.count(totals.cases), TERMS["trials"]),
            ("Tested", formats.count(totals.tested), "Results with metrics."),
            ("Failed in all", formats.count(totals.failed), "Results with an error."),
            ("Mean fit", formats.duration(totals.mean_seconds), "Mean time of fitting a case, over its seeds."),
        ],
    )
    workers = snapshot.query(WORKERS_SQL)
    components.bar_rows(
        (
            str(row.worker),
            float(row.share),
            0.0,
            f"{row.results:,} · {formats.share(row.share)} · {formats.duration(row.mean_seconds)}",
        )
        for _, row in workers.iterrows()
    )
    _failures(snapshot.query(FAILED_SQL))


def _failures(failed: pd.DataFrame) -> None:
    st.subheader(
        "Failed cases", anchor=False, help="They count as trials too. `candleworks sweep` does not repeat them."
    )
    if failed.empty:
        st.caption("None.")
        return
    text = st.column_config.TextColumn
    components.table(
        failed,
        {
            "series": text("Market", pinned=True),
            "model": text("Model"),
            "error": text("Error", width="large"),
            "feature_set": text("Features"),
            "machine": text("Machine"),
            "finished_at": components.time_column("Ended"),
            "case_key": text("Case key"),
        },
        key="failed",
    )


def render() -> None:
    """Draw the page."""
    snapshot = components.open_page("Sweep", "Live progress of the test cases")
    _live()
    if snapshot.version:
        _published(snapshot)


if __name__ == "__main__":
    render()
