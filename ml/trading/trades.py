"""Fills, the trades that they add up to, and the open position between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

#: The cause of a fill: an order, a level that was reached, or the end of the horizon.
Reason = Literal["signal", "stop", "target", "horizon", "liquidation"]


@dataclass(frozen=True)
class Fill:
    """A part of an order that was filled in a candle; price, fee and slippage in quote units.

    `slippage` is the loss against the open, or against the level of a stop or target; it is in the price already.
    """

    bar: int
    side: str
    qty: float
    price: float
    fee: float
    slippage: float = 0.0
    reason: Reason = "signal"


@dataclass(frozen=True)
class Trade:
    """A position from flat to flat; `exit_bar` is None if it is open at the end, and marked at the last close.

    Attributes:
        side: "long" or "short".
        entry_bar: of the first fill.
        exit_bar: of the last fill; None: open.
        qty: in base units, of all fills of the entry.
        pnl: net gain in quote units.
        ret: net gain over the value at entry with its fee.
        entry_price: mean of the fills.
        exit_price: mean of the fills; of an open one with the last close for the rest.
        fees: of entry and exit.
        slippage: of entry and exit.
        balance: equity after the exit and its fee; of an open one at the last close.
        exit_turnover: value of the exit over the equity before its fee; None: open, or that equity is not above 0.
        entry_reason: of the first fill.
        exit_reason: of the last fill; None: open.
    """

    side: str
    entry_bar: int
    exit_bar: int | None
    qty: float
    pnl: float
    ret: float
    entry_price: float
    exit_price: float
    fees: float
    slippage: float
    balance: float
    exit_turnover: float | None
    entry_reason: Reason
    exit_reason: Reason | None


@dataclass
class Position:
    """The open position and the sums of its trade; `qty` is below 0 for a short one."""

    qty: float = 0.0
    entry_bar: int = 0
    entry_qty: float = 0.0
    entry_value: float = 0.0
    entry_fee: float = 0.0
    exit_value: float = 0.0
    exit_fee: float = 0.0
    slippage: float = 0.0
    entry_reason: Reason = "signal"

    def enter(self, fill: Fill, signed: float, share: float) -> None:
        """Add the signed quantity of a fill, which is a share of it."""
        if self.qty == 0:
            self.entry_bar, self.entry_reason = fill.bar, fill.reason
        self.qty += signed
        self.entry_qty += abs(signed)
        self.entry_value += abs(signed) * fill.price
        self.entry_fee += fill.fee * share
        self.slippage += fill.slippage * share

    def leave(self, fill: Fill, qty: float, share: float) -> None:
        """Reduce the position by the quantity of a fill, which is a share of it."""
        self.qty -= math.copysign(qty, self.qty)
        self.exit_value += qty * fill.price
        self.exit_fee += fill.fee * share
        self.slippage += fill.slippage * share

    def closed(self, fill: Fill, held: float, balance: float, fee: float) -> Trade:
        """The trade that a fill has ended.

        Args:
            fill: the last one of the exit.
            held: of the sign of the position before it.
            balance: equity after it.
            fee: its part of the fee of the fill.
        """
        before = balance + fee
        turnover = self.exit_value / before if before > 0 else None
        trade = self._trade(held, self.exit_value, balance)
        return replace(trade, exit_bar=fill.bar, exit_turnover=turnover, exit_reason=fill.reason)

    def marked(self, close: float, equity: float) -> Trade:
        """The trade of the open position, of which the rest is valued at a close."""
        return self._trade(self.qty, self.exit_value + abs(self.qty) * close, equity)

    def _trade(self, held: float, exit_value: float, balance: float) -> Trade:
        pnl = math.copysign(1.0, held) * (exit_value - self.entry_value) - self.entry_fee - self.exit_fee
        return Trade(
            side="long" if held > 0 else "short",
            entry_bar=self.entry_bar,
            exit_bar=None,
            qty=self.entry_qty,
            pnl=pnl,
            ret=pnl / (self.entry_value + self.entry_fee),
            entry_price=self.entry_value / self.entry_qty,
            exit_price=exit_value / self.entry_qty,
            fees=self.entry_fee + self.exit_fee,
            slippage=self.slippage,
            balance=balance,
            exit_turnover=None,
            entry_reason=self.entry_reason,
            exit_reason=None,
        )
