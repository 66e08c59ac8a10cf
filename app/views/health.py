"""Data health: how fresh the candles are, where they lack, and what the quality rules found."""

from __future__ import annotations

from html import escape

import pandas as pd
import streamlit as st

from app import components, formats
from app.snapshot import Snapshot
from app.terms import TERMS

HEALTH_SQL = """
select h.*, h.symbol || ' · ' || h.timeframe as series,
    case h.freshness when 'fresh' then '● fresh' when 'stale' then '▲ stale' else '○ ' || h.freshness end as state
from data_health h left join markets m using (exchange, symbol, timeframe)
order by h.exchange, h.symbol, m.timeframe_ms
"""

RULES_SQL = """
select rule, any_value(severity) as severity, count(*) as checks, count(*) filter (not success) as failed,
    sum(rows_checked)::bigint as rows_checked, sum(rows_failed)::bigint as rows_failed, max(checked_at) as checked_at,
    case when sum(rows_checked) = 0 then '○ not checked' when bool_and(success) then '● passed' else '▲ failed' end
        as state
from quality_checks group by rule order by failed desc, rule
"""

FAILED_CHECKS_SQL = """
select symbol || ' · ' || timeframe as series, rule, severity, rows_failed, rows_checked, detail, checked_at
from quality_checks where not success order by checked_at desc, series, rule
"""

QUARANTINE_SQL = """
select symbol || ' · ' || timeframe as series, rule, detail, open_time, open, high, low, close, volume, loaded_at
from quarantine order by loaded_at desc, open_time desc
"""


def market_totals(health: pd.DataFrame) -> pd.Series:
    """Checks and quarantined rows of all markets; they stand beside each timeframe of a market and count once."""
    columns = ["checks_failed", "checks_run", "quarantined"]
    return health.groupby(["exchange", "symbol"])[columns].max().sum()


def _totals(health: pd.DataFrame) -> None:
    fresh = int((health.freshness == "fresh").sum())
    totals = market_totals(health)
    components.numbers(
        "health",
        [
            ("Series fresh", f"{fresh} of {len(health)}", TERMS["freshness"]),
            ("Candles", formats.count(health.candles.sum()), "Candles in the warehouse, all series together."),
            ("Gaps", formats.count(health.gaps.sum()), TERMS["gaps"]),
            (
                "Checks failed",
                f"{int(totals.checks_failed)} of {int(totals.checks_run)}",
                "Quality checks of the newest loads.",
            ),
            ("Quarantined", formats.count(totals.quarantined), TERMS["quarantine"]),
        ],
    )


def _sentence(health: pd.DataFrame) -> None:
    stale = health.series[health.freshness != "fresh"]
    stopped = health.symbol[health.last_load_status.isin(["failed", "stopped"])].unique()
    if len(stale):
        names = escape(", ".join(stale))
        components.note(f"<b>Not fresh:</b> {names}. <code>candleworks ingest</code> loads what is missing.", "bad")
    if len(stopped):
        components.note(f"<b>The last load failed:</b> {escape(', '.join(stopped))}; its message stands below.", "bad")
    if not len(stale) and not len(stopped):
        components.note("Every series is fresh and every last load went well.", "good")


def _health_table(health: pd.DataFrame) -> None:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    components.table(
        health,
        {
            "series": text("Market", pinned=True),
            "state": text("Freshness", help=TERMS["freshness"]),
            "lag_candles": number(
                "Behind, candles", format="%.1f", help="How many candle lengths behind the exchange's clock."
            ),
            "last_close_time": components.time_column("Last close"),
            "candles": number("Candles", format="localized"),
            "gaps": number("Gaps", help=TERMS["gaps"]),
            "quarantined": number("Quarantined", help=TERMS["quarantine"]),
            "checks_failed": number("Checks failed"),
            "checks_run": number("Checks run"),
            "last_load_status": text("Last load"),
            "last_load_message": text("Its message", width="medium"),
            "first_open_time": components.time_column("First candle"),
        },
        key="health",
    )


def _quality(snapshot: Snapshot) -> None:
    st.subheader(
        "Quality rules",
        anchor=False,
        help="Each load is checked before it may be used; the newest load of each market counts.",
    )
    rules = snapshot.query(RULES_SQL)
    if rules.empty:
        components.empty("No load has been checked yet.", "`candleworks ingest` or `candleworks validate`")
        return
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    components.table(
        rules,
        {
            "rule": text("Rule", width="medium"),
            "state": text("Result"),
            "severity": text(
                "Severity", help="A critical rule sends rows to quarantine or stops the load; a warning only tells."
            ),
            "failed": number("Failed"),
            "checks": number("Checks"),
            "rows_failed": number("Rows failed", format="localized"),
            "rows_checked": number("Rows checked", format="localized"),
            "checked_at": components.time_column("Checked"),
        },
        key="rules",
    )
    failed = snapshot.query(FAILED_CHECKS_SQL)
    if len(failed):
        st.markdown("**Where a rule failed**")
        components.table(
            failed,
            {
                "series": text("Market"),
                "rule": text("Rule"),
                "severity": text("Severity"),
                "rows_failed": number("Rows failed", format="localized"),
                "detail": text("Detail", width="large"),
            },
            key="failed_checks",
        )


def _quarantine(snapshot: Snapshot) -> None:
    st.subheader("Quarantine", anchor=False, help=TERMS["quarantine"])
    rows = snapshot.query(QUARANTINE_SQL)
    if rows.empty:
        st.caption("Empty: no row broke a rule that must hold.")
        return
    st.caption(f"The newest {len(rows):,} rows.")
    text = st.column_config.TextColumn
    components.table(
        rows,
        {
            "series": text("Market", pinned=True),
            "open_time": components.time_column("Candle"),
            "rule": text("Rule"),
            "detail": text("Detail"),
            **{
                name: st.column_config.NumberColumn(name.capitalize(), format="%.6g")
                for name in ("open", "high", "low", "close", "volume")
            },
            "loaded_at": components.time_column("Loaded"),
        },
        key="quarantine",
    )


def render() -> None:
    """Draw the page."""
    snapshot = components.open_page("Data health", "Whether the candles can be trusted")
    if components.nothing_published(snapshot):
        return
    health = snapshot.query(HEALTH_SQL)
    if health.empty:
        components.empty("No candles yet.", "`make demo` or `candleworks ingest`")
    else:
        _totals(health)
        _sentence(health)
        st.subheader("Freshness and gaps", anchor=False, help=TERMS["freshness"])
        _health_table(health)
    _quality(snapshot)
    _quarantine(snapshot)


if __name__ == "__main__":
    render()
