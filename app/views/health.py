"""Data health: freshness and gaps of the candles, quality rules, quarantined rows, and sealed chains."""

from __future__ import annotations

from html import escape

import pandas as pd
import streamlit as st

from app import components, formats, states
from app.commands import command_html
from app.snapshot import Snapshot
from app.terms import TERMS

HEALTH_SQL = """
select h.*, h.symbol || ' · ' || h.timeframe as series, m.timeframe = m.base_timeframe as is_base,
    case h.freshness when 'fresh' then '● fresh' when 'stale' then '▲ stale' when 'empty' then '○ no candle'
        else '○ ' || h.freshness end as state
from data_health h left join markets m using (exchange, symbol, timeframe)
order by h.exchange, h.symbol, m.timeframe_ms
"""

RULES_SQL = """
select rule, any_value(severity) as severity, count(*) filter (rows_checked != 0) as checks,
    count(*) filter (not success) as failed, sum(rows_checked)::bigint as rows_checked,
    sum(rows_failed)::bigint as rows_failed, sum(rows_checked_ever)::bigint as rows_checked_ever,
    sum(rows_failed_ever)::bigint as rows_failed_ever, max(checked_at) as checked_at,
    case when not bool_and(success) then if(any_value(severity) = 'warning', '▲ warned', '▲ failed')
        when checks = 0 then '○ not applicable' else '● passed' end as state
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
    """Checks and quarantined rows of all markets; repeated in each timeframe of a market, but counted once."""
    columns = ["checks_failed", "checks_run", "quarantined", "quarantined_last_run"]
    return health.groupby(["exchange", "symbol"])[columns].max().sum()


def gaps_of_base_candles(health: pd.DataFrame) -> int:
    """Gaps of the base timeframes; each is a gap in every higher timeframe too, but counts once."""
    return int(health.gaps[health.is_base.fillna(False).astype(bool)].sum())


def _totals(health: pd.DataFrame) -> None:
    fresh = int((health.freshness == "fresh").sum())
    totals = market_totals(health)
    components.numbers(
        "health",
        [
            ("Series fresh", f"{fresh} of {len(health)}", TERMS["freshness"]),
            ("Candles", formats.count(health.candles.sum()), "Candles in the warehouse, all series together."),
            ("Gaps", formats.count(gaps_of_base_candles(health)), TERMS["gaps"]),
            (
                "Checks failed",
                f"{int(totals.checks_failed)} of {int(totals.checks_run)}",
                "Failed rules, of those that had rows to check in the newest checked loads.",
            ),
            ("Quarantined, last load", formats.count(totals.quarantined_last_run), TERMS["quarantine"]),
            ("Quarantined, all time", formats.count(totals.quarantined), TERMS["quarantine"]),
        ],
    )


def what_is_wrong(health: pd.DataFrame) -> list[tuple[str, str]]:
    """Problems of the candles with the series or markets concerned; empty if there are none.

    A load's status and refused rows belong to a market and are repeated in each of its series; they are named once.
    """
    markets = health.groupby(["exchange", "symbol"], sort=False).agg(
        candles=("candles", "sum"),
        status=("last_load_status", "first"),
        refused=("quarantined_last_run", "max"),
    )
    markets = markets.reset_index().fillna({"refused": 0})
    without = markets[markets.candles == 0]
    has_candles = health.groupby(["exchange", "symbol"]).candles.transform("sum") > 0
    refused = markets[markets.refused > 0]
    found: list[tuple[str, list[str]]] = [
        ("No candle at all", list(without.symbol)),
        ("Not fresh", list(health.series[(health.freshness == "stale") & has_candles])),
        ("No complete candle yet", list(health.series[(health.freshness == "empty") & has_candles])),
        ("No load on record", list(markets.symbol[markets.status.isna()])),
        ("The last load failed", list(markets.symbol[markets.status == "failed"])),
        ("The last load was stopped", list(markets.symbol[markets.status == "stopped"])),
        ("The last load brought less than was asked for", list(markets.symbol[markets.status == "partial"])),
        (
            "The last load sent rows to quarantine",
            [f"{row.symbol} ({formats.count(row.refused)})" for row in refused.itertuples()],
        ),
    ]
    return [(what, ", ".join(dict.fromkeys(names))) for what, names in found if names]


def _sentence(health: pd.DataFrame) -> None:
    wrong = what_is_wrong(health)
    for what, names in wrong:
        remedy = " <code>candleworks ingest</code> loads the missing candles." if what == "Not fresh" else ""
        components.note(f"<b>{what}:</b> {escape(names)}.{remedy}", "bad")
    if not wrong:
        kept_aside = int(market_totals(health).quarantined)
        rows = (
            f"{formats.count(kept_aside)} rows of earlier loads are in quarantine."
            if kept_aside
            else "No row was ever sent to quarantine."
        )
        components.note(f"Every series is fresh and every last load went well. {rows}", "good")


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
            "quarantined_last_run": number("Quarantined, last load", help=TERMS["quarantine"]),
            "quarantined": number("Quarantined, all time"),
            "checks_failed": number("Checks failed"),
            "checks_run": number("Checks run", help="Rules that had rows to check in the newest checked load."),
            "checks_not_applicable": number("Not applicable", help=TERMS["not applicable"]),
            "last_run_rows": number(
                "Rows of the last load", format="localized", help="All batches of the load together."
            ),
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
        help="Each load is checked before it is used. Shown are the newest checked load of each market and the totals "
        "of all loads.",
    )
    rules = snapshot.query(RULES_SQL)
    if not states.say(states.state_of(snapshot, "quality_checks"), "checked load", "validate"):
        return
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    components.table(
        rules,
        {
            "rule": text("Rule", width="medium"),
            "state": text("Last load", help=TERMS["not applicable"]),
            "severity": text("Severity", help=TERMS["severity"]),
            "failed": number("Markets failed"),
            "checks": number("Markets checked"),
            "rows_failed": number("Rows failed, last load", format="localized"),
            "rows_checked": number("Rows checked, last load", format="localized"),
            "rows_failed_ever": number("Rows failed, all time", format="localized"),
            "rows_checked_ever": number("Rows checked, all time", format="localized"),
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
                "severity": text("Severity", help=TERMS["severity"]),
                "rows_failed": number("Rows failed", format="localized"),
                "detail": text("Detail", width="large"),
            },
            key="failed_checks",
        )


def _quarantine(snapshot: Snapshot) -> None:
    st.subheader("Quarantine", anchor=False, help=TERMS["quarantine"])
    rows = snapshot.query(QUARANTINE_SQL)
    if "quarantine" in snapshot.missing:
        states.say(states.State.UNREADABLE, "quarantined rows", "publish")
        return
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


CHAINS_SQL = """
select chain, records, unsigned, earlier_key, replayed, problem, verified_at, anchored, anchored_at, anchored_by,
    case when problem = '' then '● whole' else '▲ broken' end as state
