"""Figures, sentences, fee curves, months and the blotter of the page Trading, without a page.

The curve at another fee is compared with the ledger that trades at that fee.
"""

from __future__ import annotations

import doctest

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from dashboard_harness import signed

from app import fee_curves, formats, monthly_returns, signal_texts, trade_blotter, trading_charts, trading_figures
from app.schema import PARTS
from ml.trading.blotter import equity_rows, trade_rows
from ml.trading.daily import last_of_days
from ml.trading.ledger import Costs, Ledger, run_ledger

CASH = 10_000.0
STEP = pd.Timedelta(hours=1)
FEES = (0.0, 0.0004, 0.001, 0.0075, 0.02)


def test_the_examples_in_the_documentation_hold() -> None:
    for module in (formats, trading_figures):
        assert doctest.testmod(module).failed == 0


class Market:
    """A random walk of hourly candles, traded by a rule with random sides."""

    def __init__(self, seed: int, sides: tuple[float, ...], n: int = 400) -> None:
        draw = np.random.default_rng(seed)
        close = 100 * np.exp(np.cumsum(draw.normal(0, 0.01, n)))
        opens = np.concatenate([[100.0], close[:-1]]) * np.exp(draw.normal(0, 0.002, n))
        high, low = np.maximum(opens, close) * 1.001, np.minimum(opens, close) * 0.999
        self.candles = np.column_stack([opens, high, low, close, np.full(n, 500.0)])
        self.open_time = pd.date_range("2024-01-01", periods=n, freq=STEP)
        self.target = np.where(draw.random(n) < 0.15, draw.choice(sides, n), np.nan)

    def ledger(self, fee: float, **options: npt.NDArray[np.float64]) -> Ledger:
        times = self.open_time.to_numpy("datetime64[ms]").astype(np.int64)
        costs = Costs.flat(fee, slippage=0.0003)
        return run_ledger(self.candles, times, self.target, cash=CASH, costs=costs, **options)

    def curve(self, published_fee: float, **options: npt.NDArray[np.float64]) -> pd.DataFrame:
        """Rows of trading_equity, one per candle, at the candle's close."""
        gross, net = (self.ledger(fee, **options).equity / CASH for fee in (0.0, published_fee))
        return pd.DataFrame({
            "part": "holdout", "time": self.open_time + STEP, "gross": gross, "equity": net, "holding": 1.0
        })  # fmt: skip

    def trades(self, fee: float, **options: npt.NDArray[np.float64]) -> pd.DataFrame:
        """Rows of trading_trades, with the exited value over the equity before its fee from the cash of each fill."""
        ledger = self.ledger(fee, **options)
        turnover: dict[int, float] = {}
        cash, held = CASH, 0.0
        for fill in ledger.fills:
            bought = fill.qty if fill.side == "buy" else -fill.qty
            if held * bought < 0:
                turnover[fill.bar] = abs(held) * fill.price / (cash + held * fill.price)
            cash -= bought * fill.price + fill.fee
            held = 0.0 if abs(held + bought) < 1e-9 else held + bought
        return pd.DataFrame({
            "part": "holdout",
            "entry_time": [self.open_time[trade.entry_bar] for trade in ledger.trades],
            "exit_time": [
                self.open_time[trade.exit_bar] if trade.exit_bar is not None else pd.NaT for trade in ledger.trades
            ],
            "exit_reason": "signal",
            "exit_turnover": [
                turnover[trade.exit_bar] if trade.exit_bar is not None else np.nan for trade in ledger.trades
            ],
        }).iloc[::-1]  # fmt: skip


@pytest.mark.parametrize("sides", [(0.0, 1.0), (0.0, -1.0), (-1.0, 0.0, 1.0), (-1.0, 1.0)],
                         ids=["long", "short", "both", "turns"])  # fmt: skip
def test_the_curve_at_any_fee_is_that_of_the_ledger_that_trades_at_it(sides: tuple[float, ...]) -> None:
    for seed in range(5):
        market = Market(seed, sides)
        # The published tables are of one fee; the shares of the equity that leave are the same at every fee.
        trades = market.trades(0.001)
        curve = market.curve(0.001)
        assert len(trades) > 8
        for fee in FEES:
            expected = market.ledger(fee).equity / CASH
            np.testing.assert_allclose(fee_curves.equity_at_fee(curve, trades, fee), expected, rtol=1e-9)
            # Rows of a day, the last of its candles.
            daily = curve.iloc[23::24]
            np.testing.assert_allclose(fee_curves.equity_at_fee(daily, trades, fee), expected[23::24], rtol=1e-9)
        returns = fee_curves.returns_at_fees(curve, trades, np.array(FEES))
        assert list(returns) == pytest.approx([100 * (market.ledger(fee).equity[-1] / CASH - 1) for fee in FEES])
        assert (np.diff(returns) < 0).all(), "a higher fee never gains"


