"""Trading: whether a rule gains after costs and luck, its equity, its trades, and all rules."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import streamlit as st

from app import components, fee_curves, formats, monthly_returns, signal_texts, trade_blotter, trading_charts
from app import trading_figures as figures_of
from app.commands import command
from app.figures import show
from app.schema import PARTS
from app.snapshot import Snapshot
from app.terms import TERMS, explained

RULES_SQL = """
select r.* from trading_rules r left join markets m using (exchange, symbol, timeframe)
order by r.exchange, r.symbol, m.timeframe_ms, r.signal
"""

_OF_RULE = f"{components.OF_SERIES} and signal = ?"
EQUITY_SQL = f"select * from trading_equity where {_OF_RULE} order by time"
TRADES_SQL = f"select * from trading_trades where {_OF_RULE} order by entry_time, number"
SIGNALS_SQL = f"select * from trading_signals where {_OF_RULE} order by open_time"
CANDLES_SQL = f"select * from candles where {components.OF_SERIES} order by open_time"

#: The slider's end in percent, unless the rule's own fee or its break-even needs more; and its largest end.
_USUAL_FEE_END, _LAST_FEE_END = 0.5, 2.0
_FEE_STEP = 0.005


def _choose_rule(
    rules: pd.DataFrame, labels: dict[components.Series, str], series: components.Series
) -> pd.Series | None:
    """Let the user choose a signal of the series; None where the series has no rule."""
    mine = rules[(rules.exchange == series[0]) & (rules.symbol == series[1]) & (rules.timeframe == series[2])]
    if mine.empty:
        others = dict.fromkeys(labels.get(_series_of(row), "") for _, row in rules.iterrows())
        named = formats.in_markdown(", ".join(filter(None, others)))
        st.info(f"No trading rule for this market and timeframe. There are rules for {named}.", icon=":material/info:")
        return None
    names = list(mine.signal)
    asked = st.session_state.get("signal") or st.query_params.get("signal")
    if asked is not None and asked not in names:
        st.session_state["signal"] = names[0]
        st.caption(
            f"There is no signal {formats.in_markdown(str(asked))} here; this is {formats.in_markdown(names[0])}."
        )
    chosen = st.selectbox("Signal", names, key="signal", bind="query-params")
    rule: pd.Series = mine[mine.signal == chosen].iloc[0]
    return rule


def _series_of(row: pd.Series) -> components.Series:
    return row.exchange, row.symbol, row.timeframe


def _sentences(rule: pd.Series, newest: pd.DataFrame) -> None:
    components.note(figures_of.headline(rule), figures_of.tone(rule))
    lines = figures_of.other_parts(rule)
    if len(newest):
        row = newest.iloc[-1]
        lines.append(f"Newest signal, {formats.moment(row.close_time)} UTC: {signal_texts.score_text(row)}.")
    lines.append(figures_of.description(rule))
    st.html(f'<div class="cw-line">{"<br>".join(lines)}</div>')


def _fee_end(rule: pd.Series, cost: float) -> float:
    """End of the fee slider in percent, in steps of .05 %: beyond the break-even fees of all parts, if in reach."""
    break_even = max(figures_of.part_figures(rule, part).break_even_fee_pct or 0.0 for part in PARTS)
    return math.ceil(20 * max(_USUAL_FEE_END, 2 * cost, min(1.2 * break_even, _LAST_FEE_END)) - 1e-9) / 20


@st.fragment
def _curves(rule: pd.Series, curve: pd.DataFrame, trades: pd.DataFrame, part: str) -> None:
    """Equity, drawdown and return by fee; a new fee redraws these alone."""
    cost = figures_of.number(rule.fee_pct)
    head = st.container(horizontal=True, vertical_alignment="bottom")
    fee = None
    if cost is not None and fee_curves.can_bend(curve, trades, cost / 100, rule.sizing):
        fee = head.slider(
            "Fee a side", 0.0, _fee_end(rule, cost), value=cost, step=_FEE_STEP, format="%.3f %%",
            key=f"fee_{_key(rule)}", bind="query-params", help=f"Bends the curves. {TERMS['break-even fee']}",
        )  # fmt: skip
    shown = curve.assign(published=curve.equity)
    if cost is not None and fee is not None:
        shown = fee_curves.bent(curve, trades, cost / 100, fee / 100)
    if head.toggle(f"Only {trading_charts.part_label(part).lower()}", key="only_part", bind="query-params"):
        shown = shown[shown.part == part]
    is_bent = cost is not None and fee is not None and abs(fee - cost) > _FEE_STEP / 10
    if shown.empty:
        st.caption("No equity of this part is published.")
    else:
        title = "Equity of the rule against buying and holding, from 100 in each part, with the drawdown under it"
        show(trading_charts.equity_and_drawdown(shown, is_bent), "equity", title)
        st.caption("Each part begins at 100. Only the holdout and paper count: validation chose the rule.")
    if cost is None or fee is None:
        known = "the fee of the published curve is unknown" if cost is None else "the published curve is another one"
        st.caption(
            "No fee slider: the curve at another fee follows exactly only from the published fee, the trades, and all "
            f"of the equity in each trade; here {known}."
        )
        return
    _fees(rule, part, (curve[curve.part == part], trades[trades.part == part]), cost, fee)


def _fees(rule: pd.Series, part: str, tables: tuple[pd.DataFrame, pd.DataFrame], cost: float, fee: float) -> None:
    """The return of one part, of which `tables` are equity and trades, at every fee of the slider; fees in percent."""
    curve, trades = tables
    name = trading_charts.part_label(part)
    if curve.empty or trades.empty:
        st.caption(f"{name}: no trades, so no fee changes the return.")
        return
    fees = np.append(np.linspace(0.0, _fee_end(rule, cost), 61), fee)
    by_fee = pd.DataFrame({
        "fee": fees, "rule": fee_curves.returns_at_fees(curve, trades, fees / 100),
        "holding": [100 * (fee_curves.holding_at_fee(curve, cost / 100, one / 100)[-1] - 1) for one in fees],
    })  # fmt: skip
    here = by_fee.iloc[-1]
    even = figures_of.part_figures(rule, part).break_even_fee_pct
    st.markdown(
        f"**{name} at {fee:g} % a side: {formats.signed_percent(here.rule, 1)}**, buy & hold "
        f"{formats.signed_percent(here.holding, 1)}. {figures_of.break_even_sentence(even, cost, by_fee.rule.iloc[0])}"
    )
    show(trading_charts.return_by_fee(by_fee.iloc[:-1], cost, fee, even), "fees", f"Return on the part {name} by fee")


def _numbers(rule: pd.Series, part: str) -> None:
    figures = figures_of.part_figures(rule, part)
    luck = [
        ("p of the search", formats.decimal(rule.p_value, 3), explained("luck of the search")),
        ("Deflated Sharpe", formats.share(rule.deflated_sharpe), explained("deflated Sharpe")),
    ]
    components.numbers("trading", [*figures_of.tiles(figures), *luck])
    if few := figures_of.few_trades_sentence(figures):
        st.caption(few)


def _months(curve: pd.DataFrame, part: str) -> None:
    st.subheader("Monthly returns", anchor=False, help="In percent after costs, compounded; of the chosen part.")
    months = monthly_returns.monthly_returns(curve[curve.part == part])
    if months.empty:
        st.caption("No equity of this part is published.")
        return
    st.html(monthly_returns.month_table(months))


def _filters(trades: pd.DataFrame) -> trade_blotter.Filters:
    with st.container(horizontal=True, key="trade_filters"):

        def chosen(label: str, options: list[str]) -> str:
            key, known = f"trade_{label.lower()}", [trade_blotter.ALL, *options]
            components.warn_of_unknown(key, known)
            return str(st.selectbox(label, known, key=key, bind="query-params", width=150))

        return trade_blotter.Filters(
            part=chosen("Part", [part for part in PARTS if part in set(trades.part)]),
            side=chosen("Side", sorted(set(trades.side))),
            outcome=chosen("Outcome", [one for one in trade_blotter.OUTCOMES if one in set(trades.outcome)]),
            reason=chosen("Reason", sorted(set(trades.left))),
        )


def _blotter(snapshot: Snapshot, rule: pd.Series, curve: pd.DataFrame, trades: pd.DataFrame) -> None:
    st.subheader("Trades", anchor=False, help=f"{TERMS['trade']} All of them after costs, the newest first.")
    if trades.empty and any(figures_of.part_figures(rule, part).trades for part in PARTS):
        components.empty("The trades of this rule are not published.", command("publish"))
        return
    if trades.empty:
        st.caption("This rule made no trades.")
        return
    trades = trade_blotter.with_outcomes(trades)
    shown = trade_blotter.filtered(trades, _filters(trades))
    head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    head.caption(f"{len(shown):,} of {figures_of.trades_text(len(trades))}. A row shows its candles below.")
    head.download_button(
        "CSV", trade_blotter.blotter_csv(shown), file_name=f"trades_{_key(rule)}.csv", mime="text/csv",
        icon=":material/download:", disabled=shown.empty,
    )  # fmt: skip
    if shown.empty:
        st.caption("No trade passes these filters.")
        return
    chosen = _blotter_table(shown, f"blotter_{_key(rule)}")
    _trade(snapshot, rule, curve, shown.iloc[chosen])


def _blotter_table(trades: pd.DataFrame, key: str) -> int:
    """Draw the table and return the selected row (initially the newest one)."""
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    selected = components.table(
        trades.assign(part=trades.part.map(trading_charts.part_label)),
        {
            "entry_time": components.time_column("In"),
            "exit_time": components.time_column("Out"),
            "side": text("Side"),
            "entry_price": number("Price in", format="%.6g"),
            "exit_price": number("Price out", format="%.6g"),
            "quantity": number("Size", format="%.6g", help="In units of the base currency."),
            "fees": number("Fees", format="%.2f", help="Of entry and exit, in quote units."),
            "slippage": number("Slippage", format="%.2f", help="Paid against the opens, in quote units."),
            "pnl": number("P&L", format="%+.2f", help="Gain after costs, in quote units."),
            "return_pct": number("Return", format="%+.2f %%", help="Gain over the value at entry with its fee."),
            "why": text("Why", help="Reason of the entry, and of the exit."),
            "balance": number("Balance", format="%.2f", help="Equity after the trade, in quote units."),
            "entry_score": number("Score", format="%+.2f", help=TERMS["score"]),
            "part": text("Part", help=TERMS["parts"]),
        },
        key=key,
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [0]}},
        height=min(423, 38 + 35 * len(trades)),
    )
    rows = selected.selection.rows
    return rows[0] if rows and rows[0] < len(trades) else 0


def _trade(snapshot: Snapshot, rule: pd.Series, curve: pd.DataFrame, trade: pd.Series) -> None:
    """One trade on its candles, or on the equity where the candles of its time are not published."""
    thresholds = figures_of.number(rule.buy), figures_of.number(rule.sell)
    left = "open" if trade.outcome == "open" else f"{formats.moment(trade.exit_time)} UTC, {trade.why}"
    st.markdown(
        f"**{str(trade.side).capitalize()} trade {formats.count(trade.number)}**, "
        f"{formats.moment(trade.entry_time)} to {formats.in_markdown(left)}: "
        f"{formats.signed_percent(trade.return_pct)}"
    )
    candles = trade_blotter.candles_around(snapshot.query(CANDLES_SQL, *_series_of(rule)), trade)
    title = "The trade with its entry and exit, and the score under it"
    if len(candles):
        signals = snapshot.query(SIGNALS_SQL, *_series_of(rule), rule.signal)
        scores = signals[signals.open_time.between(candles.open_time.iloc[0], candles.open_time.iloc[-1])]
        scores = scores.rename(columns={"open_time": "time"})
        show(trading_charts.trade_on_candles(candles, trade, scores, thresholds), "trade", title)
        return
    around = trade_blotter.equity_around(curve, trade)
    if around.empty:
        st.caption("Neither candles nor equity of that time are published.")
        return
    st.caption("The candles of that time are not published; this is the equity, with the last score of each row.")
    show(trading_charts.trade_on_equity(around, trade, thresholds), "trade", title)


def _key(rule: pd.Series) -> str:
    """A name of the rule for widgets and files."""
    return re.sub(r"\W+", "_", "_".join((*_series_of(rule), rule.signal)))


def _overview(rules: pd.DataFrame, labels: dict[components.Series, str]) -> None:
    st.subheader("All rules", anchor=False, help="A row opens its rule above. Sorted by a click on a column's name.")
    components.note(figures_of.overview_sentence(rules))
    shown = rules.assign(
        series=[labels.get(_series_of(row), f"{row.symbol} · {row.timeframe}") for _, row in rules.iterrows()],
        shown=[figures_of.shown_word(row) for _, row in rules.iterrows()],
    )

    def open_rule() -> None:
        rows = st.session_state["rules_table"].selection.rows
        if rows and rows[0] < len(shown):
            st.session_state["series"], st.session_state["signal"] = shown.iloc[rows[0]][["series", "signal"]]

    text, number, percent = st.column_config.TextColumn, st.column_config.NumberColumn, components.signed_column
    components.table(
        shown,
        {
            "series": text("Market", pinned=True),
            "signal": text("Signal"),
            "shown": text("Shown better than holding", help="On the holdout, with the 90 % range above 0."),
            "holdout_return_pct": percent("Holdout", "parts"),
            "holdout_holding_pct": percent("Buy & hold", "buy and hold"),
            "holdout_lower_pct": percent("90 % from", "difference to holding"),
            "holdout_upper_pct": percent("to", "difference to holding"),
            "holdout_trades": number("Trades", help=TERMS["trade"]),
            "holdout_break_even_fee_pct": components.percent_column("Break-even fee", "break-even fee"),
            "validation_return_pct": percent("Validation, flatters", "parts"),
            "paper_return_pct": percent("Paper", "parts"),
            "paper_holding_pct": percent("Held meanwhile", "buy and hold"),
            "p_value": number("p of the search", format="%.3f", help=explained("luck of the search")),
            "trials": number("Pairs tried"),
            "cost_pct": components.percent_column("Cost a side"),
            "model": text("Model"),
            "decided_at": components.time_column("Chosen"),
        },
        key="rules_table",
        on_select=open_rule,
        selection_mode="single-row",
    )


def _rule(snapshot: Snapshot, rule: pd.Series) -> None:
    of_rule = (*_series_of(rule), rule.signal)
    curve, trades = snapshot.query(EQUITY_SQL, *of_rule), snapshot.query(TRADES_SQL, *of_rule)
    _sentences(rule, snapshot.query(SIGNALS_SQL, *of_rule))
    parts = figures_of.known_parts(rule)
    if not parts:
        components.empty("This rule has no figures yet.", command("rules"))
        return
    part = st.segmented_control(
        "Part", parts, default=parts[0], required=True, key="part", format_func=trading_charts.part_label,
        label_visibility="collapsed", bind="query-params",
    )  # fmt: skip
    part = part or parts[0]
    if curve.empty:
        components.empty("No equity of this rule is published.", command("publish"))
    else:
        _curves(rule, curve, trades, part)
    _numbers(rule, part)
    _months(curve, part)
    _blotter(snapshot, rule, curve, trades)


def render() -> None:
    """Draw the page."""
    snapshot = components.open_page("Trading", "What the signals gained after costs, against buying and holding")
    if components.nothing_published(snapshot):
        return
    rules = snapshot.query(RULES_SQL)
    if rules.empty:
        components.empty(
            "No trading rule has been chosen yet.",
            command("rules"),
            "It chooses thresholds on the validation rows and reports them once on the holdout.",
        )
        return
    labels = {series: label for label, series in components.series_labels(snapshot).items()}
    with st.container(horizontal=True, key="rule_choice"):
        series = components.choose_series(snapshot)
        rule = None if series is None else _choose_rule(rules, labels, series)
    if rule is not None:
        _rule(snapshot, rule)
    _overview(rules, labels)


if __name__ == "__main__":
    render()
