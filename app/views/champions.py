"""Champions: skill at selection, on the holdout and live; age, last review, and whether the edge still holds.

Live figures use the champion's own forecasts without late ones. If the exchange revised a candle and the forecast was
scored again, the newest score counts.
"""

from __future__ import annotations

from html import escape

import pandas as pd
import streamlit as st

from app import components, evidence, formats, skill_charts, states
from app.commands import command
from app.figures import show
from app.limits import ENOUGH_LIVE
from app.snapshot import Snapshot
from app.terms import TERMS, explained

CURSE_SQL = f"""
with all_champions as (
    select exchange, symbol, timeframe, model, promoted_at, ended_at, ended_by, skill, holdout_skill, live_forecasts,
        live_skill, n_trials, is_current
    from champion_history
    union all by name
    -- older snapshots have no history, only the present champions
    select exchange, symbol, timeframe, model, promoted_at, skill, holdout_skill, live_forecasts, live_skill, n_trials,
        true as is_current
    from champions
    where not is_baseline and (select count(*) from champion_history) = 0
)
select a.symbol || ' · ' || a.timeframe as series, a.exchange, a.model, 100 * a.skill as selection,
    100 * a.holdout_skill as holdout,
    case when a.live_forecasts >= {ENOUGH_LIVE} then 100 * a.live_skill end as live, a.live_forecasts,
    a.n_trials, a.promoted_at, a.ended_at, coalesce(a.is_current, false) as is_current,
    case when a.is_current then 'serves' else coalesce(a.ended_by, 'past') end as state
from all_champions a left join markets m using (exchange, symbol, timeframe)
order by a.exchange, a.symbol, m.timeframe_ms, a.is_current desc nulls last, a.promoted_at desc
"""

AGES_SQL = f"""
select c.symbol || ' · ' || c.timeframe as series, c.model, c.age_days, c.promoted_at, c.trained_through,
    c.reviewed_at, 100 * c.skill as selection, 100 * c.review_skill as review,
    case when c.live_forecasts >= {ENOUGH_LIVE} then 100 * c.live_skill end as live
from champions c left join markets m using (exchange, symbol, timeframe)
where not c.is_baseline and coalesce(c.state, 'champion') = 'champion'
order by c.exchange, c.symbol, m.timeframe_ms
"""

OWN_SCORES_SQL = f"""
select target_open_time, error_pct, baseline_error_pct
from forecasts
where {components.OF_SERIES} and case_key = ? and not coalesce(late, false) and error_pct is not null
order by target_open_time
"""


def rolling_skill(scores: pd.DataFrame, window: int) -> pd.DataFrame:
    """Skill over a moving window, in percent.

    Args:
        scores: target_open_time, error_pct, baseline_error_pct; one row per forecast, in order of time.
        window: forecasts per point; points with fewer are left out.

    Returns:
        target_open_time, skill.
    """
    model, baseline = ((scores[name] ** 2).rolling(window).mean() for name in ("error_pct", "baseline_error_pct"))
    skill = 100 * (1 - (model / baseline) ** 0.5)
    return pd.DataFrame({"target_open_time": scores.target_open_time, "skill": skill}).dropna()


def curse_sentence(champions: pd.DataFrame) -> str:
    """Mean skill of the champions at selection, on the holdout and live, as HTML; empty where unknown."""
    stages = {"selection": "when chosen", "holdout": "on sealed rows", "live": "live"}
    known = champions.dropna(subset=list(stages))
    if known.empty:
        return ""
    means = ", ".join(
        f"<b>{formats.signed_percent(known[name].mean(), 1)}</b> {label}" for name, label in stages.items()
    )
    who = "the one champion" if len(known) == 1 else f"the {len(known)} champions"
    return f"Mean skill of {who} with all three figures: {means}."


