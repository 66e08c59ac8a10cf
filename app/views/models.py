"""Best models: who serves where and why, the leaderboard of a series, and everything about one test case."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from app import components, error_charts, formats
from app.figures import show
from app.snapshot import Snapshot
from app.terms import TERMS

MOST_ROWS = 500

CHAMPIONS_SQL = """
select c.symbol || ' · ' || c.timeframe as series, c.exchange,
    case when c.is_baseline then 'baseline' else c.model end as serves,
    100 * c.skill as skill_percent, 100 * c.holdout_skill as holdout_percent,
    case when c.live_forecasts >= {enough} and not c.is_baseline then 100 * c.live_skill end as live_percent,
    c.live_forecasts, c.n_trials, c.reason
from champions c left join markets m using (exchange, symbol, timeframe)
order by c.exchange, c.symbol, m.timeframe_ms
"""

LEADERBOARD_SQL = f"""
select *, case when is_champion then '★' else '' end as star, 100 * skill as skill_percent,
    100 * skill_mean_range as mean_range_percent, 100 * band_coverage as coverage_percent,
    case when holdout_skill is null then 'sealed' else format('{{:+.1f}} %', 100 * holdout_skill) end as holdout
from leaderboard where {components.OF_SERIES} order by rank limit {MOST_ROWS}
"""


def p_value_text(p_value: float | None) -> str:
    """A p-value as people write it; a rounded 0.000 would claim certainty."""
    if p_value is not None and p_value < 0.001:
        return "p < 0.001"
    return f"p = {formats.decimal(p_value, 3)}"


def verdict_html(champion: pd.Series | None, best_skill: float | None, trials: int) -> tuple[str, str]:
    """The honest sentence about a series and its tone ("good" where a model beats the baseline)."""
    tried = f"{trials:,} tried"
    reason = "" if champion is None or formats.is_missing(champion.reason) else escape(str(champion.reason))
    if champion is not None and not champion.is_baseline:
        name = f"<b>{escape(str(champion.model))}</b>"
        base = escape(str(champion.baseline))
        return f"{name} serves: it beats the baseline {base}. {tried}.<br><span>{reason}</span>", "good"
    if best_skill is None or best_skill <= 0:
        return f"<b>No model beats the baseline here: {tried}.</b> The baseline serves.<br><span>{reason}</span>", "bad"
    return (
        f"<b>No model beats the baseline by more than luck: {tried}.</b> The best shows {formats.skill(best_skill)} "
        f"on the rows it was chosen on, which is not enough; the baseline serves.<br><span>{reason}</span>"
    ), "bad"


def _champions(snapshot: Snapshot) -> None:
    st.subheader("Who serves where", anchor=False, help=TERMS["champion"])
    champions = snapshot.query(CHAMPIONS_SQL.format(enough=components.ENOUGH_LIVE))
    if champions.empty:
        components.empty("No champion has been judged yet.", "`candleworks promote`")
        return
    several = {"exchange": st.column_config.TextColumn("Exchange")} if champions.exchange.nunique() > 1 else {}
    components.table(
        champions,
        {
            "series": st.column_config.TextColumn("Market", pinned=True),
            **several,
            "serves": st.column_config.TextColumn("Serves", help=TERMS["champion"]),
            "skill_percent": components.signed_column("Skill", "selection"),
            "holdout_percent": components.signed_column("Holdout", "holdout skill"),
            "live_percent": components.signed_column("Live", "live"),
            "live_forecasts": st.column_config.NumberColumn("Scored", help=TERMS["live"]),
            "n_trials": st.column_config.NumberColumn("Trials N", help=TERMS["trials"]),
            "reason": st.column_config.TextColumn("Why", width="large"),
        },
        key="champions",
    )


def _leaderboard(cases: pd.DataFrame, series: components.Series) -> int:
    """Draw the table; the row that is chosen in it (the best one at first)."""
    chosen = components.table(
        cases,
        {
            "rank": st.column_config.NumberColumn("Rank", width="small", pinned=True),
            "star": st.column_config.TextColumn("★", width=40, help="★ marks the champion, the model that serves."),
            "model": st.column_config.TextColumn("Model"),
            "skill_percent": components.signed_column("Skill", "skill"),
            "holdout": st.column_config.TextColumn("Holdout skill", help=TERMS["sealed"]),
            "mean_range_percent": components.signed_column("vs mean range", "skill vs mean range"),
            "rmse_pct": components.percent_column("Error", "error"),
            "baseline": st.column_config.TextColumn("Baseline", help=TERMS["baseline"]),
            "baseline_rmse_pct": components.percent_column("Its error", "baseline"),
            "feature_set": st.column_config.TextColumn("Features"),
            "lags": st.column_config.NumberColumn("Lags", help="How many past candles the model sees."),
            "coverage_percent": components.percent_column("In the band", "band", digits=1),
            "n_trials": st.column_config.NumberColumn("Trials N", help=TERMS["trials"]),
        },
        key="leaderboard_" + "_".join(series),
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [0]}},
        height=min(420, 38 + 36 * len(cases)),
    )
    rows = chosen.selection.rows
    return rows[0] if rows and rows[0] < len(cases) else 0


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested parameters as dotted names.

    >>> flatten({"model": {"name": "ridge"}, "seeds": [0, 1]})
    {'model.name': 'ridge', 'seeds': '[0, 1]'}
    """
    if not isinstance(value, dict):
        return {prefix: value if isinstance(value, str) else json.dumps(value)}
    flat: dict[str, str] = {}
    for key, inner in value.items():
        flat |= flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _parameters(case_json: Any) -> pd.DataFrame:
    try:
        flat = flatten(json.loads(case_json))
    except (TypeError, ValueError):
        flat = {}
    return pd.DataFrame({"parameter": list(flat), "value": list(flat.values())}, dtype="str")