def test_a_fill_at_the_very_moment_of_a_row_is_not_in_it() -> None:
    noon = pd.Timestamp("2024-01-01 12:00")
    curve = pd.DataFrame({"time": [noon, noon + STEP], "gross": [1.0, 1.0]})
    trades = pd.DataFrame({"entry_time": [noon], "exit_time": [pd.NaT], "exit_turnover": [np.nan], "exit_reason": None})
    assert list(fee_curves.equity_at_fee(curve, trades, 0.25)) == [1.0, 1 / 1.25]


def test_without_trades_no_fee_changes_the_curve_and_a_lost_account_stays_at_zero() -> None:
    hours = pd.date_range("2024-01-01", periods=4, freq=STEP)
    empty = hours[:0]
    none = pd.DataFrame({"entry_time": empty, "exit_time": empty, "exit_turnover": np.zeros(0), "exit_reason": None})
    curve = pd.DataFrame({"time": hours, "gross": [1.0, 0.5, -0.1, 0.3]})
    assert list(fee_curves.equity_at_fee(curve.assign(gross=1.0), none, 0.01)) == [1.0] * 4
    assert list(fee_curves.equity_at_fee(curve, none, 0.01)) == [1.0, 0.5, 0.0, 0.0]


def test_holding_at_any_fee_is_that_of_the_ledger() -> None:
    market = Market(3, (1.0,))
    market.target = np.where(np.arange(len(market.target)) == 0, 1.0, np.nan)
    curve = pd.DataFrame({"holding": market.ledger(0.001).equity / CASH})
    assert curve.holding[0] == 1.0
    for fee in FEES:
        expected = market.ledger(fee).equity / CASH
        np.testing.assert_allclose(fee_curves.holding_at_fee(curve, 0.001, fee), expected, rtol=1e-12)


def test_a_curve_of_another_sizing_is_found_out() -> None:
    market = Market(1, (-1.0, 0.0, 1.0))
    fixed = {"quantity": np.full(len(market.target), 3.0)}
    all_in, of_fixed = market.trades(0.001), market.trades(0.001, **fixed)
    assert fee_curves.can_bend(market.curve(0.001), all_in, 0.001, "all_in")
    assert not fee_curves.can_bend(market.curve(0.001, **fixed), of_fixed, 0.001, "fixed")
    assert not fee_curves.can_bend(market.curve(0.001), all_in, 0.0011, "all_in"), "another fee than the published one"
    assert not fee_curves.can_bend(market.curve(0.001), all_in.iloc[1:], 0.001, "all_in"), "a trade is missing"
    liquidated = all_in.assign(exit_reason="liquidation")
    assert not fee_curves.can_bend(market.curve(0.001), liquidated, 0.001, "all_in"), "at another fee it may survive"
    # Without costs every curve is reproduced.
    assert fee_curves.can_bend(market.curve(0.0), all_in, 0.0, "all_in")
    assert not fee_curves.can_bend(market.curve(0.0, **fixed), of_fixed, 0.0, "fixed")


def test_rows_as_trading_publishes_them_are_bent_exactly_stops_too() -> None:
    market = Market(4, (-1.0, 0.0, 1.0))
    close = market.candles[:, 3]
    # Stops 0.5 % away are hit often, within candles.
    stop = close * (1 - 0.005 * np.sign(np.nan_to_num(market.target)))
    opens = market.open_time.to_numpy("datetime64[ms]").astype(np.int64)
    score, places = np.zeros(len(opens)), last_of_days(opens)
    net, gross = market.ledger(0.001, stop=stop), market.ledger(0.0, stop=stop)
    assert sum(trade.exit_reason == "stop" for trade in net.trades) > 10
    rows = equity_rows("holdout", opens + 3_600_000, (net, gross, net), score, places)
    curve = pd.DataFrame(rows).assign(time=lambda frame: _utc(frame.time))
    trades = pd.DataFrame(trade_rows("holdout", list(net.trades), opens, score))
    trades = trades.assign(entry_time=_utc(trades.entry_time), exit_time=_utc(trades.exit_time))
    assert len(curve) == 17 and fee_curves.can_bend(curve, trades, 0.001, "all_in")
    expected = market.ledger(0.004, stop=stop).equity[places] / CASH
    np.testing.assert_allclose(fee_curves.bent(curve, trades, 0.001, 0.004).equity, expected, rtol=1e-9)


