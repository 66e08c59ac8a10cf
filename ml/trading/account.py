"""The account: the one engine that fills orders, candle by candle, by the rule cw-ledger-1.

An order is the target position that a rule wants, set at the close of a candle; it fills at the open of the next candle
that exists, or a delay later. A buy costs the open times 1 + slippage, a sale yields the open times 1 - slippage; the
fee is a rate of the value of each fill, in quote units. A turn from long to short is two trades at one price, which
share the fee of the order by their quantities. At most a share of a candle's volume fills, the rest waits for the next
open; all fills of a position are one trade.

Within a candle the order of events is: orders due and the end of the horizon, at the open; then the levels of the
position, those of a loss before the target where the candle reaches several; then the close, at which equity
is valued and the next order is set. A level that the open has passed already fills at the open, any other at the level;
slippage worsens both.

A position is liquidated at the price at which closing it leaves nothing: a short one, and a long one that is larger
than the cash. Only a gap through that price leaves debts. An account without equity opens nothing any more. Exchanges
liquidate a little earlier, at their maintenance margin, and keep the rest.

An account is stored as a record from which it continues to the bit, so that backtest and paper trading are one engine.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

from ml.data.candle_columns import VOLUME
from ml.trading.costs import TIER_MS, Costs
from ml.trading.orders import HOLD, Order, OrderRecord, or_nan, or_null
from ml.trading.trades import Fill, Position, Reason, Trade

#: Quantities below this share of the position are rounding.
ROUNDING = 1e-12


class Step(NamedTuple):
    """The events of a candle.

    Attributes:
        fills: in time order.
        trades: that ended.
        equity: at the close, in quote units.
        position: at the close, in base units, below 0 for a short one.
    """

    fills: Sequence[Fill]
    trades: Sequence[Trade]
    equity: float
    position: float


class CostsRecord(TypedDict):
    """`Costs` as JSON."""

    fee: list[list[float]]
    slippage: float
    volume_share: float | None


class PositionRecord(TypedDict):
    """`Position` as JSON."""

    qty: float
    entry_bar: int
    entry_qty: float
    entry_value: float
    entry_fee: float
    exit_value: float
    exit_fee: float
    slippage: float
    entry_reason: Reason


class AccountRecord(TypedDict):
    """`Account` as JSON. Doubles survive it to the bit, null is NaN."""

    costs: CostsRecord
    horizon: int | None
    delay: int
    cash: float
    bar: int
    time_ms: int | None
    side: float
    goal: float
    reason: Reason
    stop: float | None
    take_profit: float | None
    since: int | None
    position: PositionRecord
    pending: list[tuple[int, OrderRecord]]
    volumes: list[tuple[int, float]]


@dataclass
class _State:
    """Where an account is: all that the next candle depends on, apart from its settings."""

    cash: float
    #: The newest candle, by number from 0, and its time.
    bar: int = -1
    time_ms: int | None = None
    #: The side that is held or being traded to, its signed quantity, and the cause of the trade to it.
    side: float = 0.0
    goal: float = 0.0
    reason: Reason = "signal"
    stop: float = math.nan
    take_profit: float = math.nan
    #: The candle in which the position of this side began.
    since: int | None = None
    position: Position = field(default_factory=Position)
    #: (candle in which it is due, order), the next one first.
    pending: deque[tuple[int, Order]] = field(default_factory=deque)
    #: (time, value) of the fills of the last 30 days, where they set the fee.
    volumes: deque[tuple[int, float]] = field(default_factory=deque)


class Account:
    """Cash, position, orders and costs, advanced by one candle after the other.

    Args:
        cash: at the start, in quote units.
        costs: of each fill.
        horizon: candles after which a position is closed at the open, counted from the one in which it began; None:
            never.
        delay: candles by which an order fills later than at the next open. An order that is sealed within the candle
            after its own can fill only in the one after that: it has a delay of 1.

    Raises:
        ValueError: the cash is not above 0, the horizon is below 1, or the delay below 0.
    """

    def __init__(self, cash: float, costs: Costs, *, horizon: int | None = None, delay: int = 0) -> None:
        if not 0 < cash < math.inf:
            raise ValueError(f"the cash is not above 0: {cash}")
        if horizon is not None and horizon < 1:
            raise ValueError(f"the horizon is {horizon} candles; give at least 1, or None for no end")
        if delay < 0:
            raise ValueError(f"the delay is {delay} candles; give 0 for a fill at the next open, or more")
        self.costs, self.horizon, self.delay = costs, horizon, delay
        self._state = _State(float(cash))

    @property
    def bar(self) -> int:
        """Number of the newest candle, from 0; -1 before the first one."""
        return self._state.bar

    @property
    def time_ms(self) -> int | None:
        """When the newest candle opened; None before the first one."""
        return self._state.time_ms

    @property
    def cash(self) -> float:
        """In quote units; a short position adds its proceeds."""
        return self._state.cash

    @property
    def position(self) -> float:
        """In base units, below 0 for a short one."""
        return self._state.position.qty

    @property
    def side(self) -> float:
        """1, 0 or -1: the side that is held or being traded to."""
        return self._state.side

    def equity(self, price: float) -> float:
        """Cash and position at a price."""
        return self._state.cash + self._state.position.qty * price

    def open_trade(self, close: float) -> Trade | None:
        """The trade of the open position, marked at a close; None if there is none."""
        position = self._state.position
        return position.marked(close, self.equity(close)) if position.qty else None

    def advance(self, candle: Sequence[float], time_ms: int, order: Order = HOLD) -> Step:
        """Go through one candle: fill at its open and at the levels it reaches, value at its close, take an order.

        Args:
            candle: open, high, low, close, volume.
            time_ms: when it opened, in milliseconds since 1970-01-01 UTC.
            order: set at its close; it fills at the open of the next candle, or `delay` candles later.

        Raises:
            ValueError: a price or the volume has no meaning, or the candle is not later than the one before. The
                account is as before.
        """
        state = self._state
        opens, high, low, close = self._checked(candle, time_ms)
        state.bar, state.time_ms = state.bar + 1, int(time_ms)
        fills: list[Fill] = []
        trades: list[Trade] = []
        self._take_due(opens)
        self._end_at_horizon()
        share = self.costs.volume_share
        room = math.inf if share is None else share * float(candle[VOLUME])
        room -= self._trade(opens, room, fills, trades)
        level = self._level_reached(opens, high, low)
        if level is not None:
            price, reason = level
            self._turn(0.0, 0.0, reason)
            # The exchange takes a liquidated position over whole, as the volume is no limit to it.
            self._trade(price, math.inf if reason == "liquidation" else room, fills, trades)
            if reason == "liquidation":
                state.cash = min(state.cash, 0.0)  # without the rounding, which is no capital
        self.place(order)
        return Step(fills, trades, self.equity(close), state.position.qty)

    def _checked(self, candle: Sequence[float], time_ms: int) -> tuple[float, float, float, float]:
        opens, high, low, close = (float(price) for price in candle[:VOLUME])
        if not all(0 < price < math.inf for price in (opens, high, low, close)):
            raise ValueError(f"a price is not above 0: {candle}")
        if self.costs.volume_share is not None and not 0 <= candle[VOLUME] < math.inf:
            raise ValueError(f"a volume is below 0 or unknown: {candle}")
        before = self._state.time_ms
        if before is not None and time_ms <= before:
            raise ValueError(f"the candle at {time_ms} ms is not later than the one before, at {before} ms")
        return opens, high, low, close

    def place(self, order: Order) -> None:
        """Take an order at the close of the newest candle.

        One for a side that is held, or will be when the orders before it are filled, changes nothing.
        """
        state = self._state
        wanted = state.pending[-1][1].side if state.pending else state.side
        if not math.isnan(order.side) and order.side != wanted:
            state.pending.append((state.bar + 1 + self.delay, order))

    def _take_due(self, opens: float) -> None:
        """Turn to the order that is due at this open."""
        state = self._state
        if not state.pending or state.pending[0][0] > state.bar:
            return
        _, order = state.pending.popleft()
        if order.side == state.side:  # a level or the horizon has closed the position before
            return
        size = self._size(order, opens) if order.opens else 0.0
        self._turn(order.side, order.side * size, "signal")
        if order.opens:
            state.stop, state.take_profit = order.stop, order.take_profit

    def _end_at_horizon(self) -> None:
        state = self._state
        if self.horizon is not None and state.since is not None and state.bar - state.since >= self.horizon:
            self._turn(0.0, 0.0, "horizon")

    def _turn(self, side: float, goal: float, reason: Reason) -> None:
        state = self._state
        state.side, state.goal, state.reason = side, goal, reason
        state.stop = state.take_profit = math.nan
        state.since = None

    def _size(self, order: Order, opens: float) -> float:
        """The quantity of an order at an open; none without equity."""
        state, price, rate = self._state, self._price(order.side, opens), self._rate()
        held = state.position.qty
        left = state.cash + held * price - rate * price * abs(held) * (held * order.side < 0)
        if left <= 0:
            return 0.0
        return order.fraction * left / (price * (1 + rate)) if order.quantity is None else float(order.quantity)

    def _level_reached(self, opens: float, high: float, low: float) -> tuple[float, Reason] | None:
        """The price before slippage at which the stop or the target closes the position in this candle."""
        state = self._state
        side = state.side
        if state.since is None:  # there is no position, or it is being closed
            return None
        worst, best = (low, high) if side > 0 else (high, low)
        level, reason = self._nearest_loss_level()
        if side * opens <= side * level:
            return opens, reason
        if side * opens >= side * state.take_profit:
            return opens, "target"
        if side * worst <= side * level:
            return level, reason
        if side * best >= side * state.take_profit:
            return state.take_profit, "target"
        return None

    def _nearest_loss_level(self) -> tuple[float, Reason]:
        """The stop or the price of liquidation, which a falling equity meets first."""
        state = self._state
        last = self._price_of_liquidation()
        return (state.stop, "stop") if state.side * state.stop >= state.side * last else (last, "liquidation")

    def _price_of_liquidation(self) -> float:
        """The price before slippage at which closing the position leaves nothing; not above 0 where there is none."""
        state, rate = self._state, self._rate()
        qty, leaving = state.position.qty, -math.copysign(1.0, state.position.qty)
        return -state.cash / (qty * self._price(leaving, 1.0) * (1 + leaving * rate))

    def _trade(self, price: float, room: float, fills: list[Fill], trades: list[Trade]) -> float:
        """Fill the difference of goal and position, up to a quantity; the quantity that was filled."""
        state = self._state
        held = state.position.qty
        wanted = state.goal - held
        signed = math.copysign(min(abs(wanted), room), wanted)
        is_rounding = abs(signed) <= ROUNDING * max(abs(state.goal), abs(held))
        if not is_rounding:
            self._fill(signed, price, fills, trades)
        if state.since is None and state.side * state.position.qty > 0:
            state.since = state.bar
        return 0.0 if is_rounding else abs(signed)

    def _fill(self, signed: float, reference: float, fills: list[Fill], trades: list[Trade]) -> None:
        """Buy (above 0) or sell a quantity at a price before slippage."""
        state, rate = self._state, self._rate()
        price, qty = self._price(signed, reference), abs(signed)
        fee, slippage = rate * price * qty, qty * abs(price - reference)
        fill = Fill(state.bar, "buy" if signed > 0 else "sell", qty, price, fee, slippage, state.reason)
        fills.append(fill)
        state.cash -= signed * price + fee
        self._remember(qty * price)
        held = state.position.qty
        closed = min(qty, abs(held)) if held * signed < 0 else 0.0
        opened = qty - closed if qty > closed * (1 + ROUNDING) else 0.0
        if closed:
            state.position.leave(fill, closed, closed / qty)
            if abs(state.position.qty) <= ROUNDING * abs(held):
                balance = state.cash + math.copysign(opened, signed) * price + fee * opened / qty
                trades.append(state.position.closed(fill, held, balance, fee * closed / qty))
                state.position = Position()
        if opened:
            state.position.enter(fill, math.copysign(opened, signed), opened / qty)

    def _price(self, side: float, reference: float) -> float:
        return reference * (1 + math.copysign(self.costs.slippage, side))

    def _rate(self) -> float:
        """The fee of a fill in this candle, by the own volume of the 30 days strictly before the candle."""
        state = self._state
        if not self.costs.has_tiers or state.time_ms is None:
            return self.costs.fee[0][1]
        while state.volumes and state.volumes[0][0] < state.time_ms - TIER_MS:
            state.volumes.popleft()
        return self.costs.rate(sum(value for time_ms, value in state.volumes if time_ms < state.time_ms))

    def _remember(self, value: float) -> None:
        state = self._state
        if self.costs.has_tiers and state.time_ms is not None:
            state.volumes.append((state.time_ms, value))

    def to_record(self) -> AccountRecord:
        """The account as JSON, from which `from_record` continues to the bit."""
        state = self._state
        return {
            "costs": {
                "fee": [list(tier) for tier in self.costs.fee],
                "slippage": self.costs.slippage,
                "volume_share": self.costs.volume_share,
            },
            "horizon": self.horizon,
            "delay": self.delay,
            "cash": state.cash,
            "bar": state.bar,
            "time_ms": state.time_ms,
            "side": state.side,
            "goal": state.goal,
            "reason": state.reason,
            "stop": or_null(state.stop),
            "take_profit": or_null(state.take_profit),
            "since": state.since,
            "position": _position_record(state.position),
            "pending": [(due_bar, order.to_record()) for due_bar, order in state.pending],
            "volumes": list(state.volumes),
        }

    @classmethod
    def from_record(cls, record: AccountRecord) -> Account:
        """The account of a record."""
        fee = tuple((float(least), float(rate)) for least, rate in record["costs"]["fee"])
        costs = Costs(fee, record["costs"]["slippage"], record["costs"]["volume_share"])
        account = cls(1.0, costs, horizon=record["horizon"], delay=record["delay"])
        account._state = _State(
            cash=record["cash"],
            bar=record["bar"],
            time_ms=record["time_ms"],
            side=record["side"],
            goal=record["goal"],
            reason=record["reason"],
            stop=or_nan(record["stop"]),
            take_profit=or_nan(record["take_profit"]),
            since=record["since"],
            position=Position(**record["position"]),
            pending=deque((due_bar, Order.from_record(one)) for due_bar, one in record["pending"]),
            volumes=deque((time_ms, value) for time_ms, value in record["volumes"]),
        )
        return account


def _position_record(position: Position) -> PositionRecord:
    return {
        "qty": position.qty,
        "entry_bar": position.entry_bar,
        "entry_qty": position.entry_qty,
        "entry_value": position.entry_value,
        "entry_fee": position.entry_fee,
        "exit_value": position.exit_value,
        "exit_fee": position.exit_fee,
        "slippage": position.slippage,
        "entry_reason": position.entry_reason,
    }