def _curse(champions: pd.DataFrame) -> None:
    st.subheader("Skill at selection, on the holdout and live", anchor=False, help=TERMS["winner's curse"])
    sentence = curse_sentence(champions)
    if sentence:
        components.note(sentence)
    st.caption(
        "Skill of every champion when it was chosen, on sealed rows and, from "
        f"{ENOUGH_LIVE} scored forecasts on, live. Pale: past champions. Dashed: the baseline."
    )
    past = champions.is_current.map({True: "", False: ", past"})
    labels = champions.series + "<br>" + champions.model.map(lambda name: escape(formats.name(name))) + past
    show(
        skill_charts.winners_curse(champions.assign(label=labels)),
        "curse",
        "Selection, holdout and live skill of every champion",
    )
    text = st.column_config.TextColumn
    components.table(
        champions,
        {
            "series": text("Market", pinned=True),
            "model": text("Champion", help=TERMS["champion"]),
            "state": text("State"),
            "selection": components.signed_column("Selection", "selection"),
            "holdout": components.signed_column("Holdout", "holdout skill"),
            "live": components.signed_column("Live", "live"),
            "live_forecasts": st.column_config.NumberColumn("Scored", help=TERMS["live"]),
            "n_trials": st.column_config.NumberColumn("Trials N", help=TERMS["trials"]),
            "promoted_at": components.time_column("From"),
            "ended_at": components.time_column("Until"),
        },
        key="curse_table",
    )


def _ages(snapshot: Snapshot) -> None:
    st.subheader("Age and last review", anchor=False, help=explained("review"))
    ages = snapshot.query(AGES_SQL)
    if ages.empty:
        st.caption("No model serves now; every market is served by its baseline.")
        return
    components.table(
        ages,
        {
            "series": st.column_config.TextColumn("Market", pinned=True),
            "model": st.column_config.TextColumn("Champion", help=TERMS["champion"]),
            "age_days": st.column_config.NumberColumn("Age in days", help=TERMS["age"], format="%.1f"),
            "selection": components.signed_column("When chosen", "selection"),
            "review": components.signed_column("Last review", "review"),
            "live": components.signed_column("Live", "live skill"),
            "reviewed_at": components.time_column("Reviewed"),
            "trained_through": components.time_column("Trained through"),
            "promoted_at": components.time_column("Promoted"),
        },
        key="ages",
    )


def _decay(snapshot: Snapshot) -> None:
    st.subheader("Does it still hold?", anchor=False, help=explained("live skill"))
    series = components.choose_series(snapshot)
    if series is None:
        return
    champion = components.champion_of(snapshot, series)
    if champion is None or not evidence.serves_model(champion):
        retired = champion is not None and champion.state == "retired"
        why = "Its champion was retired" if retired else "No model serves here"
        st.info(f"{why}: the baseline serves, so nothing can decay.", icon=":material/info:")
        return
    scores = snapshot.query(OWN_SCORES_SQL, *series, champion.case_key)
    window = st.segmented_control(
        "Window", [25, 50, 100], default=50, required=True, key="decay_window", label_visibility="collapsed",
        bind="query-params",
        format_func=lambda number: f"{number} forecasts",
    )  # fmt: skip
    age = "" if formats.is_missing(champion.age_days) else f"{formats.decimal(champion.age_days, 0)} days old. "
    reviewed = ""
    if not formats.is_missing(champion.review_skill):
        day = formats.moment(champion.reviewed_at)[:10]
        reviewed = f", <b>{formats.skill(champion.review_skill)}</b> in the review of {day}"
    components.note(
        f"<b>{escape(formats.name(champion.model))}</b> is {age or 'the champion. '}Skill "
        f"<b>{formats.skill(champion.skill)}</b> when chosen{reviewed}, <b>{components.live_skill(champion)}</b> live "
        f"over {formats.count(champion.live_forecasts)} forecasts."
    )
    rolling = rolling_skill(scores, int(window or 50))
    if len(rolling) < 2:
        st.caption(f"{len(scores)} of its forecasts are scored: too few for a curve over {window}.")
        return
    promised = {"Selection": champion.skill, "Holdout": champion.holdout_skill, "Review": champion.review_skill}
    levels = {name: 100 * skill for name, skill in promised.items() if not formats.is_missing(skill)}
    show(skill_charts.live_skill_over_time(rolling, levels), "decay", "Live skill of the champion over time")
    st.caption(f"Each point covers the {window} forecasts up to it. Below the dashed line the baseline is better.")


def render() -> None:
    """Draw the page."""
    snapshot = components.open_page("Champions", "Skill of the champions when chosen, on sealed rows and live")
    if components.nothing_published(snapshot):
        return
    champions = snapshot.query(CURSE_SQL)
    if champions.empty:
        state = states.state_of(snapshot, "champions")
        if states.say(state, "decisions who serves", "promote"):
            components.empty(
                "No model has served anywhere yet: every market is served by its baseline.",
                f"{command('promote')} after a sweep",
            )
        return
    _curse(champions)
    _ages(snapshot)
    _decay(snapshot)


if __name__ == "__main__":
    render()
