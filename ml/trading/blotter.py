"""Rows of the trading tables: the equity curve of a part, and its trades."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.timeframes import utc_text
from ml.trading.ledger import Ledger
from ml.trading.records import EquityRow, TradeRow
from ml.trading.trades import Trade


def equity_rows(
    part: str,
    close_time_ms: npt.NDArray[np.int64],
    curves: tuple[Ledger, Ledger, Ledger],
    score: Floats,
    places: npt.NDArray[np.int64],
) -> list[EquityRow]:
    """Rows of the equity curves, each indexed to 1 by its cash.

    Args:
        part: its name.
        close_time_ms: (n,) when the candles close.
        curves: after costs, before fees, and of holding.
        score: (n,) of the candles.
        places: (m,) candles that get a row.
    """
    after, before, holding = curves
    return [
        {
            "part": part,
            "time": utc_text(int(close_time_ms[place])),
            "gross": float(before.equity[place] / before.cash),
            "equity": float(after.equity[place] / after.cash),
            "holding": float(holding.equity[place] / holding.cash),
            "score": none_if_nan(score[place]),
            "side": int(np.sign(after.position[place])),
        }
        for place in places
    ]


def trade_rows(
    part: str, trades: Sequence[Trade], open_time_ms: npt.NDArray[np.int64], score: Floats, delay: int = 0
) -> list[TradeRow]:
    """Rows of trades, whose bars are places of the candles with these open times (n,) and scores (n,).

    Args:
        part: its name.
        trades: in time order.
        open_time_ms: of the candles.
        score: at the close of each candle.
        delay: candles between the next open and the one at which an order fills.
    """
    return [
        {
            "part": part,
            "number": number,
            "side": trade.side,
            "entry_time": utc_text(int(open_time_ms[trade.entry_bar])),
            "exit_time": None if trade.exit_bar is None else utc_text(int(open_time_ms[trade.exit_bar])),
            "entry_price": trade.entry_price,
            "exit_price": None if trade.exit_bar is None else trade.exit_price,
            "quantity": trade.qty,
            "fees": trade.fees,
            "slippage": trade.slippage,
            "pnl": trade.pnl,
            "return_pct": 100 * trade.ret,
            "balance": trade.balance,
            "exit_turnover": trade.exit_turnover,
            "entry_reason": trade.entry_reason,
            "exit_reason": trade.exit_reason,
            "entry_score": none_if_nan(score[max(trade.entry_bar - 1 - delay, 0)]),
        }
        for number, trade in enumerate(trades, 1)
    ]


def none_if_nan(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
