"""Forecasts: the next candle of every market and timeframe, then one series with its past forecasts.

The percentages are against the last close: the close of the candle that ends when the forecast's candle opens.
"""

from __future__ import annotations

from html import escape

import pandas as pd
import streamlit as st

from app import calls, components, formats, price_charts, replay_chart, signal_texts, states
from app.explanation import show_explanation
from app.figures import show
from app.forecast_cards import card_html, other_intervals, percent_of
from app.receipt import show_receipt
from app.snapshot import Snapshot
from app.terms import TERMS
from app.today_rows import scale_of

CURRENT_SQL = """
select f.*, coalesce(c.close, f.open) as last_close, coalesce(f.case_key, '') = '' as is_baseline, ch.live_skill,
    coalesce(ch.live_forecasts, 0) as live_forecasts, ch.state, coalesce(b.alarm, false) as band_alarm,
    b.coverage as band_coverage, b.forecasts as band_forecasts
from forecasts f
left join markets m using (exchange, symbol, timeframe)
left join candles c on c.exchange = f.exchange and c.symbol = f.symbol and c.timeframe = f.timeframe
    and c.close_time = f.target_open_time
left join champions ch on ch.exchange = f.exchange and ch.symbol = f.symbol and ch.timeframe = f.timeframe
left join band_reliability b on b.exchange = f.exchange and b.symbol = f.symbol and b.timeframe = f.timeframe
    and b.level = 0.8
where f.is_current
order by f.exchange, f.symbol, m.timeframe_ms
"""

_CANDLES_SQL = f"""
select * from (select * from candles where {components.OF_SERIES} order by open_time desc limit ?) order by open_time
"""

NOT_COUNTED_SQL = f"""
select (select count(*) from forecasts where {components.OF_SERIES} and scored_at is not null and late) as late,
    (select count(distinct forecast_hash) from scores where {components.OF_SERIES} and revision > 0) as restated
"""

CALL_HELP = "No test shows that a model forecasts the direction of the close here. Look at low and high."

#: Fewest sealed forecasts of a replay.
FEWEST_STEPS = 2

REPLAY_SQL = f"""
select * from (
    select target_open_time, target_close_time, low, high, band_low, band_high, covered, error_pct, baseline_error_pct,
        late, hash
    from forecasts where {components.OF_SERIES} and hash is not null
    order by target_open_time desc limit {replay_chart.LAST_CANDLES})
order by target_open_time
"""

SCORED_SQL = f"""
select target_open_time, target_close_time, model, open, high, low, close, band_low, band_high, actual_open,
    actual_high, actual_low, actual_close, error_pct, baseline_error_pct, covered, direction_hit, late
from forecasts where {components.OF_SERIES} and scored_at is not null
order by target_open_time desc limit 60
"""


def _choose(label: str) -> None:
    st.session_state["series"] = label
    st.session_state["scroll_to_chart"] = st.session_state.get("scroll_to_chart", 0) + 1
    st.session_state["scroll_now"] = True


def _signals_of(row: pd.Series, signals: pd.DataFrame) -> str:
    """The signals at the close of the candle before the forecast one, as HTML."""
    return signal_texts.of_candle(signals, row.exchange, row.symbol, row.timeframe, row.target_open_time)


def _cards(
    snapshot: Snapshot, current: pd.DataFrame, labels: dict[components.Series, str], signals: pd.DataFrame
) -> None:
    timeframes = list(dict.fromkeys(current.timeframe))
    if len(timeframes) > 1:
        options = ["All", *timeframes]
        chosen = st.segmented_control(
            "Timeframe",
            options,
            default="All",
            required=True,
            label_visibility="collapsed",
            key="timeframe_filter",
            bind="query-params",
        )
        if chosen in timeframes:
            current = current[current.timeframe == chosen]
    scale = scale_of(current)
    may_call = calls.tested_series(snapshot.query(calls.CALLS_SQL))
    with st.container(key="cards"):
        for number, (_, row) in enumerate(current.iterrows()):
            series = (row.exchange, row.symbol, row.timeframe)
            label = labels.get(series, f"{row.symbol} · {row.timeframe}")
            with st.container(key=f"card_{number}"):
                said = _signals_of(row, signals)
                st.html(card_html(row, label, snapshot.exchange_time, scale, series in may_call, said))
                st.button(f"Open {formats.in_markdown(label)}", key=f"open_{number}", on_click=_choose, args=(label,))


