"""Reliability: coverage of the prediction intervals, and live errors against the errors at selection."""

from __future__ import annotations

from html import escape

import pandas as pd
import streamlit as st
from scipy.stats import binomtest

from app import components, formats, reliability_charts, states
from app.figures import show
from app.limits import ENOUGH_LIVE
from app.snapshot import Snapshot
from app.terms import TERMS, explained

#: Minimal number of scored forecasts for an alarm.
ENOUGH_FOR_ALARM = 50
#: Groups with an alarm that are named at most.
NAMED_GROUPS = 5

COVERAGE_SQL = """
select b.*, b.symbol || ' · ' || b.timeframe as series
from band_reliability b left join markets m using (exchange, symbol, timeframe)
where b.forecasts > 0 and b.coverage is not null
order by b.exchange, b.symbol, m.timeframe_ms, b.level
"""

GROUPS_SQL = """
select g.*, g.symbol || ' · ' || g.timeframe as series
from band_groups g left join markets m using (exchange, symbol, timeframe)
where g.forecasts > 0 and g.coverage is not null
order by g.exchange, g.symbol, m.timeframe_ms, g.grouped_by, g.group_number
"""

#: Kinds of groups, in the order in which they are drawn -> title.
GROUPINGS = {
    "hour": "By hour of the day (UTC)",
    "weekday": "By weekday",
    "volatility": "By fifth of volatility",
    "jump": "After jumps",
}

CHANGES_SQL = f"""
select c.symbol || ' · ' || c.timeframe as series, c.model, c.rmse_pct, c.live_error_pct,
    c.rmse_pct / (1 - c.skill) as baseline_rmse_pct, c.live_baseline_error_pct, c.live_forecasts,
    100 * (c.live_error_pct / c.rmse_pct - 1) as model_change,
    100 * (c.live_baseline_error_pct / (c.rmse_pct / (1 - c.skill)) - 1) as baseline_change
from champions c left join markets m using (exchange, symbol, timeframe)
where not c.is_baseline and coalesce(c.state, 'champion') = 'champion'
    and c.live_forecasts >= {ENOUGH_LIVE} and c.rmse_pct > 0 and c.skill < 1
    and c.live_error_pct is not null and c.live_baseline_error_pct is not null
order by c.exchange, c.symbol, m.timeframe_ms
"""


def with_intervals(observed: pd.DataFrame) -> pd.DataFrame:
    """Observed coverage in percent with its binomial confidence interval and a state.

    Args:
        observed: level, coverage (shares), forecasts, alarm (null where not evaluated), and any other columns.

    Returns:
        The same with level and coverage in percent, lower and upper (90 % interval of Wilson, percent) and state:
        "alarm", "too few" (below `ENOUGH_FOR_ALARM`), "off" (the interval misses the level) or "holds".
    """
    edges = [
        binomtest(round(row.coverage * row.forecasts), int(row.forecasts)).proportion_ci(0.9, method="wilson")
        for _, row in observed.iterrows()
    ]
    few = observed.forecasts < ENOUGH_FOR_ALARM
    alarm = observed.alarm.fillna(False).astype(bool) & ~few
    lower, upper = ([100 * edge[side] for edge in edges] for side in (0, 1))
    inside = (100 * observed.level).between(pd.Series(lower, observed.index), pd.Series(upper, observed.index))
    state = pd.Series("holds", observed.index).where(inside, "off").mask(few, "too few").mask(alarm, "alarm")
    return observed.assign(
        level=(100 * observed.level).round(6), coverage=100 * observed.coverage, state=state, lower=lower, upper=upper
    )


