"""Leaderboard: where a model beats the baseline, and the cases of a series with intervals, p-values and holdout."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import components, evidence, formats, skill_charts, states
from app.case_comparison import MOST_CASES, draw_comparison
from app.case_detail import draw_case
from app.commands import command_html
from app.figures import show
from app.snapshot import Snapshot
from app.terms import TERMS, explained

MOST_ROWS = 500
ALWAYS_SHOWN = ("rank", "star", "model", "skill_percent")

#: Cases of a series, and those of them that have metrics.
COUNTS_SQL = f"""
select count(distinct case_key), count(*) filter (status = 'tested') from results where {components.OF_SERIES}
"""

#: Rows of the newest opened holdout of a case.
HOLDOUT_ROWS_SQL = """
select exchange, symbol, timeframe, case_key, arg_max(holdout_rows, sequence) as holdout_rows
from verdicts where holdout_opened group by all
"""

#: Per series who serves, with the interval of the champion's case.
SERVED_SQL = """
select m.exchange, m.symbol, m.timeframe, ch.is_baseline, ch.state, l.skill_lower, l.skill_upper, l.spa_p_value
from markets m
left join champions ch using (exchange, symbol, timeframe)
left join leaderboard l on l.exchange = m.exchange and l.symbol = m.symbol and l.timeframe = m.timeframe
    and l.case_key = ch.case_key
"""

LEADERBOARD_SQL = f"""
select *, case when is_champion and not coalesce(c.is_baseline, false) then '★' else '' end as star,
    100 * l.skill as skill_percent, 100 * skill_lower as lower_percent, 100 * skill_upper as upper_percent,
    100 * skill_high as high_percent, 100 * skill_low as low_percent,
    round(100 * skill_close, 1) + 0.0 as close_percent,
    100 * l.skill_mean_range as mean_range_percent, 100 * l.skill_har_range as har_percent,
    100 * band_coverage as coverage_percent,
    case when not is_finalist or is_finalist is null then '' when in_confidence_set then 'may be the best'
        else 'finalist' end as standing,
    case when l.holdout_skill is null then 'sealed' else format('{{:+.1f}} %', 100 * l.holdout_skill) end as holdout,
    v.holdout_rows
from leaderboard l
left join ({HOLDOUT_ROWS_SQL}) v using (exchange, symbol, timeframe, case_key)
left join (select exchange, symbol, timeframe, is_baseline from champions) c using (exchange, symbol, timeframe)
where {components.OF_SERIES} order by rank limit {MOST_ROWS}
"""

#: Per series the champion's case, or the best one if there is no champion.
BEST_SQL = f"""
select l.*, l.symbol || ' · ' || l.timeframe as series, v.holdout_rows
from leaderboard l join markets m using (exchange, symbol, timeframe)
left join ({HOLDOUT_ROWS_SQL}) v using (exchange, symbol, timeframe, case_key)
left join champions c using (exchange, symbol, timeframe)
where l.rank = 1 or (l.is_champion and not coalesce(c.is_baseline, false))
qualify row_number() over (
    partition by l.exchange, l.symbol, l.timeframe
    order by l.is_champion and not coalesce(c.is_baseline, false) desc nulls last, l.rank) = 1
