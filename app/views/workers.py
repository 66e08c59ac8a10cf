"""Workers: who computed how much in a period, how fast, and whether its results were true when recomputed."""

from __future__ import annotations

from html import escape

import pandas as pd
import streamlit as st

from app import components, formats, worker_charts
from app.commands import command
from app.figures import show
from app.snapshot import Snapshot, read_progress
from app.terms import TERMS, explained
from ml.analysis.contributions import RESULTS, VERDICTS, contributions, per_day
from ml.analysis.month import contribution_sentence
from ml.analysis.reports import Period, csv_text
from ml.execution.diagnostics import SET_ASIDE

MONTHS_SQL = """
select distinct strftime(finished_at, '%Y-%m') as month from results where finished_at is not null order by month desc
"""
PERIOD_SQL = f"select {', '.join(RESULTS)} from results where finished_at >= ? and finished_at < ?"
VERDICTS_SQL = f"select {', '.join(VERDICTS)} from verdicts"
ALL_TIME = "All time"


@st.cache_data(max_entries=8, show_spinner=False)
def _of_period(version: str, month: str, _snapshot: Snapshot) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Contributions, and tested cases per day, of a month or of all time."""
    period = Period.parse(None, None) if month == ALL_TIME else Period.of_month(month)
    start = pd.Timestamp(period.first)
    end = pd.Timestamp("2262-01-01") if month == ALL_TIME else pd.Timestamp(period.last) + pd.Timedelta(days=1)
    results = _snapshot.query(PERIOD_SQL, start, end)
    return contributions(results, _snapshot.query(VERDICTS_SQL)), per_day(results)


def _numbers(rows: pd.DataFrame) -> None:
    failed, verified = int(rows.failed_verifications.sum()), int(rows.verified.sum())
    components.numbers(
        "workers",
        [
            ("Tested cases", formats.count(rows.cases.sum()), "Results with metrics, finished in the period."),
            ("Failed cases", formats.count(rows.failed.sum()), "Results with an error; not a fault of the worker."),
            ("CPU hours", formats.decimal(rows.cpu_hours.sum(), 1), "Time of fitting, all workers together."),
            (
                "Checks failed",
                f"{failed:,} of {verified:,}" if verified else formats.DASH,
                TERMS["failed verification"],
            ),
        ],
    )


def _table(rows: pd.DataFrame) -> None:
    st.subheader("Contributions", anchor=False, help=explained("contribution"))
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    components.table(
        rows.assign(share=100 * rows.share, best_skill=100 * rows.best_skill.astype(float)),
        {
            "machine": text("Worker", pinned=True),
            "cases": number("Cases", format="localized"),
            "share": components.percent_column("Share", digits=1),
            "cpu_hours": number("CPU hours", format="%.2f"),
            "time_against_fleet": number("Time / fleet", format="%.2f", help=TERMS["time against the fleet"]),
            "failed": number("Failed", format="localized"),
            "best_skill": components.signed_column("Best skill", "skill"),
            "best_case": text("Best case"),
            "verified": number("Checked"),
            "failed_verifications": number("Checks failed"),
            "last_seen": components.time_column("Last seen"),
        },
        key="workers_table",
    )


def draw(snapshot: Snapshot) -> None:
    """Draw the page below its head."""
    if components.nothing_published(snapshot):
        return
    if {"results", "verdicts"} & set(snapshot.missing):
        components.empty("The results of this snapshot cannot be read.", command("publish"))
        return
    months = list(snapshot.query(MONTHS_SQL).month)
    if not months:
        components.empty("No worker has finished a case yet.", f"{command('sweep')}, then {command('publish')}")
        return
    chosen = str(st.selectbox("Period", [*months, ALL_TIME], key="period", bind="query-params", help="Months are UTC."))
    rows, days = _of_period(snapshot.version, chosen, snapshot)
    failed, verified = int(rows.failed_verifications.sum()), int(rows.verified.sum())
    when = "in all" if chosen == ALL_TIME else f"in {chosen}"
    sentence = contribution_sentence(len(rows), int(rows.cases.sum()), verified, failed, when)
    components.note(escape(sentence), "bad" if failed else "good" if verified else "")
    _numbers(rows)
    st.subheader("Tested cases per day", anchor=False)
    if days.empty:
        st.caption("All cases of this period failed; none was tested.")
    else:
        show(worker_charts.cases_per_day(days, list(rows.machine)), "per_day", "Tested cases per day and worker")
    _table(rows)
    for line in (read_progress() or {}).get("warnings", []):
        if line.startswith(SET_ASIDE):
            components.note(escape(line), "bad")
    name = "all" if chosen == ALL_TIME else chosen
    st.download_button(
        "Download as CSV", csv_text(rows), f"contributions-{name}.csv", "text/csv", icon=":material/download:",
        help=f"Equal to `candleworks reports contributions{'' if name == 'all' else f' --month {name}'} --csv`.",
    )  # fmt: skip


def main() -> None:
    """Draw the page."""
    draw(components.open_page("Workers", "Who computed what"))


if __name__ == "__main__":
    main()
