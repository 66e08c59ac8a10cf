"""Paper trading: sealed signals become orders of the account that backtests use, filled by candles that opened later.

A signal of candle t is sealed while candle t + 1 is open, whose first price is known by then. So an order fills at the
open of the first candle that opens after its seal: one candle later than in a backtest without a delay, and as in one
with `delay=DELAY`.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml.canonical import canonical_json
from ml.data.candle_columns import CLOSE
from ml.data.targets import Floats
from ml.timeframes import milliseconds, utc_ms
from ml.trading.account import Account, Step
from ml.trading.costs import Costs
from ml.trading.ledger import Ledger
from ml.trading.orders import HOLD, Order, or_nan
from ml.trading.records import FillRow, SignalRecord
from ml.trading.trades import Trade

#: Candles by which an order fills later than at the next open.
DELAY = 1


@dataclass(frozen=True)
class SealedSignal:
    """A signal with the hash of its record."""

    record: SignalRecord
    hash: str

    @property
    def order(self) -> Order:
        """Its order; one without a side leaves the position as it is."""
        one = self.record
        if one["side"] is None:
            return HOLD
        fraction = 1.0 if one["fraction"] is None else one["fraction"]
        return Order(one["side"], one["quantity"], fraction, or_nan(one["stop"]), or_nan(one["take_profit"]))

    @property
    def placed_ms(self) -> int:
        """Open time of the candle at whose close its order counts as set: that before the candle it was sealed in."""
        length = milliseconds(self.record["timeframe"])
        return max(utc_ms(self.record["open_time"]), utc_ms(self.record["issued_at"]) // length * length - length)


@dataclass(frozen=True, eq=False)
class Paper:
    """The paper trades of a signal so far.

    Attributes:
        open_time_ms: of the candles from the first signal on.
        steps: of each candle.
        trades: in time order; the last one may be open.
        signals: per candle the signal whose order was set at its close, if any.
        unsealed: places of candles with fills that have no sealed transaction yet, and the account after each.
        revised: open times of sealed transactions whose candle was revised since: the sealed fills count.
    """

    open_time_ms: Sequence[int]
    steps: Sequence[Step]
    trades: Sequence[Trade]
    signals: Sequence[SealedSignal | None]
    unsealed: Sequence[tuple[int, str]]
    revised: Sequence[int]

    def ledger(self, cash: float) -> Ledger:
        """The same as a ledger, with the cash of its start."""
        return Ledger(
            cash=cash,
            fills=[fill for step in self.steps for fill in step.fills],
            trades=self.trades,
            equity=np.array([step.equity for step in self.steps]),
            position=np.array([step.position for step in self.steps]),
        )

    @property
    def score(self) -> Floats:
        """(n,) of the signals; NaN without one."""
        scores = [signal.record["score"] if signal else None for signal in self.signals]
        return np.array([np.nan if one is None else one for one in scores], dtype=np.float64)


def trade_on_paper(
    account: Account,
    candles: Floats,
    open_time_ms: Sequence[int],
    signals: Iterable[SealedSignal],
    sealed: Mapping[int, str],
) -> Paper:
    """Trade sealed signals through the candles that exist.

    Args:
        account: a new one (see `new_account`); it is changed.
        candles: (n, 5) closed ones, oldest first.
        open_time_ms: (n,) of the candles.
        signals: of one signal and key.
        sealed: open time of a candle -> the account after it, JSON of its sealed transaction, which counts also
            where the candle was revised since.
    """
    orders = placed(signals, open_time_ms)
    first = min(orders, default=None)
    places = [place for place, time_ms in enumerate(open_time_ms) if first is not None and time_ms >= first]
    steps: list[Step] = []
    trades: list[Trade] = []
    unsealed: list[tuple[int, str]] = []
    revised: list[int] = []
    for number, place in enumerate(places):
        time_ms = open_time_ms[place]
        step = account.advance(candles[place].tolist(), time_ms)
        steps.append(step)
        trades += step.trades
        # The account is sealed as it is before the order at the close of its candle, which may not be sealed yet.
        if step.fills or time_ms in sealed:
            record = canonical_json(account.to_record())
            if time_ms not in sealed:
                unsealed.append((number, record))
            elif sealed[time_ms] != record:
                revised.append(time_ms)
                account = Account.from_record(json.loads(sealed[time_ms]))
        if time_ms in orders:
            account.place(orders[time_ms].order)
    still_open = account.open_trade(float(candles[places[-1], CLOSE])) if places else None
    return Paper(
        open_time_ms=[open_time_ms[place] for place in places],
        steps=steps,
        trades=trades if still_open is None else [*trades, still_open],
        signals=[orders.get(open_time_ms[place]) for place in places],
        unsealed=unsealed,
        revised=revised,
    )


def new_account(cash: float, costs: Costs, horizon: int) -> Account:
    """An account of paper trading; `horizon` in candles, 0: none."""
    return Account(cash, costs, horizon=horizon or None, delay=DELAY)


def placed(signals: Iterable[SealedSignal], open_time_ms: Sequence[int]) -> dict[int, SealedSignal]:
    """Open time of a candle that exists -> the newest signal whose order is set at its close.

    A signal whose candle of order is missing counts at the last candle before it; before the first one it is left out.
    """
    found: dict[int, SealedSignal] = {}
    for signal in sorted(signals, key=lambda one: one.record["open_time"]):
        place = bisect_right(open_time_ms, signal.placed_ms)
        if place:
            found[open_time_ms[place - 1]] = signal
    return found


def fill_rows(step: Step) -> list[FillRow]:
    """The fills of a candle as they are sealed; the balance is the equity at its close."""
    return [
        {
            "side": fill.side,
            "quantity": fill.qty,
            "price": fill.price,
            "fee": fill.fee,
            "reason": fill.reason,
            "balance": step.equity,
        }
        for fill in step.fills
    ]
