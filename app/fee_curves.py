"""The equity of a rule at another fee, without trading it again.

All of the equity is in each trade. A fee rate f then divides the equity by 1 + f at each entry, and multiplies it by
1 - f x (exited value / equity before the fee) at each exit; between fills every curve moves alike. So the curve at any
fee is the curve before costs times these factors, for long and for short trades. Other sizings trade other quantities
at other fees, and have no such formula: `can_bend` finds out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

#: The sizing that puts all of the equity into each trade, as trading_rules names it.
ALL_IN = "all_in"
#: Largest relative difference to the published curve that rounding explains.
TOLERANCE = 1e-6


def equity_at_fee(curve: pd.DataFrame, trades: pd.DataFrame, fee: float) -> Floats:
    """Equity (n,) of one part at a fee rate a side; 0 from the moment at which nothing is left.

    Args:
        curve: time (close of the row's last candle), gross (equity before costs), in order of time.
        trades: entry_time, exit_time (null while open), exit_turnover; of the same part.
        fee: rate a side, .001 for .1 %.
    """
    times = curve.time.to_numpy("datetime64[ns]")
    closed = trades[trades.exit_time.notna()].sort_values("exit_time")
    entered = np.searchsorted(np.sort(trades.entry_time.to_numpy("datetime64[ns]")), times, side="left")
    left = np.searchsorted(closed.exit_time.to_numpy("datetime64[ns]"), times, side="left")
    kept = np.concatenate([[1.0], np.cumprod(1 - fee * closed.exit_turnover.to_numpy(np.float64))])
    equity = curve.gross.to_numpy(np.float64) * (1 + fee) ** -entered.astype(np.float64) * kept[left]
    ruined = np.logical_or.accumulate(equity <= 0)
    return np.where(ruined, 0.0, equity)


def holding_at_fee(curve: pd.DataFrame, published_fee: float, fee: float) -> Floats:
    """Equity (n,) of buying once and holding, at a fee rate; rows before the purchase stay at 1.

    Args:
        curve: holding (at the published fee), in order of time.
        published_fee: rate a side of the published curve.
        fee: rate a side.
    """
    holding = curve.holding.to_numpy(np.float64)
    bought = np.logical_or.accumulate(holding != 1.0)
    return np.where(bought, holding * (1 + published_fee) / (1 + fee), holding)


def returns_at_fees(curve: pd.DataFrame, trades: pd.DataFrame, fees: Floats) -> Floats:
    """Total return (k,) in percent of one part at each of the fee rates (k,); arguments as for `equity_at_fee`."""
    return np.array([100 * (equity_at_fee(curve, trades, float(fee))[-1] - 1) for fee in fees])


def bent(curve: pd.DataFrame, trades: pd.DataFrame, published_fee: float, fee: float) -> pd.DataFrame:
    """Curves of all parts at a fee: time, part, equity and holding at that fee, published (equity as published).

    Args:
        curve: part, time, gross, equity, holding, in order of time.
        trades: part, and the columns of `equity_at_fee`.
        published_fee: rate a side of the published curves.
        fee: rate a side.
    """
    parts = []
    for part, rows in curve.groupby("part", sort=False):
        equity = equity_at_fee(rows, trades[trades.part == part], fee)
        holding = holding_at_fee(rows, published_fee, fee)
        parts.append(rows[["time", "part"]].assign(equity=equity, holding=holding, published=rows.equity))
    return pd.concat(parts)


def can_bend(curve: pd.DataFrame, trades: pd.DataFrame, published_fee: float, sizing: object) -> bool:
    """Whether the formula gives the published equity at the published fee, so that it may be used for others.

    Args:
        curve: part, time, gross, equity, holding, in order of time.
        trades: as for `bent`, with exit_reason.
        published_fee: rate a side of the published curves; 0 proves nothing, so the name of the sizing decides.
        sizing: as in trading_rules.
    """
    if curve.empty or (published_fee == 0 and sizing != ALL_IN):
        return False
    if (trades.exit_reason == "liquidation").any():  # at another fee it comes at another price, or not at all
        return False
    computed = bent(curve, trades, published_fee, published_fee)
    published = np.maximum(computed.published.to_numpy(np.float64), 0.0)
    return bool(np.allclose(computed.equity.to_numpy(np.float64), published, rtol=TOLERANCE, atol=TOLERANCE))
