"""The ledger: target positions of a rule turned into fills, trades and equity (see `ml.trading.account`).

A position that is open at the end is marked at the last close and does not count as a trade.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.data.candle_columns import CLOSE
from ml.data.targets import Floats
from ml.trading.account import Account
from ml.trading.costs import Costs
from ml.trading.orders import HOLD, Order
from ml.trading.trades import Fill, Reason, Trade

#: Cash at the start of every backtest and paper account, in quote units.
CASH = 10_000.0

__all__ = ["CASH", "Costs", "Fill", "Ledger", "Reason", "Trade", "run_ledger"]


@dataclass(frozen=True, eq=False)
class Ledger:
    """The outcome of a rule.

    Attributes:
        cash: at the start.
        fills: in time order.
        trades: in time order; the last one may be open.
        equity: (n,) at the close of each candle.
        position: (n,) base units at the close of each candle, below 0 for a short one.
    """

    cash: float
    fills: Sequence[Fill]
    trades: Sequence[Trade]
    equity: Floats
    position: Floats

    @property
    def exposed(self) -> npt.NDArray[np.bool_]:
        """(n,) candles that close with a position."""
        exposed: npt.NDArray[np.bool_] = self.position != 0
        return exposed


def run_ledger(  # noqa: PLR0913 - the options of a rule
    candles: Floats,
    open_time_ms: npt.NDArray[np.int64],
    target: Floats,
    *,
    cash: float,
    costs: Costs,
    quantity: Floats | None = None,
    fraction: Floats | None = None,
    stop: Floats | None = None,
    take_profit: Floats | None = None,
    horizon: int | None = None,
    delay: int = 0,
) -> Ledger:
    """Trade the targets of a rule.

    Args:
        candles: (n, 5) open high low close volume, oldest first; missing candles have no row.
        open_time_ms: (n,) milliseconds since 1970-01-01 UTC, ascending.
        target: (n,) side that the rule wants at the close: 1 long, 0 flat, -1 short, NaN as before. A side that is held
            or ordered already changes nothing, also not the levels of the position.
        cash: at the start, in quote units.
        costs: of each fill.
        quantity: (n,) in base units, of a position that a target opens.
        fraction: (n,) of the equity at the fill, with the fee inside, of a position that a target opens; without
            quantity and fraction all of it.
        stop: (n,) price at which a position that a target opens is closed at a loss; NaN: none.
        take_profit: (n,) price at which it is closed at a gain; NaN: none. Of both in one candle the stop counts.
        horizon: candles after which a position is closed at the open; None: never.
        delay: candles by which a target fills later than at the next open.

    Raises:
        ValueError: lengths differ, times do not ascend, prices are not above 0, or a target is no side, opens without
            a quantity or fraction, or has levels without a meaning.
    """
    _check(candles, open_time_ms, (target, quantity, fraction, stop, take_profit))
    account = Account(cash, costs, horizon=horizon, delay=delay)
    orders = _orders(target, quantity, fraction, stop, take_profit)
    rows = zip(candles.tolist(), open_time_ms.tolist(), orders, strict=True)
    steps = [account.advance(candle, time_ms, order) for candle, time_ms, order in rows]
    ended = [trade for step in steps for trade in step.trades]
    still_open = account.open_trade(float(candles[-1, CLOSE]))
    return Ledger(
        cash=cash,
        fills=[fill for step in steps for fill in step.fills],
        trades=ended if still_open is None else [*ended, still_open],
        equity=np.array([step.equity for step in steps]),
        position=np.array([step.position for step in steps]),
    )


def _check(candles: Floats, open_time_ms: npt.NDArray[np.int64], by_row: Sequence[Floats | None]) -> None:
    lengths = {len(candles), len(open_time_ms), *(len(values) for values in by_row if values is not None)}
    if len(lengths) != 1 or not len(candles):
        raise ValueError(
            f"candles, times, targets, quantities and levels have different lengths, or none: {sorted(lengths)}"
        )


def _orders(
    target: Floats, quantity: Floats | None, fraction: Floats | None, stop: Floats | None, take_profit: Floats | None
) -> Iterator[Order]:
    """The order of each row."""
    none = np.full(len(target), np.nan)
    columns = (
        target,
        none if quantity is None else quantity,
        np.ones(len(target)) if fraction is None else fraction,
        none if stop is None else stop,
        none if take_profit is None else take_profit,
    )
    for side, base, share, low, high in zip(*(column.tolist() for column in columns), strict=True):
        is_hold = math.isnan(side)
        yield HOLD if is_hold else Order(side, None if quantity is None else base, share, low, high)
