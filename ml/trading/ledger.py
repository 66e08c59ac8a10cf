"""The ledger: one engine that turns target positions into fills, trades and equity, by the rule cw-ledger-1.

A target is set at the close of a candle and fills at the open of the next one that exists. A buy costs the open times
1 + slippage, a sale yields the open times 1 - slippage; the fee is a rate of the value of each fill, in quote units. A
turn from long to short is two trades at one price, which share the fee of the order by their quantities. At most a
share of a candle's volume fills, the rest waits for the next open; all fills of a position are one trade. A position
that is open at the end is marked at the last close and does not count as a trade.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.timeframes import DAY_MS

OPEN, CLOSE, VOLUME = 0, 3, 4
#: Span of the own volume that sets the tier of a fee.
TIER_MS = 30 * DAY_MS
#: Quantities below this share of the position are rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Costs:
    """What trading costs.

    Attributes:
        fee: (least own volume of 30 days in quote units, rate of each side) ascending; the first begins at 0.
        slippage: share of the price by which each fill is worse than the open.
        volume_share: largest share of a candle's volume that fills; None: all fills.
    """

    fee: tuple[tuple[float, float], ...] = ((0.0, 0.001),)
    slippage: float = 0.0
    volume_share: float | None = None

    @classmethod
    def flat(cls, fee: float, slippage: float = 0.0) -> Costs:
        """One rate for every volume."""
        return cls(((0.0, fee),), slippage)

    def rate(self, volume: float) -> float:
        """The rate of a fill after an own volume."""
        return next(rate for least, rate in reversed(self.fee) if volume >= least)


@dataclass(frozen=True)
class Fill:
    """A part of an order that was filled at the open of a candle; price and fee in quote units."""

    bar: int
    side: str
    qty: float
    price: float
    fee: float


@dataclass(frozen=True)
class Trade:
    """A position from flat to flat; `exit_bar` is None if it is open at the end, and marked at the last close.

    `ret` is the net gain over the value at entry with its fee.
    """

    side: str
    entry_bar: int
    exit_bar: int | None
    qty: float
    pnl: float
    ret: float


@dataclass(frozen=True, eq=False)
class Ledger:
    """The outcome of a rule.

    Attributes:
        cash: at the start.
        fills: in time order.
        trades: in time order; the last one may be open.
        equity: (n,) at the close of each candle.
        exposed: (n,) candles that close with a position.
    """

    cash: float
    fills: Sequence[Fill]
    trades: Sequence[Trade]
    equity: Floats
    exposed: npt.NDArray[np.bool_]


@dataclass
class _Position:
    """The open position and the sums of its trade."""

    qty: float = 0.0
    entry_bar: int = 0
    entry_qty: float = 0.0
    entry_value: float = 0.0
    entry_fee: float = 0.0
    exit_value: float = 0.0
    exit_fee: float = 0.0

    def enter(self, bar: int, signed: float, price: float, fee: float) -> None:
        if self.qty == 0:
            self.entry_bar = bar
        self.qty += signed
        self.entry_qty += abs(signed)
        self.entry_value += abs(signed) * price
        self.entry_fee += fee

    def leave(self, qty: float, price: float, fee: float) -> None:
        """Reduce the position by a quantity."""
        self.qty -= math.copysign(qty, self.qty)
        self.exit_value += qty * price
        self.exit_fee += fee

    def trade(self, exit_bar: int | None, held: float) -> Trade:
        """The trade of a position that was, or is, of the sign of `held`."""
        pnl = math.copysign(1.0, held) * (self.exit_value - self.entry_value) - self.entry_fee - self.exit_fee
        named = "long" if held > 0 else "short"
        ret = pnl / (self.entry_value + self.entry_fee)
        return Trade(named, self.entry_bar, exit_bar, self.entry_qty, pnl, ret)


@dataclass
class _Book:
    """Cash, position and all fills so far."""

    cash: float
    costs: Costs
    times_ms: npt.NDArray[np.int64]
    position: _Position = field(default_factory=_Position)
    fills: list[Fill] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)

    def rate_at(self, bar: int) -> float:
        """The fee of a fill in a candle, by the volume of the 30 days strictly before it."""
        if len(self.costs.fee) == 1:
            return self.costs.fee[0][1]
        since = self.times_ms[bar] - TIER_MS
        recent = (one for one in self.fills if since <= self.times_ms[one.bar] < self.times_ms[bar])
        return self.costs.rate(sum(one.qty * one.price for one in recent))

    def price(self, side: float, opens: float) -> float:
        return opens * (1 + math.copysign(self.costs.slippage, side))

    def fill(self, bar: int, signed: float, opens: float) -> None:
        """Buy (above 0) or sell a quantity at the open of a candle."""
        price, rate = self.price(signed, opens), self.rate_at(bar)
        qty = abs(signed)
        fee = rate * price * qty
        self.fills.append(Fill(bar, "buy" if signed > 0 else "sell", qty, price, fee))
        self.cash -= signed * price + fee
        held = self.position.qty
        closed = min(qty, abs(held)) if held * signed < 0 else 0.0
        if closed:
            self.position.leave(closed, price, fee * closed / qty)
            if abs(self.position.qty) <= ROUNDING * abs(held):
                self.trades.append(self.position.trade(bar, held))
                self.position = _Position()
        if qty > closed * (1 + ROUNDING):
            self.position.enter(bar, math.copysign(qty - closed, signed), price, fee * (qty - closed) / qty)


def run_ledger(
    candles: Floats,
    open_time_ms: npt.NDArray[np.int64],
    target: Floats,
    *,
    cash: float,
    costs: Costs,
    quantity: Floats | None = None,
) -> Ledger:
    """Trade the targets of a rule.

    Args:
        candles: (n, 5) open high low close volume, oldest first; missing candles have no row.
        open_time_ms: (n,) milliseconds since 1970-01-01 UTC.
        target: (n,) side that the rule wants at the close: 1 long, 0 flat, -1 short, NaN as before. A side that is held
            or ordered already changes nothing.
        cash: at the start, in quote units.
        costs: of each fill.
        quantity: (n,) in base units, of a position that a target opens; None: all of the equity, with the fee inside.

    Raises:
        ValueError: lengths differ, prices are not above 0, a target is no side, or one that opens has no quantity.
    """
    _check(candles, open_time_ms, target, quantity)
    book = _Book(cash, costs, open_time_ms)
    equity, exposed = np.empty(len(candles)), np.zeros(len(candles), bool)
    side, goal = 0.0, 0.0
    for bar, candle in enumerate(candles):
        wanted = target[bar - 1] if bar else math.nan
        if not math.isnan(wanted) and wanted != side:
            side = wanted
            sized = _all_in(book, bar, side, candle[OPEN]) if quantity is None else float(quantity[bar - 1])
            goal = side * sized if side else 0.0  # a target of 0 needs no quantity
        order = goal - book.position.qty
        if costs.volume_share is not None:
            order = math.copysign(min(abs(order), costs.volume_share * candle[VOLUME]), order)
        if abs(order) > ROUNDING * max(abs(goal), abs(book.position.qty)):
            book.fill(bar, order, candle[OPEN])
        equity[bar] = book.cash + book.position.qty * candle[CLOSE]
        exposed[bar] = book.position.qty != 0
    return Ledger(cash, book.fills, [*book.trades, *_marked(book, candles[-1, CLOSE])], equity, exposed)


def _check(candles: Floats, open_time_ms: npt.NDArray[np.int64], target: Floats, quantity: Floats | None) -> None:
    lengths = {len(candles), len(open_time_ms), len(target), len(candles if quantity is None else quantity)}
    if len(lengths) != 1 or not len(candles):
        raise ValueError(f"candles, times, targets and quantities have different lengths, or none: {sorted(lengths)}")
    if not (candles[:, : CLOSE + 1] > 0).all():
        raise ValueError("a price is not above 0")
    if not np.isin(target[~np.isnan(target)], (-1.0, 0.0, 1.0)).all():
        raise ValueError("a target is none of -1, 0, 1 and NaN")
    opens = np.abs(np.nan_to_num(target)) > 0
    if quantity is not None and not (quantity[opens] > 0).all():
        raise ValueError("a target that opens a position has no quantity above 0")


def _all_in(book: _Book, bar: int, side: float, opens: float) -> float:
    """The quantity that all of the equity buys or sells, after the open position is closed, with all fees inside."""
    price, rate, held = book.price(side, opens), book.rate_at(bar), book.position.qty
    left = book.cash + held * price - rate * price * abs(held) * (held * side < 0)
    return max(left, 0.0) / (price * (1 + rate))


def _marked(book: _Book, close: float) -> list[Trade]:
    """The trade that is open at the end, marked at the last close."""
    position = book.position
    if position.qty == 0:
        return []
    held = position.qty
    position.exit_value += abs(held) * close
    return [position.trade(None, held)]