def alarm_sentence(observed: pd.DataFrame) -> tuple[str, str]:
    """The state of the alarm on the 80 % intervals as HTML, and the tone of its note; for rows of `with_intervals`."""
    evaluated = observed[(observed.level == 80.0) & (observed.state != "too few")]
    loud = evaluated[evaluated.state == "alarm"]
    if evaluated.empty:
        return f"<b>Too early to evaluate the intervals:</b> no series has {ENOUGH_FOR_ALARM} scored forecasts yet.", ""
    if loud.empty:
        where = f"all {len(evaluated)} markets and timeframes that can be evaluated"
        return f"<b>No alarm: the 80 % intervals held 70 to 90 % of the time in {where}.</b>", "good"
    named = ", ".join(f"{escape(row.series)} ({row.coverage:.0f} %)" for _, row in loud.iterrows())
    return (
        f"<b>Alarm: the 80 % interval does not hold in {len(loud)} of {len(evaluated)} markets and timeframes:</b> "
        f"{named}.",
        "bad",
    )


def with_group_states(groups: pd.DataFrame) -> pd.DataFrame:
    """Coverage and standard error in percent, and a state: "alarm", "too few" (for one) or "holds".

    Args:
        groups: coverage, coverage_se (shares), forecasts, alarm, and any other columns.
    """
    few = groups.forecasts < ENOUGH_FOR_ALARM
    alarm = groups.alarm.fillna(False).astype(bool)
    state = pd.Series("holds", groups.index).mask(few, "too few").mask(alarm, "alarm")
    return groups.assign(coverage=100 * groups.coverage, coverage_se=100 * groups.coverage_se, state=state)


def group_alarm_sentence(groups: pd.DataFrame) -> str:
    """The groups with an alarm as HTML, the farthest from 80 % first; empty without one."""
    loud = groups[groups.alarm.fillna(False).astype(bool)]
    loud = loud.iloc[(loud.coverage - 0.8).abs().argsort(kind="stable")[::-1]]
    if loud.empty:
        return ""
    named = [
        f"{escape(row.series)} {escape(row.group_name)} ({100 * row.coverage:.0f} %)"
        for _, row in loud.head(NAMED_GROUPS).iterrows()
    ]
    more = f" and {len(loud) - NAMED_GROUPS} more" if len(loud) > NAMED_GROUPS else ""
    return f"<b>Alarm in {len(loud)} of {len(groups)} groups of candles:</b> {', '.join(named)}{more}."


def _coverage(snapshot: Snapshot) -> None:
    st.subheader("Do the prediction intervals hold?", anchor=False, help=explained("reliability"))
    observed = snapshot.query(COVERAGE_SQL)
    state = states.state_of(snapshot, "band_reliability", "coverage")
    if not states.say(state, "coverage of scored forecasts", "score"):
        return
    observed = with_intervals(observed)
    components.note(*alarm_sentence(observed))
    if sentence := group_alarm_sentence(snapshot.query(GROUPS_SQL)):
        components.note(sentence, "bad")
    if observed.forecasts.max() < ENOUGH_LIVE:
        # A chart of a handful of forecasts would mislead.
        st.caption(f"A chart follows once a market has {ENOUGH_LIVE} scored forecasts.")
        with st.expander("As a table"):
            _coverage_table(observed)
        return
    levels = sorted(observed.level.unique())
    level = st.segmented_control(
        "Interval", levels, default=80.0 if 80.0 in levels else levels[0], required=True, key="interval_level",
        label_visibility="collapsed", bind="query-params", format_func=lambda share: f"{share:.0f} % interval",
    )  # fmt: skip
    level = levels[0] if level is None else level
    chosen = observed[observed.level == level]
    show(reliability_charts.coverage(chosen, level), "coverage", f"How often the {level:.0f} % interval held")
    alarm = " Shaded: no alarm." if level == 80.0 else " The alarm covers the 80 % interval only."
    st.caption(f"How often the candle stayed inside, with its 90 % range. Dashed: as promised.{alarm}")
    with st.expander("As a table"):
        _coverage_table(observed)


def _coverage_table(observed: pd.DataFrame) -> None:
    components.table(
        observed,
        {
            "series": st.column_config.TextColumn("Market", pinned=True),
            "level": components.percent_column("Promised", "prediction interval", digits=0),
            "coverage": components.percent_column("Observed", "reliability", digits=1),
            "lower": components.percent_column("90 % from", "reliability", digits=1),
            "upper": components.percent_column("to", "reliability", digits=1),
            "pinball_pct": components.percent_column("Pinball", "pinball"),
            "forecasts": st.column_config.NumberColumn("Scored", help=TERMS["live"]),
            "state": st.column_config.TextColumn("State", help=TERMS["reliability"]),
        },
        key="coverage_table",
    )