order by l.exchange, l.symbol, m.timeframe_ms
"""


def _interval_rows(cases: pd.DataFrame, labels: pd.Series, states: list[str], details: list[str]) -> pd.DataFrame:
    edges = [evidence.holdout_edges(case) for _, case in cases.iterrows()]
    return pd.DataFrame({
        "label": list(labels), "skill": list(100 * cases.skill), "lower": list(100 * cases.skill_lower),
        "upper": list(100 * cases.skill_upper), "holdout": list(100 * cases.holdout_skill),
        "holdout_lower": [None if edge is None else 100 * edge[0] for edge in edges],
        "holdout_upper": [None if edge is None else 100 * edge[1] for edge in edges],
        "state": states, "detail": details,
    }).astype({"holdout_lower": float, "holdout_upper": float})  # fmt: skip


def _overview(snapshot: Snapshot) -> None:
    st.subheader("Does any model beat the baseline?", anchor=False, help=explained("confidence interval"))
    if states.say(states.state_of(snapshot, "champions"), "decisions who serves", "promote"):
        served = evidence.served_of(snapshot.query(SERVED_SQL))
        components.note(*evidence.served_sentence(served, command_html("significance")))
    best = snapshot.query(BEST_SQL)
    if not states.say(states.state_of(snapshot, "leaderboard"), "test case", "sweep"):
        return
    standings = [
        evidence.standing(case, components.champion_of(snapshot, (case.exchange, case.symbol, case.timeframe)))
        for _, case in best.iterrows()
    ]
    details = [
        f"{formats.name(case.model)}, {evidence.figures(case, int(case.n_trials))}" for _, case in best.iterrows()
    ]
    labels = best.series + "<br>" + best.model.map(formats.name)
    show(
        skill_charts.skill_intervals(_interval_rows(best, labels, standings, details)),
        "overview",
        "Skill of the champion or the best model of every market and timeframe with its 90 % interval",
    )
    st.caption(
        "The line is the 90 % interval: the skill would be inside in 9 of 10 histories like this one. Skills on the "
        "rows of the selection are before the luck of choosing among N trials; the holdout chose nothing."
    )


def _columns() -> dict[str, Any]:
    """Column -> its look, in the order of the table."""
    return {
        "rank": st.column_config.NumberColumn("Rank", width="small", pinned=True),
        "star": st.column_config.TextColumn("★", width=40, help="★ marks the champion, the model that serves."),
        "model": st.column_config.TextColumn("Model"),
        "standing": st.column_config.TextColumn(
            "Standing", width=125, help=f"{TERMS['finalists']} May be the best: {explained('ties')}"
        ),
        "skill_percent": components.signed_column("Skill", "skill"),
        "lower_percent": components.signed_column("90 % from", "confidence interval"),
        "upper_percent": components.signed_column("to", "confidence interval"),
        "high_percent": components.signed_column("High"),
        "low_percent": components.signed_column("Low"),
        "close_percent": components.signed_column("Close"),
        "holdout": st.column_config.TextColumn("Holdout skill", help=TERMS["sealed"]),
        "rmse_pct": components.percent_column("Error", "error"),
        "baseline_rmse_pct": components.percent_column("Baseline's", "baseline"),
        "baseline": st.column_config.TextColumn("Baseline", help=TERMS["baseline"]),
        "mean_range_percent": components.signed_column("vs mean range", "skill vs mean range"),
        "har_percent": components.signed_column("vs HAR", "skill vs HAR"),
        "feature_set": st.column_config.TextColumn("Features"),
        "lags": st.column_config.NumberColumn("Lags", help="How many past candles the model sees."),
        "coverage_percent": components.percent_column("Coverage", "prediction interval", digits=1),
        "n_trials": st.column_config.NumberColumn("Trials N", help=TERMS["trials"]),
    }


def _filtered(cases: pd.DataFrame) -> pd.DataFrame:
    """Let the user filter the cases; the filters are in the address."""
    models = sorted(cases.model.unique())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.multiselect(
            "Models", models, key="models_shown", bind="query-params", placeholder="all", format_func=formats.name
        )
        finalists = st.toggle("Finalists only", key="finalists_only", bind="query-params", help=TERMS["finalists"])
    shown = cases[cases.model.isin(chosen)] if chosen else cases
    if finalists:
        shown = shown[shown.is_finalist.fillna(False).astype(bool)]
    if len(shown) < len(cases):
        st.caption(f"{len(shown):,} of {len(cases):,} cases.")
    return shown


def _leaderboard(cases: pd.DataFrame, series: components.Series) -> list[int]:
    """Draw the table and return the marked rows (initially the best one)."""
    looks = _columns()
    optional = [name for name in looks if name not in ALWAYS_SHOWN]
    with st.expander("Columns"):
        names = st.multiselect(
            "Columns", optional, default=optional, key="columns", bind="query-params",
            format_func=formats.name, label_visibility="collapsed",
        )  # fmt: skip
    chosen = components.table(
        cases,
        {name: look for name, look in looks.items() if name in ALWAYS_SHOWN or name in names},
        key="leaderboard_" + "_".join(series),
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [0]}},
        height=min(420, 38 + 36 * len(cases)),
    )
    return [row for row in chosen.selection.rows if row < len(cases)] or [0]


def _finalists(cases: pd.DataFrame, champion: pd.Series | None) -> None:
    """The finalists and the champion with their intervals; nothing if the snapshot has no intervals."""
    shown = cases[(cases.is_finalist.fillna(False).astype(bool)) | (cases.star != "")]
    if shown.skill_lower.isna().all():
        return
    st.markdown(
        "**The finalists with the 90 % interval of their skill**", help=f"{TERMS['finalists']} {explained('ties')}"
    )
    stars = shown.star.map(lambda star: f"{star} " if star else "")
    labels = stars + "#" + shown["rank"].astype(str) + " " + shown.model.map(formats.name)
    standings = [evidence.standing(row, champion if row.star else None) for _, row in shown.iterrows()]
    details = [row.standing or "champion" for _, row in shown.iterrows()]
    show(
        skill_charts.skill_intervals(_interval_rows(shown, labels, standings, details)),
        "finalists",
        "Skill of the finalists with its 90 % interval",
    )
    tied = int(shown.in_confidence_set.fillna(False).astype(bool).sum())
    if tied > 1:
        st.caption(f"These data cannot distinguish {tied} of them; their order is luck.")


def _nothing(snapshot: Snapshot, series: components.Series) -> None:
    """Why a leaderboard is empty; that all cases failed is said only where the results say it."""
    state = states.state_of(snapshot, "leaderboard", "", components.OF_SERIES, *series)
    detail = ""
    if state is states.State.EMPTY:
        cases, tested = snapshot.query(COUNTS_SQL, *series).iloc[0]
        if cases and not tested:
            detail = f"All {cases} cases so far failed; the page Sweep shows why."
        elif tested:
            state, detail = states.State.NOT_COMPUTED, f"{tested} results are there."
    states.say(
        state, "rank of a test case of this series", "transform" if detail.endswith("there.") else "sweep", detail
    )


def _series(snapshot: Snapshot, series: components.Series) -> None:
    cases = snapshot.query(LEADERBOARD_SQL, *series)
    champion = components.champion_of(snapshot, series)
    if cases.empty:
        _nothing(snapshot, series)
        return
    own = next((row for _, row in cases.iterrows() if row.star), None)
    components.note(*evidence.headline(cases.iloc[0], own, champion))
    if luck := evidence.luck_sentence(cases.iloc[0]):
        st.html(luck_meter(cases.iloc[0], luck))
    _numbers(cases, cases.iloc[0] if own is None else own)
    _finalists(cases, champion)
    shown = _filtered(cases)
    if shown.empty:
        st.info("No case passes the filters.", icon=":material/filter_alt_off:")
        return
    chosen = _leaderboard(shown, series)
    st.caption("Mark several rows to compare their cases.")
    total = snapshot.value(f"select count(*) from leaderboard where {components.OF_SERIES}", *series)
    if total > len(cases):
        st.caption(f"The best {len(cases):,} of {total:,} cases; `candleworks leaderboard` lists them all.")
    if len(chosen) > 1:
        draw_comparison(shown.iloc[chosen[:MOST_CASES]])
    draw_case(snapshot, shown.iloc[chosen[0]])
    st.subheader("All cases by skill", anchor=False, help="Each dot is a test case; the diamond is the champion.")
    show(skill_charts.skill_of_all_cases(cases), "skills", "Skill of every test case by model")
    st.caption(
        "Right of the line: better than the baseline. "
        f"A case below {formats.signed_percent(skill_charts.LOWEST_SKILL, 0)} is drawn at the edge."
    )


def _numbers(cases: pd.DataFrame, case: pd.Series) -> None:
    """The figures behind the sentence, and the skill for high, low and close separately."""
    whose = f" of {formats.name(case.model)}, rank {int(case['rank'])}."
    components.numbers(
        "evidence",
        [
            (
                "Skill",
                formats.skill(case.skill),
                f"{explained('skill')}\n\n90 % interval: {evidence.interval_text(case)}.",
            ),
            ("p of the search", _bare_p(case.spa_p_value), explained("search luck")),
            ("Trials N", formats.count(case.n_trials), TERMS["trials"]),
            ("Skill for high", formats.skill(case.skill_high), "Skill for the next candle's high alone," + whose),
            ("Skill for low", formats.skill(case.skill_low), "Skill for the next candle's low alone," + whose),
            ("Skill for close", formats.skill(case.skill_close), "Skill for the next candle's close alone," + whose),
        ],
    )
    sentence = evidence.close_sentence(case, cases)
    if sentence:
        st.caption(sentence)


def luck_meter(best: pd.Series, sentence: str) -> str:
    """The skill that luck alone gives and the one that was found, as two bars of one scale; as HTML."""
    luck = evidence.luck_alone(best) or 0.0
    reach = max(luck, best.skill, 1e-9)
    bars = "".join(
        f'<div class="cw-meter {kind}"><i style="width:{100 * max(0.0, value) / reach:.1f}%"></i></div>'
        for kind, value in (("luck", luck), ("found", best.skill))
    )
    return f'<div class="cw-line">{sentence}</div>{bars}'


def _bare_p(p_value: float | None) -> str:
    return evidence.p_value_text(p_value).removeprefix("p = ").removeprefix("p ")


def render() -> None:
    """Draw the page."""
    snapshot = components.open_page("Leaderboard", "Ranked by skill against the best baseline, never by error alone")
    if components.nothing_published(snapshot):
        return
    _overview(snapshot)
    st.subheader("One series", anchor=False)
    series = components.choose_series(snapshot)
    if series is not None:
        _series(snapshot, series)


if __name__ == "__main__":
    render()
