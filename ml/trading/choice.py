"""Thresholds of a rule, chosen on validation rows by walk-forward: each block is traded by the best pair before it.

The figures of validation are those of that procedure, whose pairs never saw the candles that they trade. The pair that
serves is the best of all validation rows; it is reported on the holdout, which chose nothing. Every pair of the grid
counts as a trial.

Source: Pardo, The Evaluation and Optimization of Trading Strategies (2008), walk-forward analysis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ml.data.targets import Floats
from ml.errors import CaseError
from ml.timeframes import DAY_MS

#: Blocks of validation; the first one only chooses.
BLOCKS = 5
#: Logarithmic gains per day (days, k) of k pairs of thresholds.
GridGains = Callable[[Floats], Floats]


@dataclass(frozen=True, eq=False)
class Choice:
    """The choice of thresholds on validation.

    Attributes:
        pairs: (k, 2) buy and sell thresholds that were compared.
        gains: (T, k) their logarithmic gains per day.
        chosen: place of the pair that gains most on all of validation.
        first: first candle that is traded, after the first block.
        buy: (n,) threshold in force at each candle, chosen on earlier blocks; NaN in the first.
        sell: (n,) the same.
    """

    pairs: Floats
    gains: Floats
    chosen: int
    first: int
    buy: Floats
    sell: Floats


def choose(pairs: Floats, gains_of: GridGains, open_time_ms: npt.NDArray[np.int64]) -> Choice:
    """Choose thresholds block by block, and on all candles.

    Args:
        pairs: (k, 2) from which to choose; of equal ones the first.
        gains_of: the gains of all of them on these candles.
        open_time_ms: (n,) of the candles of validation.

    Raises:
        CaseError: there is no pair, or the candles span fewer than `BLOCKS` days.
    """
    if not len(pairs):
        raise CaseError("No buy threshold is above a sell threshold: the scores do not differ. Use another case.")
    days = np.unique(open_time_ms // DAY_MS)
    if len(days) < BLOCKS:
        raise CaseError(f"Validation has {len(days)} days, thresholds need {BLOCKS}. Ingest more candles.")
    gains = gains_of(pairs)
    edges = [len(days) * block // BLOCKS for block in range(BLOCKS + 1)]
    day_of = np.searchsorted(days, open_time_ms // DAY_MS)
    buy, sell = np.full(len(open_time_ms), np.nan), np.full(len(open_time_ms), np.nan)
    for start, stop in pairwise(edges[1:]):
        best = int(np.argmax(gains[:start].sum(axis=0)))
        block = (day_of >= start) & (day_of < stop)
        buy[block], sell[block] = pairs[best]
    return Choice(
        pairs=pairs,
        gains=gains,
        chosen=int(np.argmax(gains.sum(axis=0))),
        first=int(np.argmax(day_of >= edges[1])),
        buy=buy,
        sell=sell,
    )