def _metrics(case: pd.Series) -> list[tuple[str, str, str | None]]:
    direction = f"{formats.decimal(100 * case.direction_accuracy, 1)} ± {formats.decimal(100 * case.direction_se, 1)} %"
    return [
        ("Skill", formats.skill(case.skill), TERMS["skill"]),
        ("Skill by seed ±", formats.skill(case.skill_seed_std), "Standard deviation of the skill over the seeds."),
        ("Error", formats.percent(case.rmse_pct), TERMS["error"]),
        ("Error in price", formats.price(case.rmse_quote), "The error in units of the quote currency."),
        ("Mean absolute", formats.percent(case.mae_pct), "Mean absolute error, in percent of the last close."),
        ("Skill high", formats.skill(case.skill_high), "Skill for the next candle's high alone."),
        ("Skill low", formats.skill(case.skill_low), "Skill for the next candle's low alone."),
        (
            "Skill close",
            formats.skill(case.skill_close),
            "Skill for the next candle's close alone; hardly anything beats zero.",
        ),
        ("vs last candle", formats.skill(case.skill_last_candle), "Skill against the last candle repeated."),
        ("Band coverage", formats.share(case.band_coverage, 1), TERMS["band"]),
        ("Pinball", formats.percent(case.pinball_pct), TERMS["pinball"]),
        ("Direction", direction, TERMS["hit rate"] + " With its standard error."),
    ]


def _case(snapshot: Snapshot, case: pd.Series) -> None:
    st.subheader(f"Test case of rank {int(case['rank'])}", anchor=False, help="Choose another row of the table above.")
    parts = (
        f"<b>{escape(str(case.model))}</b>",
        f"{formats.count(case.n_features)} features of set <b>{escape(str(case.feature_set))}</b>",
        f"{formats.count(case.lags)} lags",
        f"fitted in {formats.duration(case.fit_seconds)} by {escape(str(case.worker))}",
        f"{formats.moment(case.finished_at)} UTC",
        f"{formats.count(case.n_validation)} validation rows",
    )
    st.html(f'<div class="cw-line">{" &nbsp;·&nbsp; ".join(parts)}</div>')
    components.numbers("case", _metrics(case))
    left, right = st.columns(2)
    with left:
        st.markdown("**Parameters**")
        parameters = _parameters(case.case_json)
        if parameters.empty:
            st.caption("The case carries no readable parameters.")
        else:
            text = st.column_config.TextColumn
            components.table(parameters, {"parameter": text("Parameter"), "value": text("Value")}, key="parameters")
        st.caption("Key of the case, for `candleworks reproduce`")
        st.code(str(case.case_key), language=None)
    with right:
        st.markdown("**Verdicts**")
        _verdicts(snapshot, str(case.case_key))


def _verdicts(snapshot: Snapshot, case_key: str) -> None:
    verdicts = snapshot.query("select * from verdicts where case_key = ? order by sequence desc", case_key)
    if verdicts.empty:
        st.caption("This case was never judged: only the best challenger of a series is.")
    for _, verdict in verdicts.iterrows():
        promoted = verdict.decision == "promoted"
        opened = "Holdout stays sealed"
        if formats.is_true(verdict.holdout_opened):
            opened = (
                f"Holdout opened (time {formats.count(verdict.holdout_openings)}): "
                f"skill <b>{formats.skill(verdict.holdout_skill)}</b>"
            )
        components.note(
            f"<b>{escape(str(verdict.decision)).capitalize()}</b> {formats.moment(verdict.decided_at)} UTC<br>"
            f"{escape(str(verdict.reason))}<br><span>{p_value_text(verdict.p_value)} among "
            f"{formats.count(verdict.n_trials)} trials &nbsp;·&nbsp; {opened}</span>",
            "good" if promoted else "bad",
        )


def _series(snapshot: Snapshot, series: components.Series) -> None:
    cases = snapshot.query(LEADERBOARD_SQL, *series)
    champion = components.champion_of(snapshot, series)
    if cases.empty:
        failed = snapshot.value(f"select count(distinct case_key) from results where {components.OF_SERIES}", *series)
        detail = f"All {failed} cases so far failed; the page Sweep shows why." if failed else ""
        components.empty("No test case of this series has a result yet.", "`candleworks sweep`", detail)
        return
    components.note(*verdict_html(champion, cases.skill.max(), int(cases.n_trials.iloc[0])))
    chosen = _leaderboard(cases, series)
    total = snapshot.value(f"select count(*) from leaderboard where {components.OF_SERIES}", *series)
    if total > len(cases):
        st.caption(f"The best {len(cases):,} of {total:,} cases; `candleworks leaderboard` lists them all.")
    _case(snapshot, cases.iloc[chosen])
    st.subheader("All cases by skill", anchor=False, help="Each dot is a test case; the diamond is the champion.")
    show(error_charts.skill_of_all_cases(cases), "skills", "Skill of every test case by model")
    st.caption(
        "Right of the line: better than the baseline. "
        f"A case below {formats.signed_percent(error_charts.LOWEST_SKILL, 0)} is drawn at the edge."
    )


def render() -> None:
    """Draw the page."""
    snapshot = components.open_page("Best models", "Ranked by skill against the best baseline, never by error alone")
    if components.nothing_published(snapshot):
        return
    _champions(snapshot)
    st.subheader("Leaderboard", anchor=False)
    series = components.choose_series(snapshot)
    if series is not None:
        _series(snapshot, series)


if __name__ == "__main__":
    render()
