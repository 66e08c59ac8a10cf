"""Performance of an equity curve and of its trades, named and defined, since libraries disagree.

Source: Sharpe, The Sharpe Ratio (1994), of the returns per candle with the sample deviation, annualised by the candles
of 365 days, without a riskless rate; Sortino and Price, Performance Measurement in a Downside Risk Framework (1994).
"""

from __future__ import annotations

import math
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.timeframes import YEAR_MS
from ml.trading.ledger import Costs, Ledger, run_ledger


class CurveFigures(TypedDict):
    """Figures of an equity curve; a ratio without a meaning is None, also where equity was not above 0 on the way.

    `volatility` is the deviation of the returns per candle; `max_drawdown` is from the highest equity so far, the start
    included, `max_drawdown_candles` the longest run of candles below it.
    """

    total_return: float
    max_drawdown: float
    max_drawdown_candles: int
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    cagr: float | None
    calmar: float | None


class TradeFigures(TypedDict):
    """Figures of closed trades and of all fills; a ratio without a meaning is None.

    `fees` and `slippage` are paid by all fills, in quote units; `fees_share` is the fees over the gain before fees,
    where that is above 0; `exposure` is the share of candles that close with a position; `turnover` is the value of
    all fills over the mean equity.
    """

    trades: int
    win_rate: float | None
    profit_factor: float | None
    fees: float
    fees_share: float | None
    slippage: float
    exposure: float
    turnover: float


def curve_figures(equity: Floats, cash: float, open_time_ms: npt.NDArray[np.int64]) -> CurveFigures:
    """Figures of an equity curve (n,) at the closes of candles that open at (n,) milliseconds.

    Args:
        equity: in quote units.
        cash: at the start.
        open_time_ms: of the candles; the years are those between the first and the last one.
    """
    returns = _returns(equity)
    peaks = np.maximum.accumulate(np.concatenate([[cash], equity]))[1:]
    drawdown = float((1 - equity / peaks).max())
    total = float(equity[-1] / cash - 1)
    span_ms = int(open_time_ms[-1] - open_time_ms[0])
    step_ms = int(np.median(np.diff(open_time_ms))) if len(open_time_ms) > 1 else 0
    per_year = math.sqrt(YEAR_MS / step_ms) if step_ms else math.nan
    deviation = float(returns.std(ddof=1)) if len(returns) > 1 else math.nan
    downside = math.sqrt(float(np.square(np.minimum(returns, 0)).mean())) if len(returns) else math.nan
    mean = float(returns.mean()) if len(returns) else math.nan
    cagr = _or_none(_power(1 + total, YEAR_MS / span_ms) - 1) if span_ms else None
    return {
        "total_return": total,
        "max_drawdown": drawdown,
        "max_drawdown_candles": _longest(equity < peaks),
        "volatility": _or_none(deviation),
        "sharpe": _ratio(mean * per_year, deviation),
        "sortino": _ratio(mean * per_year, downside),
        "cagr": cagr,
        "calmar": None if cagr is None else _ratio(cagr, drawdown),
    }


def trade_figures(ledger: Ledger) -> TradeFigures:
    """Figures of the trades that were closed, and of all fills."""
    closed = [trade for trade in ledger.trades if trade.exit_bar is not None]
    won = sum(trade.pnl for trade in closed if trade.pnl > 0)
    lost = -sum(trade.pnl for trade in closed if trade.pnl < 0)
    fees = sum(fill.fee for fill in ledger.fills)
    before_fees = float(ledger.equity[-1]) - ledger.cash + fees
    return {
        "trades": len(closed),
        "win_rate": sum(trade.pnl > 0 for trade in closed) / len(closed) if closed else None,
        "profit_factor": won / lost if lost > 0 else None,
        "fees": fees,
        "fees_share": fees / before_fees if before_fees > 0 else None,
        "slippage": sum(fill.slippage for fill in ledger.fills),
        "exposure": float(ledger.exposed.mean()),
        "turnover": sum(fill.qty * fill.price for fill in ledger.fills) / float(ledger.equity.mean()),
    }


def buy_and_hold(candles: Floats, open_time_ms: npt.NDArray[np.int64], cash: float, costs: Costs) -> Ledger:
    """Buying at the first open that can be traded, with the same costs, and holding to the end."""
    target = np.full(len(candles), np.nan)
    target[0] = 1.0
    return run_ledger(candles, open_time_ms, target, cash=cash, costs=costs)


def _returns(equity: Floats) -> Floats:
    """Returns per candle; none of an account that was ruined on the way, on whose equity a return has no meaning."""
    return np.diff(equity) / equity[:-1] if (equity[:-1] > 0).all() else np.empty(0)


def _longest(below: npt.NDArray[np.bool_]) -> int:
    longest = current = 0
    for one in below:
        current = current + 1 if one else 0
        longest = max(longest, current)
    return longest


def _power(base: float, exponent: float) -> float:
    """The power; infinite where it is too large."""
    try:
        return float(base**exponent) if base > 0 else 0.0
    except OverflowError:
        return math.inf


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _ratio(value: float, divisor: float) -> float | None:
    return value / divisor if math.isfinite(value) and divisor > 0 else None
