"""The break-even fee: the rate of each side at which a rule ends with the cash that it began with.

With all of the equity in each position no quantity depends on anything but the equity, so that the curve at any fee
follows from the one without fees: an entry divides the equity by 1 + fee, an exit multiplies it by 1 - fee x the value
of the exit over the equity before it. Under any other sizing the ledger is run again for each fee that is tried.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from ml.data.targets import Floats
from ml.trading.ledger import Ledger

#: The fee is found to this.
PRECISION = 1e-12
#: Just below the largest fee that costs can have.
LARGEST = 1 - 1e-9


def equity_at_fee(without_fees: Ledger, fee: float) -> Floats:
    """The equity (n,) that a ledger without fees would have at a fee, where all of it is in each position.

    Args:
        without_fees: of a rule that invests all of the equity, with any slippage; fills are whole.
        fee: rate of each side, a fraction.

    Returns:
        (n,) NaN after an exit that left nothing: then the fee changes the quantities that follow.

    Raises:
        ValueError: the ledger has fees.
    """
    if any(fill.fee for fill in without_fees.fills):
        raise ValueError("the ledger has fees already; run it with a fee of 0")
    equity = without_fees.equity.copy()
    for trade in without_fees.trades:
        equity[trade.entry_bar :] /= 1 + fee
        if trade.exit_bar is not None:
            turnover = np.nan if trade.exit_turnover is None else trade.exit_turnover
            equity[trade.exit_bar :] *= 1 - fee * turnover
    return equity


def break_even_fee(final_equity: Callable[[float], float], cash: float) -> float | None:
    """The fee at which the final equity is the cash of the start.

    Args:
        final_equity: by the fee of each side; it does not grow with the fee. For all of the equity in each position it
            is `equity_at_fee(...)[-1]`, else the last equity of a run of the ledger.
        cash: at the start.

    Returns:
        The fee as a fraction; 1 if no smaller one takes all of the gain; None if nothing is gained without fees.
    """

    def gain(fee: float) -> float:
        return final_equity(fee) - cash

    if not gain(0.0) > 0:
        return None
    if gain(LARGEST) > 0:
        return 1.0
    return float(brentq(gain, 0.0, LARGEST, xtol=PRECISION, rtol=PRECISION))
