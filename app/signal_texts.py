"""The newest signals of a series in words: score, signs of its distance to the threshold, and the target side."""

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
    """Signals of a series at the close of a candle as HTML; empty where there are none of that candle.

    Args:
        signals: rows of `NEWEST_SQL`.
        exchange, symbol, timeframe: the series.
        close_time: close of the candle; older signals, of a model that serves no more, are left out.
    """
    rows = signals[
        (signals.exchange == exchange) & (signals.symbol == symbol) & (signals.timeframe == timeframe)
        & (signals.close_time == close_time)
    ]  # fmt: skip
    return "<br>".join(f"Signal {escape(str(row.signal))}: {score_text(row)}" for _, row in rows.iterrows())


def score_text(signal: pd.Series) -> str:
    """Score, signs and side as HTML; `signal` is a row of trading_signals."""
    if formats.is_missing(signal.score):
        return "no score"
    signs = "" if formats.is_missing(signal.signs) else escape(str(signal.signs))
    tone = "up" if "▲" in signs else "down" if "▼" in signs else "flat"
    marks = f' <span class="{tone}">{signs}</span>' if signs else ""
    side = "" if formats.is_missing(signal.side) else f", {SIDES.get(int(signal.side), 'unknown side')}"
    return f"score <b>{formats.signed(signal.score)}</b>{marks}{side}"