def _detail_numbers(row: pd.Series, may_call: bool) -> None:
    def labelled(title: str, key: str, explanation: str | None = None) -> tuple[str, str, str | None]:
        moved = formats.signed_percent(percent_of(row[key], row.last_close))
        return f"{title} {moved}", formats.price(row[key]), explanation

    _, tone = calls.close_call(percent_of(row.close, row.last_close), may_call)
    issued = f"Issued {formats.moment(row.issued_at)} UTC" + (", late" if formats.is_true(row.late) else "")
    components.numbers(
        "forecast",
        [
            ("Last close", formats.price(row.last_close), "Close of the candle before the forecast one."),
            labelled("Low", "low"),
            labelled("Close", "close") if tone != "none" else ("Close", "no call", CALL_HELP),
            labelled("High", "high"),
            labelled("Interval from", "band_low", TERMS["prediction interval"]),
            labelled("to", "band_high", TERMS["prediction interval"]),
        ],
    )
    model = f"baseline {formats.name(row.baseline)}" if row.is_baseline else formats.name(row.model)
    target = formats.span(row.target_open_time, row.target_close_time)
    st.html(
        f'<div class="cw-line">Candle <b>{target}</b> &nbsp;·&nbsp; by <b>{escape(model)}</b> &nbsp;·&nbsp; '
        f"{issued}{other_intervals(row)}</div>"
    )


def _chart(snapshot: Snapshot, series: components.Series, row: pd.Series | None) -> None:
    shown = st.segmented_control(
        "Candles", [40, 80, 160], default=80, required=True, key="candles_shown", label_visibility="collapsed",
        bind="query-params",
        format_func=lambda number: f"{number} candles",
    )  # fmt: skip
    candles = snapshot.query(_CANDLES_SQL, *series, shown or 80)
    if candles.empty and row is None:
        states.say(states.state_of(snapshot, "candles", "", components.OF_SERIES, *series), "candles", "ingest")
        return
    figure = price_charts.candles_with_forecast(candles, row)
    show(figure, "price", f"Candles of {series[1]} {series[2]} with the forecast of the next one")


def _replay(snapshot: Snapshot, series: components.Series) -> None:
    st.subheader("Replay", anchor=False, help="Sealed forecasts, candle after candle; nothing is recomputed.")
    forecasts = snapshot.query(REPLAY_SQL, *series)
    if len(forecasts) < FEWEST_STEPS:
        st.caption(f"{len(forecasts)} sealed forecasts so far; a replay follows from {FEWEST_STEPS} on.")
        return
    if not st.toggle(f"Replay the last {len(forecasts)} candles", key="replay_shown", bind="query-params"):
        return
    candles = snapshot.query(_CANDLES_SQL, *series, replay_chart.LAST_CANDLES + replay_chart.WINDOW)
    show(replay_chart.replay(forecasts, candles), "replay", "Sealed forecasts, and the candles that came")
    st.caption("Drag the clock or press play. The magenta candle was sealed before its candle opened.")


def _past(snapshot: Snapshot, series: components.Series) -> None:
    st.subheader("Forecast against actual", anchor=False, help=TERMS["live"])
    scored = snapshot.query(SCORED_SQL, *series)
    state = states.state_of(snapshot, "forecasts", "scored_at", components.OF_SERIES, *series)
    if not states.say(state, "score of a forecast of this series", "score"):
        return
    live = components.champion_of(snapshot, series)
    if live is not None:
        components.live_numbers("live", live)
    _not_counted(snapshot, series)
    show(
        price_charts.forecast_against_actual(scored.iloc[::-1]),
        "past",
        "Past forecasts of low and high with the actual candles",
    )
    with st.expander(f"The last {len(scored)} scored forecasts as a table"):
        _past_table(scored)


