"""The grid of `ml.trading.grid` in vectorbt; run by `backtest.py` in an environment that has it.

``python vectorbt_grid.py INPUTS OUTPUTS`` writes the final equity of each pair and the seconds of the second run;
without arguments it writes nothing, and shows that vectorbt can be loaded.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import vectorbt as vbt


def final_equity(data: dict[str, Any]) -> np.ndarray:
    """(pairs,) by vectorbt: signals of the candle before fill at the open, all of the equity."""
    score = np.concatenate([[np.nan], data["score"][:-1]])[:, None]
    buy, sell = data["pairs"].T
    enter, leave = score >= buy, score <= sell
    options: dict[str, Any] = {"short_entries": leave} if data["is_long_short"] else {"exits": leave}
    portfolio = vbt.Portfolio.from_signals(
        data["close"][:, None],
        entries=enter,
        price=data["open"][:, None],
        size=np.inf,
        fees=float(data["fee"]),
        slippage=float(data["slippage"]),
        init_cash=float(data["cash"]),
        upon_opposite_entry="reverse",
        freq="1h",
        **options,
    )
    return np.asarray(portfolio.final_value())


def main() -> None:
    if not sys.argv[1:]:
        return
    inputs, outputs = sys.argv[1:]
    with np.load(inputs) as stored:
        data = dict(stored)
    final_equity(data | {"pairs": data["pairs"][:2]})  # compiles
    started = time.perf_counter()
    equity = final_equity(data)
    np.savez(outputs, equity=equity, seconds=time.perf_counter() - started)


if __name__ == "__main__":
    main()
