"""Verdicts: the model that serves each series, since when and why, and every past decision with its figures."""

from __future__ import annotations

from html import escape

import pandas as pd
import streamlit as st

from app import components, formats, promotion_charts, states
from app.figures import show
from app.snapshot import Snapshot
from app.terms import TERMS, explained
from app.verdict_texts import DECISIONS, VERDICTS_SQL, rule_text, verdict_note

OPEN_SENTENCES = 12
MOST_SENTENCES = 200
ALL = "All markets"

SERVING_SQL = """
select c.symbol || ' · ' || c.timeframe as series,
    case when c.is_baseline then 'baseline ' || coalesce(c.baseline, '') else c.model end as serves,
    case when not c.is_baseline then c.promoted_at end as since, c.n_trials,
    case when c.state = 'retired' then 'champion retired: ' else '' end || coalesce(c.reason, '') as reason
from champions c left join markets m using (exchange, symbol, timeframe)
order by c.exchange, c.symbol, m.timeframe_ms
"""

TENURES_SQL = """
select symbol || ' · ' || timeframe as series, model, promoted_at as start, ended_at as "end"
from champion_history where promoted_at is not null order by promoted_at
"""

FAILED_VERIFICATIONS_SQL = """
select false_claim_worker as worker, count(*) as failures, max(decided_at) as last_at,
    string_agg(distinct symbol || ' · ' || timeframe, ', ' order by symbol || ' · ' || timeframe) as series,
    arg_max(reason, decided_at) as reason
from verdicts where false_claim_worker is not null group by false_claim_worker order by failures desc, worker
"""


def _serving(snapshot: Snapshot) -> None:
    st.subheader("Serving models: since when and why", anchor=False, help=TERMS["champion"])
    if not states.say(states.state_of(snapshot, "champions"), "decisions who serves", "promote"):
        return
    serving = snapshot.query(SERVING_SQL)
    serving = serving.assign(serves=serving.serves.map(formats.name), reason=serving.reason.map(formats.stored))
    text = st.column_config.TextColumn
    components.table(
        serving,
        {
            "series": text("Market", pinned=True),
            "serves": text("Serves", help=TERMS["champion"]),
            "since": components.time_column("Since"),
            "n_trials": st.column_config.NumberColumn("Trials N", help=TERMS["trials"]),
            "reason": text("Why", width="large"),
        },
        key="serving",
    )


def _choose_market(verdicts: pd.DataFrame, snapshot: Snapshot) -> pd.DataFrame:
    """Let the user choose one market or all, and return its verdicts."""
    labels = components.series_labels(snapshot)
    components.warn_of_unknown("verdicts_of", [ALL, *labels])
    chosen = st.selectbox("Market and timeframe", [ALL, *labels], key="verdicts_of", bind="query-params")
    if chosen == ALL or chosen not in labels:
        return verdicts
    exchange, symbol, timeframe = labels[chosen]
    mine = (verdicts.exchange == exchange) & (verdicts.symbol == symbol) & (verdicts.timeframe == timeframe)
    return verdicts[mine]


def _timeline(snapshot: Snapshot, verdicts: pd.DataFrame) -> None:
    st.subheader("Over time", anchor=False, help=TERMS["verdict"])
    series = list(dict.fromkeys(verdicts.sort_values("order").series))
    tenures = snapshot.query(TENURES_SQL)
    tenures = tenures[tenures.series.isin(series)]
    now = max([verdicts.decided_at.max(), *[pd.Timestamp(text) for text in [_now(snapshot)] if text]])
    tenures = tenures.assign(end=tenures["end"].fillna(now))
    rules = verdicts.rule.map(rule_text)
    hover = verdicts.model.map(lambda model: escape(formats.name(model))) + " " + verdicts.decision
    hover += rules.where(rules == "", ": " + rules)
    show(
        promotion_charts.timeline(verdicts.assign(hover=hover), tenures, series),
        "timeline",
        "Verdicts of every market and timeframe over time",
    )


def _now(snapshot: Snapshot) -> str | None:
    text = formats.iso_moment(snapshot.exchange_time)
    return None if text == formats.DASH else text


def _sentences(verdicts: pd.DataFrame) -> None:
    st.subheader("Verdicts", anchor=False, help=explained("p-value"))
    there = [decision for decision in DECISIONS if (verdicts.decision == decision).any()]
    kind = st.segmented_control(
        "Decision", ["all", *there], default="all", required=True, key="decision", label_visibility="collapsed",
        bind="query-params",
        format_func=str.capitalize,
    )  # fmt: skip
    chosen = verdicts if kind in (None, "all") else verdicts[verdicts.decision == kind]
    for _, verdict in chosen.head(OPEN_SENTENCES).iterrows():
        components.note(*verdict_note(verdict, verdict.series))
    earlier = chosen.iloc[OPEN_SENTENCES:MOST_SENTENCES]
    if len(earlier):
        with st.expander(f"{len(earlier):,} earlier verdicts"):
            for _, verdict in earlier.iterrows():
                components.note(*verdict_note(verdict, verdict.series))
    if len(chosen) > MOST_SENTENCES:
        st.caption(f"The newest {MOST_SENTENCES} of {len(chosen):,}; `candleworks verdicts` lists them all.")


def _totals(verdicts: pd.DataFrame) -> None:
    counts = verdicts.decision.value_counts()
    components.numbers(
        "verdicts",
        [
            ("Verdicts", formats.count(len(verdicts)), TERMS["verdict"]),
            ("Promoted", formats.count(counts.get("promoted", 0)), TERMS["verdict"]),
            ("Refused", formats.count(counts.get("refused", 0)), TERMS["verdict"]),
            ("Confirmed", formats.count(counts.get("confirmed", 0)), TERMS["review"]),
            ("Retired", formats.count(counts.get("retired", 0)), TERMS["verdict"]),
            (
                "Openings of sealed rows",
                formats.count(verdicts.holdout_opened.map(formats.is_true).sum()),
                TERMS["openings"],
            ),
        ],
    )


def _failed_verifications(snapshot: Snapshot) -> None:
    st.subheader("Failed verifications", anchor=False, help=TERMS["failed verification"])
    failures = snapshot.query(FAILED_VERIFICATIONS_SQL)
    if failures.empty:
        st.caption("None: every result that reached the promotion gate was reproduced.")
        return
    text = st.column_config.TextColumn
    components.table(
        failures,
        {
            "worker": text("Worker", pinned=True),
            "failures": st.column_config.NumberColumn("Times", help=TERMS["failed verification"]),
            "last_at": components.time_column("Last"),
            "series": text("Markets"),
            "reason": text("Reason", width="large"),
        },
        key="failed_verifications",
    )


def render() -> None:
    """Draw the page."""
    snapshot = components.open_page("Verdicts", "Decisions of the promotion gate, by rules set in advance")
    if components.nothing_published(snapshot):
        return
    _serving(snapshot)
    verdicts = snapshot.query(f"""
        select v.*, m.timeframe_ms, row_number() over (order by exchange, symbol, timeframe_ms) as "order"
        from ({VERDICTS_SQL}) v left join markets m using (exchange, symbol, timeframe) order by sequence desc""")
    if not states.say(states.state_of(snapshot, "verdicts"), "verdict", "promote"):
        return
    mine = _choose_market(verdicts, snapshot)
    if mine.empty:
        st.info("No verdict about this market and timeframe yet: the baseline serves.", icon=":material/gavel:")
    else:
        _totals(mine)
        _timeline(snapshot, mine)
        _sentences(mine)
    _failed_verifications(snapshot)


if __name__ == "__main__":
    render()
