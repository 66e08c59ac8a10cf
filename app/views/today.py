"""Start page: where the candles come from, who serves, the next candle of every series, and the alarms.

A row opens its series on the page Forecasts.
"""

from __future__ import annotations

from datetime import timedelta
from html import escape

import pandas as pd
import streamlit as st

from app import calls, clock, components, evidence, formats, states, today_rows
from app.commands import command_html
from app.navigation import page_of
from app.provenance import parse_time
from app.snapshot import Snapshot
from app.views.health import HEALTH_SQL, what_is_wrong

ALARMS_SQL = """
select b.symbol || ' · ' || b.timeframe as series, b.coverage, b.forecasts
from band_reliability b left join markets m using (exchange, symbol, timeframe)
where b.alarm and b.level = 0.8 order by b.exchange, b.symbol, m.timeframe_ms
"""

#: Problem of the candles -> the step that ends it.
_STEPS = {"The last load sent rows to quarantine": "validate"}


def alarms(snapshot: Snapshot) -> list[str]:
    """Every alarm with its remedy, as HTML; empty if all is well."""
    found = []
    if components.provenance(snapshot).is_old:
        found.append(f"<b>The snapshot is old.</b> {command_html('status')} shows why no newer one is published.")
    health = snapshot.query(HEALTH_SQL)
    for problem, names in what_is_wrong(health) if len(health) else []:
        step = command_html(_STEPS.get(problem, "ingest"))
        found.append(f"<b>{problem}:</b> {escape(names)}. {step} loads and checks the candles; see Trust.")
    for _, row in snapshot.query(ALARMS_SQL).iterrows():
        words = "too narrow" if row.coverage < 0.8 else "too wide"
        found.append(
            f"<b>The interval of {escape(row.series)} is {words}:</b> it held {formats.share(row.coverage)} of "
            f"{formats.count(row.forecasts)} times instead of 80 %. {command_html('review')} tests its champion again; "
            "see Trust."
        )
    return found


def next_close(rows: pd.DataFrame, now: pd.Timestamp) -> pd.Series | None:
    """The current forecast whose candle closes first after a time; None if none is open."""
    open_ones = rows[rows.target_close_time > now].sort_values("target_close_time", kind="stable")
    return open_ones.iloc[0] if len(open_ones) else None


def countdown(left: timedelta) -> str:
    """A time to wait.

    >>> countdown(timedelta(hours=30, minutes=1, seconds=9.7))
    '30:01:09'
    """
    seconds = int(left.total_seconds())
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def closing_html(snapshot: Snapshot, rows: pd.DataFrame) -> str:
    """When the next candle closes, by the exchange's clock; a replay's clock does not move on this page."""
    is_live = components.provenance(snapshot).kind == "live"
    time = clock.now() if is_live else parse_time(snapshot.exchange_time)
    if time is None:
        return "Next close unknown"
    now = pd.Timestamp(time).tz_localize(None)
    row = next_close(rows, now)
    if row is None:
        return "Every forecast candle has closed: the next forecast is due"
    since = "" if is_live else " by the exchange's clock"
    name = f"{escape(row.symbol)} · {row.timeframe}"
    return f"Next candle ({name}) closes in <b>{countdown(row.target_close_time - now)}</b>{since}"


def _closing(snapshot: Snapshot, rows: pd.DataFrame) -> None:
    is_live = components.provenance(snapshot).kind == "live"

    @st.fragment(run_every=1 if is_live else None)
    def draw() -> None:
        st.html(f'<div class="cw-line">{closing_html(snapshot, rows)}</div>')

    draw()


def _open(label: str) -> None:
    st.session_state["open_forecast"] = label


def _rows(snapshot: Snapshot, rows: pd.DataFrame) -> None:
    labels = {series: label for label, series in components.series_labels(snapshot).items()}
    scored = dict(list(snapshot.query(today_rows.SCORED_SQL).groupby(["exchange", "symbol", "timeframe"])))
    may_call = calls.tested_series(snapshot.query(calls.CALLS_SQL))
    scale = today_rows.scale_of(rows)
    none = snapshot.query(f"select * from ({today_rows.SCORED_SQL}) limit 0")
    with st.container(key="today", gap=None):
        st.html(today_rows.head_html(scale))
        for number, (_, row) in enumerate(rows.iterrows()):
            series = (row.exchange, row.symbol, row.timeframe)
            with st.container(key=f"card_row_{number}"):
                st.html(today_rows.row_html(row, labels[series], scored.get(series, none), scale, series in may_call))
                st.button(
                    f"Open {formats.in_markdown(labels[series])}", key=f"open_{number}", on_click=_open,
                    args=(labels[series],),
                )  # fmt: skip


def _sentence(snapshot: Snapshot, rows: pd.DataFrame) -> None:
    state = states.state_of(snapshot, "champions")
    if not states.say(state, "decisions who serves", "promote"):
        return
    sentence, tone = evidence.served_sentence(evidence.served_of(rows), command_html("significance"))
    components.note(sentence, tone)


def _alarms(snapshot: Snapshot) -> None:
    st.subheader("Alarms, and the remedies", anchor=False)
    found = alarms(snapshot)
    for sentence in found:
        components.note(sentence, "bad")
    lacking = [name for name in ("data_health", "band_reliability") if name in snapshot.missing]
    if lacking:
        components.note(f"<b>Unknown:</b> {', '.join(lacking)} cannot be read, so alarms may be missing.", "bad")
    elif not found:
        components.note("No alarm: every series is fresh, and no interval is known to fail.", "good")


def render() -> None:
    """Draw the page."""
    if label := st.session_state.pop("open_forecast", None):
        st.session_state["series"] = label
        st.switch_page(page_of("Forecasts").file, query_params={"series": label})
    snapshot = components.open_page("Today", "The next candle of every market, who forecasts it, and what needs care")
    if components.nothing_published(snapshot):
        return
    rows = snapshot.query(today_rows.TODAY_SQL)
    if not states.say(states.state_of(snapshot, "markets"), "market", "ingest"):
        return
    _closing(snapshot, rows)
    _sentence(snapshot, rows)
    _rows(snapshot, rows)
    states.say(states.state_of(snapshot, "forecasts"), "forecast", "forecast")
    _alarms(snapshot)


if __name__ == "__main__":
    render()
