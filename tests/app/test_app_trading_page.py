"""The page Trading over the synthetic rules: many trades, five, none, no holdout, null figures, missing tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from dashboard_harness import OpenPage, Published, metrics, plain, same, signed, table, text, values
from streamlit.testing.v1 import AppTest

from app import signal_texts

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"
ACTIVE = "symbol = 'BTC/USDT' and timeframe = '4h' and signal = 'active'"
FIVE = "symbol = 'DOGE/USDT' and timeframe = '4h' and signal = 'trend'"


def figures(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def note(app: AppTest) -> str:
    """The sentence about the rule."""
    return next(html.value for html in app.html if "cw-note" in html.value and "<style>" not in html.value)


def line(figure: dict[str, Any], name: str, number: int = 0) -> list[float]:
    """Heights of a line by name; each part has one, in the order validation, holdout, paper."""
    traces = [one for one in figure["data"] if one.get("name") == name and one.get("yaxis", "y") == "y"]
    return values(traces[number]["y"])


def change(published: Published, name: str, **columns: object) -> None:
    """Give columns of a table other values."""
    path = published.folder / f"{name}.parquet"
    pd.read_parquet(path).assign(**columns).to_parquet(path)
    st.cache_resource.clear()


def test_sentence_and_numbers_are_those_of_the_holdout(published: Published, open_page: OpenPage) -> None:
    app = open_page("trading", "BTC/USDT · 4h")
    row = published.sql(f"select * from trading_rules where {ACTIVE}").iloc[0]
    said = plain(app)
    assert (
        f"After 0.1 % a side: {signed(row.holdout_return_pct, 1)}, buy & hold {signed(row.holdout_holding_pct, 1)}, "
        f"90 % range of the difference {signed(row.holdout_lower_pct, 1).removesuffix(' %')} to "
        f"{signed(row.holdout_upper_pct, 1)}; 500 trades; not shown better than holding."
    ) in said
    assert f"flatters, since it chose the rule out of 1,000: {signed(row.validation_return_pct, 1)}" in said
    assert f"Paper, live, sealed before each fill: {signed(row.paper_return_pct, 1)}" in said
    numbers = metrics(app)
    assert numbers["Return"] == signed(row.holdout_return_pct, 1) and numbers["Trades"] == "500"
    assert numbers["Win rate"] == f"{100 * row.holdout_win_rate:.0f} %"
    assert numbers["Turnover"] == f"{row.holdout_turnover:,.1f} x" and numbers["Sharpe"] == "0.41"
    assert numbers["p of the search"] == "0.340" and numbers["Deflated Sharpe"] == "31 %"
    app.segmented_control(key="part").set_value("paper").run()
    assert metrics(app)["Return"] == signed(row.paper_return_pct, 1) and metrics(app)["Trades"] == "40"
    assert f"{signed(row.holdout_return_pct, 1)}" in note(app), "the headline stays that of the holdout"


def test_equity_holding_and_drawdown_equal_sql(published: Published, open_page: OpenPage) -> None:
    chart = figures(open_page("trading", "BTC/USDT · 4h"))[0]
    for number, part in enumerate(("validation", "holdout", "paper")):
        rows = published.sql(f"select * from trading_equity where {ACTIVE} and part = '{part}' order by time")
        assert line(chart, "Rule", number) == pytest.approx(list(100 * rows.equity))
        assert line(chart, "Buy & hold", number) == pytest.approx(list(100 * rows.holding))
    falls = [one for one in chart["data"] if one.get("name") == "Rule" and one.get("yaxis") == "y2"]
    expected = [
        100 * (equity / max(1.0, peak) - 1) for equity, peak in zip(rows.equity, rows.equity.cummax(), strict=True)
    ]
    assert values(falls[2]["y"]) == pytest.approx(expected)
    assert len([shape for shape in chart["layout"]["shapes"] if shape["type"] == "rect"]) == 6, "3 parts in 2 rows"


def test_the_fee_slider_bends_the_curve_and_marks_the_break_even(published: Published, open_page: OpenPage) -> None:
    app = open_page("trading", "BTC/USDT · 1h")
    assert app.selectbox(key="signal").value == "reversal"
    where = "symbol = 'BTC/USDT' and timeframe = '1h' and signal = 'reversal' and part = 'holdout'"
    rows = published.sql(f"select * from trading_equity where {where} order by time")
    [slider] = app.slider
    assert slider.value == 0.1 and "Rule at its own fee" not in str(figures(app)[0])
    slider.set_value(0.0).run()
    chart, by_fee = figures(app)[:2]
    assert line(chart, "Rule", 1) == pytest.approx(list(100 * rows.gross))
    assert line(chart, "Rule at its own fee", 1) == pytest.approx(list(100 * rows.equity))
    app.slider[0].set_value(0.2).run()
    chart, by_fee = figures(app)[:2]
    # 45 trades are entries and exits; shorts leave with another share of the equity than 1.
    shares = published.sql(f"select exit_turnover from trading_trades where {where}").exit_turnover
    expected = rows.gross.iloc[-1] * 1.002 ** -len(shares) * np.prod(1 - 0.002 * shares)
    assert line(chart, "Rule", 1)[-1] == pytest.approx(100 * expected)
    assert line(chart, "Buy & hold", 1)[-1] == pytest.approx(100 * rows.holding.iloc[-1] * 1.001 / 1.002)
    assert f"Holdout at 0.2 % a side: {signed(100 * (expected - 1), 1)}" in app.markdown[-3].value + text(app)
    even = published.cell(
        f"select holdout_break_even_fee_pct from trading_rules where {where.replace('and part', '--')}"
    )
    mark = next(trace for trace in by_fee["data"] if trace["name"].startswith("Break-even"))
    assert mark["name"] == f"Break-even {even:.3f} %" and values(mark["x"]) == [even]


def test_without_the_formula_there_is_no_slider_and_the_page_says_why(
    published: Published, open_page: OpenPage
) -> None:
    frame = published.sql("select * from trading_equity")
    change(published, "trading_equity", equity=frame.equity * np.where(frame.part == "holdout", 1.01, 1.0))
    app = open_page("trading", "BTC/USDT · 4h")
    assert not app.slider and "No fee slider" in text(app)
    rows = published.sql(f"select * from trading_equity where {ACTIVE} and part = 'holdout' order by time")
    assert line(figures(app)[0], "Rule", 1) == pytest.approx(list(100 * rows.equity)), "as published"


def test_a_part_can_be_shown_alone_even_without_its_curve(published: Published, open_page: OpenPage) -> None:
    app = open_page("trading", "BTC/USDT · 4h")
    app.toggle(key="only_part").set_value(True).run()
    assert [trace["name"] for trace in figures(app)[0]["data"]] == [
        "Holdout",
        "Buy & hold",
        "Buy & hold",
        "Rule",
        "Rule",
    ]
    published.sql("select * from trading_equity where part <> 'holdout'").to_parquet(
        published.folder / "trading_equity.parquet"
    )
    st.cache_resource.clear()
    app = open_page("trading", "BTC/USDT · 4h")
    app.toggle(key="only_part").set_value(True).run()
    assert not app.exception and "No equity of this part is published." in text(app)


def test_months_equal_sql(published: Published, open_page: OpenPage) -> None:
    app = open_page("trading", "BTC/USDT · 4h")
    html = next(html.value for html in app.html if "cw-months" in html.value and "<style>" not in html.value)
    ends = published.sql(f"""
        select date_trunc('month', time - interval 1 millisecond) as month, last(equity order by time) as equity
        from trading_equity where {ACTIVE} and part = 'holdout' group by all order by month""")
    for before, equity in zip([1.0, *ends.equity], ends.equity, strict=False):
        assert f">{signed(100 * (equity / before - 1), 1).removesuffix(' %')}<" in html
    assert html.count("<tr>") == 1 + ends.month.dt.year.nunique()


def test_the_blotter_has_all_trades_newest_first_and_filters(published: Published, open_page: OpenPage) -> None:
    app = open_page("trading", "BTC/USDT · 4h")
    trades = published.sql(f"select * from trading_trades where {ACTIVE} order by entry_time desc")
    shown = table(app, "entry_price")
    assert len(shown) == len(trades) == 940
    for column in ("entry_time", "exit_time", "side", "entry_price", "quantity", "fees", "slippage", "pnl", "balance"):
        same(shown[column], trades[column])
    app.selectbox(key="trade_part").set_value("holdout").run()
    app.selectbox(key="trade_outcome").set_value("won").run()
    app.selectbox(key="trade_side").set_value("short").run()
    app.selectbox(key="trade_reason").set_value("stop").run()
    kept = trades[(trades.part == "holdout") & (trades.pnl > 0) & (trades.side == "short")
                  & (trades.exit_reason == "stop")]  # fmt: skip
    assert 0 < len(kept) < 100
    same(table(app, "entry_price").entry_time, kept.entry_time)
    assert f"{len(kept)} of 940 trades." in text(app)
    [download] = app.get("download_button")
    assert download.proto.label == "CSV" and not download.proto.disabled


def test_a_row_shows_its_candles_with_entry_exit_and_score(published: Published, open_page: OpenPage) -> None:
    app = open_page("trading", "BTC/USDT · 4h")
    trades = published.sql(f"select * from trading_trades where {ACTIVE} order by entry_time desc")
    key = "blotter_binance_BTC_USDT_4h_active"
    for row, on_candles in ((4, True), (700, False)):
        app.session_state[key] = {"selection": {"rows": [row], "columns": [], "cells": []}}
        app.run()
        assert not app.exception
        chart, trade = figures(app)[-1], trades.iloc[row]
        marks = {trace["name"].split(" ")[0]: trace for trace in chart["data"] if trace.get("mode") == "markers"}
        assert pd.Timestamp(values(marks["Entry"]["x"])[0]) == trade.entry_time
        assert pd.Timestamp(values(marks["Exit"]["x"])[0]) == trade.exit_time
        assert any(trace["type"] == "candlestick" for trace in chart["data"]) == on_candles
        assert ("candles of that time are not published" in text(app)) == (not on_candles)
        assert any(trace.get("name") == "Score" and len(values(trace["y"])) > 3 for trace in chart["data"])
        if on_candles:
            assert values(marks["Entry"]["y"]) == [trade.entry_price]


def test_five_trades_have_no_ratio(published: Published, open_page: OpenPage) -> None:
    app = open_page("trading", "DOGE/USDT · 4h")
    assert "5 trades;" in note(app) and not {"Sharpe", "Sortino"} & metrics(app).keys()
    assert "No Sharpe or Sortino ratio: 5 trades, and below 30 such a ratio is luck." in text(app)
    assert "long only" in text(app)


def test_no_trades_is_a_rule_that_stayed_out(published: Published, open_page: OpenPage) -> None:
    app = open_page("trading", "ETH/USDT · 1h")
    assert "After 0.1 % a side: <b>0.0 %</b>" in note(app) and "no trades;" in note(app)
    assert "no trades, so no fee changes the return" in text(app)
    change(published, "trading_trades", symbol="XRP/USDT")
    app = open_page("trading", "ETH/USDT · 1h")
    assert "The trades of this rule are not published. Run `candleworks publish`." in text(app), "validation had 3"
    change(published, "trading_rules", validation_trades=0)
    assert "This rule made no trades." in text(open_page("trading", "ETH/USDT · 1h"))


def test_a_rule_without_a_holdout_is_not_shown_as_tested(published: Published, open_page: OpenPage) -> None:
    app = open_page("trading", "ETH/USDT · 4h")
    assert "No holdout yet" in note(app) and "not shown better than holding" in note(app)
    row = published.sql("select * from trading_rules where symbol = 'ETH/USDT' and timeframe = '4h'").iloc[0]
    assert metrics(app)["Return"] == signed(row.validation_return_pct, 1)
    assert app.segmented_control(key="part").options == ["Validation"]


def test_a_series_without_a_rule_names_those_that_have_one(published: Published, open_page: OpenPage) -> None:
    app = open_page("trading", "ETH/USDT · 1d")
    assert "There are rules for BTC/USDT · 1h, BTC/USDT · 4h, DOGE/USDT · 4h" in app.info[0].value
    assert len(table(app, "shown")) == 6 and not app.metric


def test_figures_that_are_null_are_dashes(published: Published, open_page: OpenPage) -> None:
    frame = published.sql("select * from trading_rules")
    kept = ("exchange", "symbol", "timeframe", "signal", "holdout_return_pct")
    change(published, "trading_rules", **{name: None for name in frame.columns if name not in kept})
    for name, columns in (("trading_equity", ("score", "side")), ("trading_signals", ("score", "signs", "side"))):
        change(published, name, **dict.fromkeys(columns))
    blank = ("exit_price", "quantity", "fees", "pnl", "return_pct", "balance", "exit_reason", "entry_score")
    change(published, "trading_trades", **dict.fromkeys(blank))
    app = open_page("trading", "BTC/USDT · 4h")
    assert not app.slider and metrics(app)["Break-even fee"] == "\N{EN DASH}"
    assert "not tested against holding" in note(app) and "unknown number of trades" in note(app)
    assert "Signal active: no score" in text(open_page("forecasts"))


@pytest.mark.parametrize("table_name", ["trading_equity", "trading_trades", "trading_signals", "candles"])
def test_a_missing_table_leaves_the_rest(published: Published, open_page: OpenPage, table_name: str) -> None:
    (published.folder / f"{table_name}.parquet").unlink()
    app = open_page("trading", "BTC/USDT · 4h")
    assert table_name in app.warning[0].value and "500 trades;" in note(app) and metrics(app)["Trades"] == "500"


def test_without_rules_the_page_says_which_command_makes_them(published: Published, open_page: OpenPage) -> None:
    (published.folder / "trading_rules.parquet").unlink()
    app = open_page("trading")
    assert "Run `candleworks rules`" in app.info[0].value and not app.metric


def test_all_rules_equal_sql_and_only_a_proven_one_is_shown_as_better(
    published: Published, open_page: OpenPage
) -> None:
    app = open_page("trading")
    shown = table(app, "shown")
    rules = published.sql("""select r.* from trading_rules r join markets m using (exchange, symbol, timeframe)
        order by symbol, timeframe_ms, signal""")
    for column in ("signal", "holdout_return_pct", "holdout_lower_pct", "validation_return_pct", "paper_return_pct"):
        same(shown[column], rules[column])
    assert list(shown.shown) == ["yes", "no", "no", "no", "no", "not tested"]
    assert "1 of the 6 rules is shown better than holding after costs. 1 is not tested" in plain(app)


def test_a_link_opens_its_rule_and_an_unknown_signal_is_said(published: Published) -> None:
    for asked, opened in (("trend", "trend"), ("gone", "reversal")):
        app = AppTest.from_file(str(MAIN), default_timeout=60).run()
        app.switch_page("views/trading.py")
        app.query_params["series"] = "BTC/USDT · 1h"
        app.query_params["signal"] = asked
        app.run()
        assert not app.exception
        assert app.selectbox(key="signal").value == opened
        assert ("There is no signal gone here; this is reversal." in text(app)) == (asked == "gone")


def test_the_forecasts_have_the_side_of_a_signal_and_no_arrow(published: Published, open_page: OpenPage) -> None:
    cards = [
        html.value for html in open_page("forecasts").html if "cw-card" in html.value and "<style>" not in html.value
    ]
    newest = published.sql("""select * from trading_signals
        qualify row_number() over (partition by symbol, timeframe, signal order by open_time desc) = 1""")
    assert sum(card.count("Signal ") for card in cards) == len(newest) == 6
    for row in newest.itertuples():
        [card] = [card for card in cards if row.symbol in card and f">{row.timeframe}<" in card]
        said = card.split(f"Signal {row.signal}: ")[1].split("<")[0]
        assert said == ("no rule" if pd.isna(row.side) else signal_texts.SIDES[row.side])
        assert "▲" not in card and "▼" not in card, "the close of none of these series may be called"
    # A signal of an earlier candle is of no use for this forecast.
    change(published, "trading_signals", close_time=pd.Timestamp("2024-04-01"))
    assert "Signal " not in text(open_page("forecasts"))
