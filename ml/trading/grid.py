"""The grid: the equity of many pairs of thresholds on one score, all of the equity in each position.

It is the ledger (`ml.trading.ledger.run_ledger`) without fills, trades and horizon, as compiled code: a candle of a
pair takes a few nanoseconds. Equity equals the ledger's to rounding. It is for the choice among pairs; the chosen one
is run through the ledger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.data.candle_columns import CLOSE, HIGH, LOW, OPEN
from ml.data.targets import Floats
from ml.machine_code import machine_code
from ml.timeframes import DAY_MS
from ml.trading.account import ROUNDING
from ml.trading.costs import Costs
from ml.trading.daily import last_of_days, log_gains
from ml.trading.thresholds import check_thresholds

Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Grid:
    """The outcome of all pairs.

    Attributes:
        equity: (pairs,) at the last close, in quote units.
        days: (days,) since 1970-01-01.
        gains: (pairs, days) logarithmic gains (see `ml.trading.daily.log_gains`).
        trades: (pairs,) positions that were closed.
    """

    equity: Floats
    days: Whole
    gains: Floats
    trades: Whole


def equity_of_grid(  # noqa: PLR0913 - those of `run_ledger`
    candles: Floats,
    open_time_ms: Whole,
    score: Floats,
    pairs: Floats,
    *,
    cash: float,
    costs: Costs,
    levels: Floats | None = None,
    long_only: bool = False,
    delay: int = 0,
) -> Grid:
    """Trade a score by each pair of thresholds, as `threshold_targets` and `run_ledger` do.

    Args:
        candles: (n, 5) open high low close volume, oldest first; missing candles have no row.
        open_time_ms: (n,) milliseconds since 1970-01-01 UTC, ascending.
        score: (n,) at the close of each candle; NaN leaves the position as it is.
        pairs: (p, 2) thresholds: to buy, to sell.
        cash: at the start of each pair, in quote units.
        costs: of each fill.
        levels: (n, 2) prices below and above a position that is ordered at the close of the candle: stop and target of
            a long one, target and stop of a short one; NaN: none.
        long_only: flat in place of short.
        delay: candles by which a target fills later than at the next open.

    Raises:
        ValueError: lengths differ, times do not ascend, a price is not above 0, a pair has no order, the cash is not
            above 0, the delay is below 0, or above 0 with levels, or the costs depend on volumes.
    """
    if levels is None:
        levels = np.full((len(candles), 2), np.nan)
    elif delay:
        raise ValueError("the grid has levels without a delay only; use run_ledger for both")
    _check(candles, open_time_ms, score, levels)
    if costs.has_tiers or costs.volume_share is not None:
        raise ValueError("the grid has one fee and fills of any size; use run_ledger for tiers and volume shares")
    if not 0 < cash < np.inf or delay < 0:
        raise ValueError(f"the cash {cash} is not above 0, or the delay {delay} below 0")
    for buy, sell in pairs:
        check_thresholds(buy, sell)
    ends = last_of_days(open_time_ms)
    by_day, trades = np.empty((len(pairs), len(ends))), np.empty(len(pairs), np.int64)
    machine_code(_run, _goal, _level_reached)(
        np.ascontiguousarray(candles, dtype=np.float64),
        np.column_stack([score, levels]).astype(np.float64),
        np.ascontiguousarray(pairs, dtype=np.float64),
        ends,
        (float(cash), costs.rate(0.0), costs.slippage, 0.0 if long_only else -1.0, delay, ROUNDING),
        by_day,
        trades,
    )
    return Grid(by_day[:, -1].copy(), open_time_ms[ends] // DAY_MS, log_gains(by_day, cash), trades)


def _check(candles: Floats, open_time_ms: Whole, score: Floats, levels: Floats) -> None:
    lengths = {len(candles), len(open_time_ms), len(score), len(levels)}
    if len(lengths) != 1 or not len(candles):
        raise ValueError(f"candles, times, scores and levels have different lengths, or none: {sorted(lengths)}")
    if not ((candles[:, : CLOSE + 1] > 0) & np.isfinite(candles[:, : CLOSE + 1])).all():
        raise ValueError("a price is not above 0")
    if not (np.diff(open_time_ms) > 0).all():
        raise ValueError("a candle is not later than the one before")


def _goal(opens: float, cash: float, held: float, side: float, costs: tuple[float, float]) -> float:
    """The signed quantity of a side at an open, as `Account._size`."""
    fee, slippage = costs
    price = opens * (1 + slippage * side)
    left = cash + held * price - fee * price * abs(held) * (held * side < 0)
    return side * max(left, 0.0) / (price * (1 + fee))


def _level_reached(
    prices: tuple[float, float, float],
    cash: float,
    held: float,
    levels: tuple[float, float],
    costs: tuple[float, float],
) -> tuple[float, bool]:
    """The price at which a level ends a position, NaN: none; and whether it is liquidated. As in `Account`."""
    fee, slippage = costs
    opens, high, low = prices
    stop, target = levels
    side = math.copysign(1.0, held)
    last = -cash / (held * (1 - side * slippage) * (1 - side * fee))
    is_last = not side * stop >= side * last
    level = last if is_last else stop
    worst, best = (low, high) if side > 0 else (high, low)
    if side * opens <= side * level:
        return opens, is_last
    if side * opens >= side * target:
        return opens, False
    if side * worst <= side * level:
        return level, is_last
    return (target, False) if side * best >= side * target else (math.nan, False)


def _run(
    candles: Floats,
    orders: Floats,
    pairs: Floats,
    ends: Whole,
    settings: tuple[float, float, float, float, int, float],
    by_day: Floats,
    trades: Whole,
) -> None:
    """Write the equity at the close of the last candle of each day, and the number of trades, of each pair.

    `orders` (n, 3): score, price below, price above.
    """
    start, fee, slippage, short, delay, rounding = settings
    costs = fee, slippage
    for pair in range(len(pairs)):
        buy, sell = pairs[pair, 0], pairs[pair, 1]
        cash, held, side, count, levels = start, 0.0, 0.0, 0, (math.nan, math.nan)
        bar = 1 + delay
        for day in range(len(ends)):
            while bar <= ends[day]:
                prices = candles[bar, OPEN], candles[bar, HIGH], candles[bar, LOW]
                score, below, above = orders[bar - 1 - delay, 0], orders[bar - 1 - delay, 1], orders[bar - 1 - delay, 2]
                bar += 1
                wanted = 1.0 if score >= buy else short if score <= sell else side
                if wanted != side:
                    side = wanted
                    goal = _goal(prices[0], cash, held, side, costs) if side != 0.0 else 0.0
                    levels = (below, above) if side > 0 else (above, below)
                    signed = goal - held
                    if abs(signed) > rounding * max(abs(goal), abs(held)):
                        price = prices[0] * (1 + math.copysign(slippage, signed))
                        cash -= signed * price + fee * price * abs(signed)
                        count += held != 0.0
                        held = goal
                if held == 0.0:
                    continue
                reached, is_last = _level_reached(prices, cash, held, levels, costs)
                if reached > 0:
                    price = reached * (1 - side * slippage)
                    cash += held * price - fee * price * abs(held)
                    cash = min(cash, 0.0) if is_last else cash
                    held, side, count = 0.0, 0.0, count + 1
            by_day[pair, day] = cash + held * candles[ends[day], CLOSE]
        trades[pair] = count
