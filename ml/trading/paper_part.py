"""The part "paper" of the trading tables: figures, equity per candle, and trades of sealed signals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.trading.blotter import equity_rows, trade_rows
from ml.trading.break_even import break_even_fee, equity_at_fee
from ml.trading.ledger import CASH, Ledger
from ml.trading.paper import DELAY, Paper
from ml.trading.performance import buy_and_hold
from ml.trading.records import EquityRow, TradeRow, TradingFigures
from ml.trading.selection import Trader, trading_figures

PAPER = "paper"


@dataclass(frozen=True, eq=False)
class PaperPart:
    """Paper trades as rows.

    Attributes:
        trader: signal and costs.
        traded: its trades through at least one candle, after costs and before fees.
        candles: (n, 5) of the steps.
        open_time_ms: (n,) of them.
        timeframe_ms: length of a candle.
    """

    trader: Trader
    traded: tuple[Paper, Paper]
    candles: Floats
    open_time_ms: npt.NDArray[np.int64]
    timeframe_ms: int

    @property
    def _paper(self) -> Paper:
        return self.traded[0]

    @property
    def figures(self) -> TradingFigures:
        """Against holding from the first candle that could be traded."""
        return trading_figures(self._paper.ledger(CASH), self._holding(), self.open_time_ms, self._break_even())

    def _holding(self) -> Ledger:
        return buy_and_hold(self.candles, self.open_time_ms, CASH, self.trader.costs)

    def _break_even(self) -> float | None:
        """None where positions do not have all of the equity: another fee would have given other quantities."""
        if self.trader.signal.sizing.kind != "all_in":
            return None
        before = self.traded[1].ledger(CASH)
        return break_even_fee(lambda fee: float(np.nan_to_num(equity_at_fee(before, fee)[-1])), CASH)

    @property
    def equity(self) -> list[EquityRow]:
        """A row per candle."""
        curves = (self._paper.ledger(CASH), self.traded[1].ledger(CASH), self._holding())
        every = np.arange(len(self.open_time_ms))
        return equity_rows(PAPER, self.open_time_ms + self.timeframe_ms, curves, self._paper.score, every)

    @property
    def trades(self) -> list[TradeRow]:
        """A row per trade; the last one may be open."""
        return trade_rows(PAPER, self._paper.trades, self.open_time_ms, self._paper.score, DELAY)
