"""Error history: best error by trial, live error, and the weights of all contenders.

Errors over a window are root mean squares of the single errors, as in the live error of the champions, without late
forecasts.
"""

from __future__ import annotations

import streamlit as st

from app import components, error_charts, evidence, formats, reliability_charts, states
from app.figures import show
from app.snapshot import Snapshot
from app.terms import TERMS, explained

MOST_POINTS = 3000
"""Test cases that the chart draws at most, evenly over the trials; those that were the best so far are always drawn."""

HISTORY_SQL = f"""
with mine as (select * from error_history where {components.OF_SERIES})
select * from mine
where trial % greatest(1, ceil((select count(*) from mine) / {MOST_POINTS})::bigint) = 0 or rmse_pct = best_rmse_pct
    or trial = (select max(trial) from mine)
order by trial
"""

ROLLING_SQL = """
select target_open_time, sqrt(avg(error_pct ** 2) over w) as error,
    sqrt(avg(baseline_error_pct ** 2) over w) as baseline_error,
    100 * avg(direction_hit::int) over w as hit_rate, 100 * avg(covered::int) over w as coverage
from forecasts where {series} and scored_at is not null and not coalesce(late, false)
window w as (order by target_open_time rows between {before} preceding and current row)
qualify row_number() over (order by target_open_time) > least({before}, count(*) over () - 1)
order by target_open_time
"""

WEIGHTS_SQL = f"select * from weights where {components.OF_SERIES} order by round_time, contender"


def _search(snapshot: Snapshot, series: components.Series) -> None:
    st.subheader("Best error so far", anchor=False, help=TERMS["error"])
    history = snapshot.query(HISTORY_SQL, *series)
    state = states.state_of(snapshot, "error_history", "", components.OF_SERIES, *series)
    if not states.say(state, "result of a test case of this series", "sweep"):
        return
    baseline = snapshot.value(
        f"select baseline_rmse_pct from leaderboard where {components.OF_SERIES} order by rank limit 1",
        *series,
    )
    last = history.iloc[-1]
    cases = snapshot.value(f"select count(*) from error_history where {components.OF_SERIES}", *series)
    components.numbers(
        "search",
        [
            ("Cases tested", formats.count(cases), TERMS["trials"]),
            ("Best error", formats.percent(last.best_rmse_pct), TERMS["error"]),
            ("Baseline's error", formats.percent(baseline), TERMS["baseline"]),
            ("Best skill", formats.skill(last.best_skill), TERMS["selection"]),
        ],
    )
    by = st.segmented_control(
        "Over",
        ["Trials", "Time"],
        default="Trials",
        required=True,
        key="history_by",
        label_visibility="collapsed",
        bind="query-params",
    )
    figure = error_charts.best_error(history, baseline, by_time=by == "Time")
    show(figure, "best", "Error of each test case and the best error so far")
    if cases > len(history):
        st.caption(f"Drawn are {len(history):,} of {cases:,} cases, evenly over the trials, and every best one.")


def _live(snapshot: Snapshot, series: components.Series) -> None:
    st.subheader("Live error", anchor=False, help=TERMS["live"])
    live = components.champion_of(snapshot, series)
    window = st.segmented_control(
        "Window", [10, 25, 50], default=25, required=True, key="live_window", label_visibility="collapsed",
        bind="query-params",
        format_func=lambda number: f"{number} forecasts",
    )  # fmt: skip
    rolling = snapshot.query(ROLLING_SQL.format(series=components.OF_SERIES, before=int(window or 25) - 1), *series)
    state = states.state_of(snapshot, "forecasts", "scored_at", components.OF_SERIES, *series)
    if not states.say(state, "score of a forecast of this series", "score"):
        return
    if rolling.empty:
        st.caption("All scored forecasts of this series were late, and late ones do not count.")
        return
    if live is not None:
        components.live_numbers("live_history", live)
    if len(rolling) < 2:
        return  # one point is no curve
    show(error_charts.live_error(rolling), "live_error", "Live error of the forecasts and of the baseline")
    st.subheader(
        "Hit rate and interval coverage", anchor=False, help=f"{TERMS['hit rate']} {TERMS['prediction interval']}"
    )
    level = snapshot.value(
        f"select 100 * band_level from forecasts where {components.OF_SERIES} order by target_open_time desc",
        *series,
    )
    show(error_charts.live_shares(rolling, level or 80.0), "shares", "Hit rate and interval coverage of the forecasts")
    st.caption(
        f"Each point covers the {window} forecasts up to it. Dotted: a coin's 50 %, the interval's {level or 80:.0f} %."
    )


def _weights(snapshot: Snapshot, series: components.Series) -> None:
    st.subheader("Weights of the contenders", anchor=False, help=explained("weights"))
    weights = snapshot.query(WEIGHTS_SQL, *series)
    if weights.empty:
        st.caption("No round yet: weights begin with the first scored forecast.")
        return
    champion = components.champion_of(snapshot, series)
    serving = None
    if champion is not None and evidence.serves_model(champion):
        serving = formats.contender(f"{champion.model} {champion.case_key}")
    labelled = weights.assign(contender=weights.contender.map(formats.contender))
    show(reliability_charts.contender_weights(labelled, serving), "weights", "Weight of each contender over the rounds")
    rounds = weights.round_time.nunique()
    st.caption(f"{rounds} rounds, one per candle. The higher a line, the better its contender forecast so far.")


def render() -> None:
    """Draw the page."""
    snapshot = components.open_page("Error history", "Best error of the search, and the live error")
    if components.nothing_published(snapshot):
        return
    series = components.choose_series(snapshot)
    if series is not None:
        _search(snapshot, series)
        _live(snapshot, series)
        _weights(snapshot, series)


if __name__ == "__main__":
    render()