def _utc(texts: pd.Series) -> pd.Series:
    """ISO times as the snapshot has them, naive."""
    return pd.to_datetime(texts, utc=True).dt.tz_localize(None)


def test_parts_are_bent_by_their_own_trades() -> None:
    market = Market(2, (-1.0, 1.0))
    curve, trades = market.curve(0.001), market.trades(0.001)
    both = pd.concat([curve, curve.assign(part="paper", equity=curve.gross)])
    bent = fee_curves.bent(both, trades, 0.001, 0.004)
    assert list(bent.published) == list(both.equity) and len(bent) == 2 * len(curve)
    expected = np.concatenate([market.ledger(0.004).equity / CASH, curve.gross])
    np.testing.assert_allclose(bent.equity, expected, rtol=1e-9)
    assert fee_curves.can_bend(both, trades, 0.001, "all_in")
    assert not fee_curves.can_bend(both.assign(equity=both.gross), trades, 0.001, "all_in")
    assert not fee_curves.can_bend(both.iloc[:0], trades, 0.001, "all_in")


def test_months_compound_to_years_and_the_candle_that_closes_at_midnight_belongs_to_the_month_before() -> None:
    times = ["2023-12-31 12:00", "2024-01-01 00:00", "2024-01-15 00:00", "2024-02-01 00:00", "2024-02-02 00:00"]
    curve = pd.DataFrame({"time": pd.to_datetime(times), "equity": [1.05, 1.1, 1.3, 0.99, 1.089]})
    months = monthly_returns.monthly_returns(curve)
    # December 1 -> 1.1, January 1.1 -> .99, February .99 -> 1.089.
    assert list(zip(months.year, months.month, strict=True)) == [(2023, 12), (2024, 1), (2024, 2)]
    assert list(months.return_pct) == pytest.approx([10.0, -10.0, 10.0])
    assert monthly_returns.yearly_returns(months) == pytest.approx({2023: 10.0, 2024: -1.0})
    html = monthly_returns.month_table(months)
    assert html.count("<tr>") == 3 and html.count("<td></td>") == 11 + 10
    assert "+10.0" in html and "\N{MINUS SIGN}10.0" in html and ">\N{MINUS SIGN}1.0<" in html
    assert monthly_returns.monthly_returns(curve.iloc[:0]).empty


def rule(**changes: object) -> pd.Series:
    """A row of trading_rules: the example of the page's sentence."""
    figures = {
        "return_pct": -2.1, "holding_pct": 14.0, "lower_pct": -9.0, "upper_pct": 5.0, "trades": 38, "win_rate": 0.42,
        "profit_factor": 0.93, "max_drawdown_pct": 11.2, "sharpe": -0.2, "sortino": -0.3, "exposure": 0.5,
        "turnover": 76.0, "fees_share": 1.4, "break_even_fee_pct": 0.071,
    }  # fmt: skip
    row: dict[str, object] = {f"{part}_{name}": value for part in PARTS for name, value in figures.items()}
    row |= {"signal": "trend", "model": "ridge", "description": None, "reason": None, "buy": 0.2, "sell": -0.1,
            "long_only": True, "sizing": "all_in", "fee_pct": 0.1, "cost_pct": 0.1, "trials": 1000, "p_value": 0.4,
            "deflated_sharpe": 0.3, "decided_at": pd.Timestamp("2024-04-01"), "is_shown": False}  # fmt: skip
    return pd.Series(row | changes)


def without(part: str) -> dict[str, object]:
    return {name: None for name in rule().index if name.startswith(part)}


def text(html: str) -> str:
    return html.replace("<b>", "").replace("</b>", "").replace("&amp;", "&").replace("\N{MINUS SIGN}", "-")


def test_the_sentence_has_costs_and_luck_first_and_the_holdout_alone_decides() -> None:
    assert text(trading_figures.headline(rule())) == (
        "After 0.1 % a side: -2.1 %, buy & hold +14.0 %, 90 % range of the difference -9.0 to +5.0 %; 38 trades; "
        "not shown better than holding."
    )
    better = rule(is_shown=True, holdout_lower_pct=0.4)
    assert "; shown better than holding." in text(trading_figures.headline(better))
    assert trading_figures.tone(better) == "good" and trading_figures.tone(rule()) == ""
    worse = rule(holdout_upper_pct=-1.0)
    assert "; shown worse than holding." in text(trading_figures.headline(worse))
    assert trading_figures.tone(worse) == "bad"
    # A flag that its own range denies is not repeated, and neither is one without a holdout.
    for flagged in (rule(is_shown=True), rule(is_shown=True, holdout_lower_pct=None)):
        assert "not shown better than holding." in text(trading_figures.headline(flagged))
    unseen = rule(is_shown=True, **without("holdout"))
    assert "No holdout yet" in trading_figures.headline(unseen) and trading_figures.shown_word(unseen) == "not tested"
    assert "not tested against holding." in text(trading_figures.headline(rule(is_shown=None)))