def _not_counted(snapshot: Snapshot, series: components.Series) -> None:
    """Name the forecasts that are shown but not counted, and those that were scored again."""
    late, restated = snapshot.query(NOT_COUNTED_SQL, *series, *series).iloc[0]
    parts = []
    if late:
        parts.append(f"{late} late {'forecast is' if late == 1 else 'forecasts are'} shown and not counted.")
    if restated:
        parts.append(
            f"{restated} {'was' if restated == 1 else 'were'} scored again after the exchange revised the candle; "
            "the earlier score is kept."
        )
    if parts:
        st.caption(" ".join(parts))


def _past_table(scored: pd.DataFrame) -> None:
    number = st.column_config.NumberColumn
    prices = {
        name: number(title, format="%.6g")
        for name, title in (
            ("high", "Forecast high"), ("actual_high", "Actual high"), ("low", "Forecast low"),
            ("actual_low", "Actual low"), ("close", "Forecast close"), ("actual_close", "Actual close"),
        )
    }  # fmt: skip
    components.table(
        scored,
        {
            "target_open_time": components.time_column("Candle"),
            "error_pct": components.percent_column("Error", "error"),
            "baseline_error_pct": components.percent_column("Baseline's", "baseline"),
            "covered": st.column_config.CheckboxColumn("In the interval", help=TERMS["prediction interval"]),
            "direction_hit": st.column_config.CheckboxColumn("Direction hit", help=TERMS["hit rate"]),
            "late": st.column_config.CheckboxColumn("Late", help=TERMS["late"]),
            **prices,
            "model": st.column_config.TextColumn("Model"),
        },
        key="past_table",
    )


def _scroll() -> None:
    """Bring the chart into view after a card was opened (on a phone it is below all cards)."""
    if st.session_state.pop("scroll_now", False):
        turn = st.session_state["scroll_to_chart"]
        st.html(
            f'<span data-turn="{turn}"></span><script>setTimeout(() => document.querySelector(".st-key-detail")'
            '?.scrollIntoView({behavior: "smooth"}), 300)</script>',
            unsafe_allow_javascript=True,
        )


def render() -> None:
    """Draw the page."""
    snapshot = components.open_page("Forecasts", "The next candle of every market with its prediction interval")
    if components.nothing_published(snapshot):
        return
    current = snapshot.query(CURRENT_SQL)
    labels = {series: label for label, series in components.series_labels(snapshot).items()}
    signals = snapshot.query(signal_texts.NEWEST_SQL)
    if states.say(states.state_of(snapshot, "forecasts", "", "is_current"), "current forecast", "forecast"):
        _cards(snapshot, current, labels, signals)
        there = set(zip(current.exchange, current.symbol, current.timeframe, strict=True))
        lacking = [label for series, label in labels.items() if series not in there]
        if lacking:
            st.caption(f"No forecast yet for {formats.in_markdown(', '.join(lacking))}.")
    with st.container(key="detail"):
        st.subheader("Chart", anchor=False, help="Open a card above or choose a market here.")
        series = components.choose_series(snapshot)
        if series is None:
            return
        mine = current[
            (current.exchange == series[0]) & (current.symbol == series[1]) & (current.timeframe == series[2])
        ]
        row = mine.iloc[0] if len(mine) else None
        if row is not None:
            _detail_numbers(row, series in calls.tested_series(snapshot.query(calls.CALLS_SQL)))
            if said := _signals_of(row, signals):
                st.html(f'<div class="cw-line">{said}</div>')
            show_receipt(row)
            show_explanation(row)
        _chart(snapshot, series, row)
        _replay(snapshot, series)
        _past(snapshot, series)
    _scroll()


if __name__ == "__main__":
    render()
