"""The list of trades: its columns, filters, and the time around one trade."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

ALL = "All"
OUTCOMES = ("won", "lost", "open")

#: Candles shown before the entry and after the exit of a trade, and days where only the equity is known.
MARGIN_CANDLES = 12
MARGIN_DAYS = 10


@dataclass(frozen=True)
class Filters:
    """Choices over the trades; `ALL` leaves all."""

    part: str = ALL
    side: str = ALL
    outcome: str = ALL
    reason: str = ALL


def with_outcomes(trades: pd.DataFrame) -> pd.DataFrame:
    """The trades, newest first, with outcome ("won": gained after costs, "lost", "open") and why.

    Args:
        trades: rows of trading_trades.
    """
    open_ones = trades.exit_time.isna()
    outcome = pd.Series("lost", trades.index).mask(trades.pnl > 0, "won").mask(open_ones, "open")
    entered = trades.entry_reason.fillna("unknown").astype(str)
    left = trades.exit_reason.fillna("unknown").astype(str).mask(open_ones, "still open")
    return trades.assign(outcome=outcome, left=left, why=entered + " → " + left).sort_values(
        ["entry_time", "number"], ascending=False, ignore_index=True
    )


def filtered(trades: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    """Rows of `with_outcomes` that pass all filters; `reason` is that of the exit."""
    wanted = {"part": filters.part, "side": filters.side, "outcome": filters.outcome, "left": filters.reason}
    kept = pd.Series(True, trades.index)
    for column, choice in wanted.items():
        if choice != ALL:
            kept &= trades[column] == choice
    return trades[kept].reset_index(drop=True)


def blotter_csv(trades: pd.DataFrame) -> bytes:
    """The trades as CSV, with full precision and UTC times."""
    columns = [
        "part", "number", "side", "entry_time", "exit_time", "entry_price", "exit_price", "quantity", "fees",
        "slippage", "pnl", "return_pct", "balance", "entry_reason", "exit_reason", "entry_score", "outcome",
    ]  # fmt: skip
    return trades[columns].to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ").encode()


def candles_around(candles: pd.DataFrame, trade: pd.Series) -> pd.DataFrame:
    """The candles from before the entry to after the exit; empty where the published ones do not reach so far.

    Args:
        candles: open_time, close_time, open, high, low, close of the series, in order of time; gaps are null.
        trade: a row of trading_trades.
    """
    known = candles.dropna(subset=["open", "high", "low", "close"]).reset_index(drop=True)
    if known.empty or known.open_time.iloc[0] > trade.entry_time or known.close_time.iloc[-1] <= trade.entry_time:
        return known.iloc[:0]
    end = known.open_time.iloc[-1] if pd.isna(trade.exit_time) else trade.exit_time
    first, last = known.open_time.searchsorted(trade.entry_time), known.open_time.searchsorted(end, side="right")
    return known.iloc[max(int(first) - MARGIN_CANDLES, 0) : int(last) + MARGIN_CANDLES]


def equity_around(curve: pd.DataFrame, trade: pd.Series) -> pd.DataFrame:
    """Rows of the trade's part of the equity from before its entry to after its exit.

    Args:
        curve: rows of trading_equity of the rule, in order of time.
        trade: a row of trading_trades.
    """
    of_part = curve[curve.part == trade.part]
    margin = pd.Timedelta(days=MARGIN_DAYS)
    end = of_part.time.max() if pd.isna(trade.exit_time) else trade.exit_time + margin
    around: pd.DataFrame = of_part[of_part.time.between(trade.entry_time - margin, end)]
    return around