def test_the_sentence_says_no_more_than_is_known() -> None:
    bare = text(trading_figures.headline(rule(
        cost_pct=None, holdout_holding_pct=None, holdout_lower_pct=float("nan"), holdout_trades=0
    )))  # fmt: skip
    assert bare == (
        "After costs: -2.1 %, buy & hold \N{EN DASH}, no range of the difference; no trades; "
        "not shown better than holding."
    )
    assert "1 trade;" in trading_figures.headline(rule(holdout_trades=1))
    assert "unknown number of trades;" in trading_figures.headline(rule(holdout_trades=None))


def test_validation_is_said_to_flatter_and_paper_to_be_live() -> None:
    validation, paper = trading_figures.other_parts(rule())
    assert validation.startswith("Validation, flatters, since it chose the rule out of 1,000: ")
    assert paper.startswith("Paper, live, sealed before each fill: ")
    assert trading_figures.other_parts(rule(**without("validation"), **without("paper"))) == []
    assert trading_figures.known_parts(rule()) == ["holdout", "validation", "paper"]
    assert trading_figures.known_parts(rule(**without("holdout"))) == ["validation", "paper"]


def test_all_rules_in_a_sentence() -> None:
    def sentence(*flags: object) -> str:
        rows = [rule(is_shown=flag, holdout_lower_pct=1.0) for flag in flags]
        return text(trading_figures.overview_sentence(pd.DataFrame(rows)))

    assert sentence(False, False) == "None of the 2 rules is shown better than holding after costs."
    assert sentence(True, False, None) == (
        "1 of the 3 rules is shown better than holding after costs. 1 is not tested against holding."
    )
    assert sentence(True, True).startswith("2 of the 2 rules are shown")
    assert sentence(None) == "Not tested against holding: the one rule."


def test_no_ratio_is_shown_below_thirty_trades_and_the_page_says_why() -> None:
    def labels(trades: int | None) -> set[str]:
        return {label for label, *_ in trading_figures.tiles(few(trades))}

    def few(trades: int | None) -> trading_figures.PartFigures:
        return trading_figures.part_figures(rule(holdout_trades=trades), "holdout")

    assert {"Sharpe", "Sortino"} <= labels(30) and trading_figures.few_trades_sentence(few(30)) == ""
    for trades in (29, 0, None):
        assert not {"Sharpe", "Sortino"} & labels(trades)
        assert "No Sharpe or Sortino ratio" in trading_figures.few_trades_sentence(few(trades))


def test_the_numbers_of_a_part() -> None:
    shown = {label: value for label, value, _ in trading_figures.tiles(trading_figures.part_figures(rule(), "paper"))}
    assert shown == {
        "Return": signed(-2.1, 1), "Buy & hold": "+14.0 %", "Over holding": signed(-14.1, 1),  # .979 / 1.14 - 1

        "90 % range": "\N{MINUS SIGN}9.0 to +5.0 %", "Trades": "38", "Win rate": "42 %", "Profit factor": "0.93",
        "Max drawdown": "11.2 %", "Exposure": "50 %", "Turnover": "76.0 x", "Fees' share": "140 %",
        "Break-even fee": "0.071 %", "Sharpe": "-0.20", "Sortino": "-0.30",
    }  # fmt: skip
    nothing = trading_figures.tiles(trading_figures.part_figures(rule(**without("paper")), "paper"))
    assert {value for _, value, _ in nothing} == {"\N{EN DASH}"}


def test_the_description_names_thresholds_and_escapes_its_texts() -> None:
    said = trading_figures.description(rule(model="<img>", description="a<b", sizing=None, decided_at=pd.NaT))
    assert "&lt;img&gt;" in said and "a&lt;b" in said and "buy from +0.20, sell from \N{MINUS SIGN}0.10" in said
    assert "long only" in said and "sizing" not in said and "chosen" not in said


