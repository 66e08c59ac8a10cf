"""Four years of hourly candles x 1,000 pairs of thresholds on one score: ours against vectorbt, on one core.

Both trade the same score at the same opens with all of the equity, at a fee and slippage a side, long or flat, and long
or short, and have to end with the same equity in every pair. The score is the return of a day in units of its
volatility: it is to make trades, not profits. Ours has the final equity and the gains of each day; vectorbt makes a
record of each fill as well.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ml.data.candle_columns import CLOSE, OPEN
from ml.data.targets import Floats
from ml.trading.costs import Costs
from ml.trading.grid import equity_of_grid
from tests.benchmarks.environments import run_script
from tests.benchmarks.pairing import report, seconds
from tests.benchmarks.peers import candles_folder

SCRIPT = Path(__file__).with_name("vectorbt_grid.py")
REQUIREMENTS = ("vectorbt==1.2.0", "numba==0.68.1", "numpy==2.4.6", "pandas==3.1.1")
ROWS = 4 * 365 * 24
CASH = 10_000.0
COSTS = Costs.flat(0.001, 0.0002)
#: Largest relative difference of the final equity of a pair, and most seconds of ours.
TOLERANCE, LIMIT_SECONDS = 1e-9, 5.0


class Market(NamedTuple):
    """Candles (n, 5), times (n,), and the score (n,) on them."""

    candles: Floats
    times: np.ndarray[Any, np.dtype[np.int64]]
    score: Floats


def backtest(name: str) -> None:
    """Seconds of both sides, and how far their equities are apart; vectorbt is skipped if it cannot be installed."""
    path = candles_folder() / "binance" / "BTC-USDT" / "1h.parquet"
    if not path.exists():
        sys.stderr.write(f"{name}: skipped, no recorded candles at {path}; set CANDLEWORKS_CANDLES to their folder\n")
        return
    market = read_market(path)
    with tempfile.TemporaryDirectory() as folder:
        for label, is_long_short in (("long_only", False), ("long_short", True)):
            compare(f"{name}_{label}", market, is_long_short, Path(folder))


def read_market(path: Path) -> Market:
    """The latest candles of a file, with their score."""
    frame = pd.read_parquet(path, columns=["open_time", "open", "high", "low", "close", "volume"]).iloc[-ROWS:]
    times = frame.pop("open_time").dt.tz_localize(None).astype("datetime64[ms]").astype(np.int64).to_numpy()
    close = np.log(frame["close"])
    moves = close.diff(24)
    score = np.tanh(moves / (2 * moves.rolling(720, min_periods=24).std()))
    return Market(frame.to_numpy(np.float64), times, score.to_numpy())


def thresholds() -> Floats:
    """(1000, 2) pairs: to buy, to sell."""
    buys, sells = np.meshgrid(np.linspace(0.05, 0.9, 40), np.linspace(-0.05, -0.9, 25), indexing="ij")
    return np.column_stack([buys.ravel(), sells.ravel()])


def compare(name: str, market: Market, is_long_short: bool, folder: Path) -> None:
    """Print the time of both sides and the largest difference of their equities.

    Raises:
        SystemExit: the equities differ.
    """
    pairs = thresholds()
    ours = partial(equity_of_grid, *market, costs=COSTS, cash=CASH, long_only=not is_long_short)
    ours(pairs=pairs[:2])  # compiles, as the other side does
    took = seconds(lambda: ours(pairs=pairs))
    size = f"{len(pairs):,} pairs x {len(market.score):,} candles"
    report(name, took, LIMIT_SECONDS, took / LIMIT_SECONDS, f"s, {size}, against the limit")
    inputs, outputs = folder / "inputs.npz", folder / "outputs.npz"
    np.savez(
        inputs,
        open=market.candles[:, OPEN],
        close=market.candles[:, CLOSE],
        score=market.score,
        pairs=pairs,
        fee=COSTS.rate(0.0),
        slippage=COSTS.slippage,
        cash=CASH,
        is_long_short=is_long_short,
    )
    try:
        run_script(SCRIPT, [], REQUIREMENTS, folder)
    except RuntimeError as error:
        sys.stderr.write(f"{name}: skipped, vectorbt cannot be installed or loaded: {error}\n")
        return
    run_script(SCRIPT, [str(inputs), str(outputs)], REQUIREMENTS, folder)
    with np.load(outputs) as stored:
        equity, theirs = stored["equity"], float(stored["seconds"])
    report(f"{name}_vectorbt", took, theirs, took / theirs, f"s, {size}, vectorbt")
    apart = float(np.max(np.abs(ours(pairs=pairs).equity / equity - 1)))
    sys.stderr.write(f"{name}: the final equities of the two sides are {apart:.1e} apart at most\n")
    if not apart <= TOLERANCE:
        raise SystemExit(f"{name}: the equities are {apart:.1e} apart")