from chains order by problem = '', chain
"""


def _chains(snapshot: Snapshot) -> None:
    st.subheader("Sealed chains", anchor=False, help=TERMS["verification"])
    if "chains" in snapshot.missing:
        states.say(states.State.UNREADABLE, "verifications", "publish")
        return
    rows = snapshot.query(CHAINS_SQL)
    if rows.empty:
        components.note(
            f"<b>Never verified:</b> the nightly run verifies all chains; {command_html('verify')} does it now."
        )
        return
    for problem in dict.fromkeys(rows.problem[rows.problem != ""]):
        components.note(f"<b>Broken:</b> {escape(problem)}", "bad")
    if (rows.problem == "").all():
        verified = formats.moment(rows.verified_at.iloc[0])
        components.note(f"Whole at {verified} UTC: {formats.count(rows.records.sum())} records.", "good")
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    components.table(
        rows,
        {
            "chain": text("Chain", pinned=True),
            "state": text("State", help=TERMS["verification"]),
            "records": number("Valid records", format="localized"),
            "unsigned": number("From before signatures", format="localized"),
            "earlier_key": number("With an earlier key", format="localized"),
            "replayed": number("Of a recorded exchange", format="localized"),
            "anchored": number("Anchored until record", help=TERMS["anchor"], format="localized"),
            "anchored_at": components.time_column("Anchored"),
            "anchored_by": text("By"),
            "verified_at": components.time_column("Verified"),
        },
        key="chains",
    )


def render() -> None:
    """Draw the page."""
    snapshot = components.open_page("Data health", "Whether the candles can be trusted")
    if components.nothing_published(snapshot):
        return
    health = snapshot.query(HEALTH_SQL)
    if states.say(states.state_of(snapshot, "data_health"), "candles", "ingest"):
        _totals(health)
        _sentence(health)
        st.subheader("Freshness and gaps", anchor=False, help=TERMS["freshness"])
        _health_table(health)
    _quality(snapshot)
    _quarantine(snapshot)
    _chains(snapshot)


if __name__ == "__main__":
    render()
