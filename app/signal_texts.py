"""The newest signals of a series in words: score, and the side of its rule. The signs are on the page Trading only."""

from __future__ import annotations

from html import escape

import pandas as pd

from app import formats

SIDES = {1: "long", 0: "flat", -1: "short"}

NEWEST_SQL = """
select * from trading_signals
qualify row_number() over (partition by exchange, symbol, timeframe, signal order by open_time desc) = 1
order by exchange, symbol, timeframe, signal
"""


def of_candle(signals: pd.DataFrame, exchange: str, symbol: str, timeframe: str, close_time: pd.Timestamp) -> str:
    """The side of each signal of a series at the close of a candle as HTML; empty where there are none of that candle.

    Neither scores nor arrows: on a card of a forecast they read as a tested call of the direction.

    Args:
        signals: rows of `NEWEST_SQL`.
        exchange, symbol, timeframe: the series.
        close_time: close of the candle; older signals, of a model that serves no more, are left out.
    """
    rows = signals[
        (signals.exchange == exchange) & (signals.symbol == symbol) & (signals.timeframe == timeframe)
        & (signals.close_time == close_time)
    ]  # fmt: skip
    return "<br>".join(f"Signal {escape(str(row.signal))}: {side_text(row)}" for _, row in rows.iterrows())


def side_text(signal: pd.Series) -> str:
    """The target side of a row of trading_signals; a signal without a rule has none."""
    if formats.is_missing(signal.score):
        return "no score"
    return "no rule" if formats.is_missing(signal.side) else SIDES.get(int(signal.side), "unknown side")


def score_text(signal: pd.Series) -> str:
    """Score, signs and side as HTML; `signal` is a row of trading_signals."""
    if formats.is_missing(signal.score):
        return "no score"
    signs = "" if formats.is_missing(signal.signs) else escape(str(signal.signs))
    tone = "up" if "▲" in signs else "down" if "▼" in signs else "flat"
    marks = f' <span class="{tone}">{signs}</span>' if signs else ""
    side = "" if formats.is_missing(signal.side) else f", {side_text(signal)}"
    return f"score <b>{formats.signed(signal.score)}</b>{marks}{side}"