def made_trades() -> pd.DataFrame:
    """A gain, a loss, a draw and an open trade, oldest first."""
    noon = pd.Timestamp("2024-01-01 12:00")
    return pd.DataFrame({
        "part": ["validation", "holdout", "holdout", "paper"], "number": [1, 1, 2, 1],
        "side": ["long", "short", "long", "long"], "entry_time": [noon + n * STEP for n in (0, 5, 10, 15)],
        "exit_time": [noon + 2 * STEP, noon + 7 * STEP, noon + 12 * STEP, pd.NaT], "entry_price": 100.0,
        "exit_price": [101.0, 102.0, 100.2, None], "quantity": 1.0, "fees": 0.2, "slippage": 0.0,
        "pnl": [0.8, -2.2, 0.0, 3.0], "return_pct": [0.8, -2.2, 0.0, 3.0], "balance": [1.0, 2.0, 3.0, None],
        "entry_reason": "signal", "exit_reason": ["target", "stop", "signal", None], "entry_score": 0.4,
    })  # fmt: skip


def test_trades_are_filtered_by_part_side_outcome_and_reason() -> None:
    trades = trade_blotter.with_outcomes(made_trades())
    assert list(trades.outcome) == ["open", "lost", "lost", "won"], "the newest first; a draw gains nothing"
    assert list(trades.why) == ["signal → still open", "signal → signal", "signal → stop", "signal → target"]

    def kept(**choices: str) -> list[float]:
        return list(trade_blotter.filtered(trades, trade_blotter.Filters(**choices)).pnl)

    assert kept() == [3.0, 0.0, -2.2, 0.8]
    assert kept(part="holdout") == [0.0, -2.2] and kept(side="short") == [-2.2]
    assert kept(outcome="won") == [0.8] and kept(outcome="open") == [3.0]
    assert kept(reason="stop") == [-2.2] and kept(part="holdout", outcome="won") == []


def test_the_csv_has_the_filtered_rows_and_every_digit() -> None:
    trades = trade_blotter.with_outcomes(made_trades().assign(entry_price=100.123456789012))
    lines = trade_blotter.blotter_csv(trades.iloc[3:]).decode().splitlines()
    assert lines[0].startswith("part,number,side,entry_time,exit_time,entry_price,")
    assert lines[1].startswith("validation,1,long,2024-01-01T12:00:00Z,2024-01-01T14:00:00Z,100.123456789012,")
    assert len(lines) == 2


def test_a_trade_is_shown_on_candles_only_if_they_reach_back_to_its_entry() -> None:
    opens = pd.date_range("2024-01-01", periods=60, freq=STEP)
    candles = pd.DataFrame({"open_time": opens, "close_time": opens + STEP, **dict.fromkeys(
        ("open", "high", "low", "close"), 100.0)})  # fmt: skip
    candles.loc[25, ["open", "high", "low", "close"]] = np.nan

    def shown(entry: int, leave: int | None) -> pd.DataFrame:
        end = pd.NaT if leave is None else opens[0] + leave * STEP
        return trade_blotter.candles_around(
            candles, pd.Series({"entry_time": opens[0] + entry * STEP, "exit_time": end})
        )

    around = shown(20, 30)
    # Twelve candles before 20; after 30 twelve more; the gap at 25 has no candle.
    assert (around.open_time.iloc[0], around.open_time.iloc[-1]) == (opens[8], opens[42]) and len(around) == 34
    assert shown(50, None).open_time.iloc[-1] == opens[59] and len(shown(0, 59)) == 59
    assert shown(-1, 5).empty and shown(60, None).empty
    assert trade_blotter.candles_around(
        candles.iloc[:0], pd.Series({"entry_time": opens[0], "exit_time": pd.NaT})
    ).empty


def test_the_drawdown_begins_at_the_start_of_the_part() -> None:
    assert list(trading_charts.drawdown(pd.Series([0.9, 1.2, 0.6]))) == pytest.approx([-10.0, 0.0, -50.0])


def test_signals_are_those_of_the_candle_that_just_closed() -> None:
    noon = pd.Timestamp("2024-01-01 12:00")
    signals = pd.DataFrame({
        "exchange": "binance", "symbol": ["A", "A", "B"], "timeframe": "1h", "signal": ["<x>", "old", "x"],
        "close_time": [noon, noon - STEP, noon], "score": [0.314, 0.5, None], "side": [1, 1, None],
        "signs": ["▲▲", "▲", None],
    })  # fmt: skip

    def said(symbol: str) -> str:
        return signal_texts.of_candle(signals, "binance", symbol, "1h", noon)

    assert said("A") == "Signal &lt;x&gt;: long"
    assert signal_texts.score_text(signals.iloc[0]) == 'score <b>+0.31</b> <span class="up">▲▲</span>, long'
    assert said("B") == "Signal x: no score" and said("C") == ""