def _of_series(snapshot: Snapshot) -> None:
    st.subheader("One market, all levels", anchor=False, help=explained("reliability"))
    series = components.choose_series(snapshot)
    if series is None:
        return
    observed = snapshot.query(f"select * from ({COVERAGE_SQL}) where {components.OF_SERIES} order by level", *series)
    if observed.empty:
        st.caption("No forecast of this market is scored yet.")
        return
    if observed.forecasts.max() < ENOUGH_LIVE:
        components.warn_of_few(int(observed.forecasts.max()))
        return
    show(reliability_charts.promised_and_observed(with_intervals(observed)), "levels", "Promised and observed coverage")
    _groups(snapshot.query(f"select * from ({GROUPS_SQL}) where {components.OF_SERIES}", *series))


def _groups(groups: pd.DataFrame) -> None:
    """Coverage of the 80 % interval of one series by the groups of its candles."""
    if groups.empty:
        return  # a snapshot of an earlier version
    groups = with_group_states(groups)
    st.caption(
        "The 80 % interval by group, each with its standard error. Dashed: as promised. Volatility is the forecast's "
        "own expected range; a jump is a move of the last close as in a twentieth of the candles or larger."
    )
    for kind, title in GROUPINGS.items():
        part = groups[groups.grouped_by == kind]
        if not part.empty:
            show(reliability_charts.coverage_by_group(part), f"by_{kind}", title)
    with st.expander("As a table"):
        components.table(
            groups,
            {
                "group_name": st.column_config.TextColumn("Group", pinned=True),
                "coverage": components.percent_column("Observed", "reliability", digits=1),
                "coverage_se": components.percent_column("Standard error", digits=1),
                "forecasts": st.column_config.NumberColumn("Scored", help=TERMS["live"]),
                "state": st.column_config.TextColumn("State", help=TERMS["reliability"]),
            },
            key="groups_table",
        )


def _changes(snapshot: Snapshot) -> None:
    st.subheader("Live error against the error when chosen", anchor=False, help=explained("error change"))
    changes = snapshot.query(CHANGES_SQL)
    if changes.empty:
        st.caption(f"No champion has {ENOUGH_LIVE} scored forecasts yet.")
        return
    st.caption(
        "How much the error grew since selection. Model and baseline together: the volatility of the market changed. "
        "Model right of the baseline: the model lost ground."
    )
    labels = changes.series + "<br>" + changes.model.map(lambda name: escape(formats.name(name)))
    show(reliability_charts.error_changes(changes.assign(label=labels)), "changes", "Growth of errors since selection")
    text = st.column_config.TextColumn
    change = st.column_config.NumberColumn
    components.table(
        changes,
        {
            "series": text("Market", pinned=True),
            "model": text("Champion", help=TERMS["champion"]),
            "rmse_pct": components.percent_column("When chosen", "error"),
            "live_error_pct": components.percent_column("Live", "error"),
            "model_change": change("Change", help=TERMS["error change"], format="%+.0f %%"),
            "baseline_rmse_pct": components.percent_column("Baseline then", "baseline"),
            "live_baseline_error_pct": components.percent_column("Baseline live", "baseline"),
            "baseline_change": change("Its change", help=TERMS["error change"], format="%+.0f %%"),
            "live_forecasts": change("Scored", help=TERMS["live"]),
        },
        key="changes_table",
    )


def render() -> None:
    """Draw the page."""
    snapshot = components.open_page("Reliability", "Whether prediction intervals and errors are as promised")
    if components.nothing_published(snapshot):
        return
    _coverage(snapshot)
    if snapshot.value("select count(*) from band_reliability"):
        _of_series(snapshot)
    _changes(snapshot)


if __name__ == "__main__":
    render()
