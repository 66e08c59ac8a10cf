"""Rules with all options of the ledger, on simulated candles, for tests of what holds of every rule."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import strategies as st

from ml.data.candle_columns import CLOSE
from ml.data.targets import Floats
from ml.timeframes import DAY_MS
from ml.trading.account import Account
from ml.trading.ledger import Costs, Ledger, run_ledger
from ml.trading.sizing import Sizing
from ml.trading.thresholds import threshold_targets

CASH = 1000.0
ROWS = 40


def market(rows: int, seed: int, volatility: float = 0.02) -> Floats:
    """Daily candles (rows, 5) of a random walk whose opens are not the closes before."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, volatility, rows)))
    opens = np.concatenate([[100.0], close[:-1]]) * np.exp(random.normal(0, 0.004, rows))
    wicks = np.exp(np.abs(random.normal(0, 0.008, (2, rows))))
    high, low = np.maximum(opens, close) * wicks[0], np.minimum(opens, close) / wicks[1]
    return np.column_stack([opens, high, low, close, random.uniform(20, 200, rows)])


def times_of(candles: Floats) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(len(candles), dtype=np.int64) * DAY_MS


@dataclass(frozen=True)
class Orders:
    """Arguments of `run_ledger` by row."""

    target: Floats
    quantity: Floats | None = None
    fraction: Floats | None = None
    stop: Floats | None = None
    take_profit: Floats | None = None


@dataclass(frozen=True)
class Rule:
    """A score of the last two moves, traded by thresholds, with every option of the ledger.

    Attributes:
        looks_ahead: the array that knows the next candle; none of a sound rule.
    """

    threshold: float = 0.0
    long_only: bool = False
    sizing: Sizing = field(default_factory=Sizing)
    stop: float | None = None
    take_profit: float | None = None
    horizon: int | None = None
    delay: int = 0
    costs: Costs = field(default_factory=lambda: Costs.flat(0.001, 0.0005))
    looks_ahead: str = ""

    def orders(self, candles: Floats) -> Orders:
        """The orders at the closes of candles (n, 5)."""
        close = candles[:, CLOSE]
        score = np.diff(np.log(close), prepend=np.nan) * 20
        target = threshold_targets(score, self.threshold + 1e-9, -self.threshold, long_only=self.long_only)
        sizes = self.sizing.sizes(close, DAY_MS, confidence=50 + 40 * np.tanh(np.abs(np.nan_to_num(score))))
        size = sizes.quantity if sizes.quantity is not None else sizes.fraction
        if size is not None:
            target = np.where(np.isnan(size), np.nan, target)
        nearness = 1 + np.abs(np.nan_to_num(score)) / 10  # levels that differ from row to row
        side = np.nan_to_num(target)
        orders = Orders(
            target,
            sizes.quantity,
            sizes.fraction,
            None if self.stop is None else close * (1 - side * self.stop * nearness),
            None if self.take_profit is None else close * (1 + side * self.take_profit * nearness),
        )
        if not self.looks_ahead:
            return orders
        values = getattr(orders, self.looks_ahead)
        return replace(orders, **{self.looks_ahead: np.append(values[1:], values[-1])})

    def run(self, candles: Floats, *, cash: float = CASH, orders: Orders | None = None) -> Ledger:
        """Trade the rule, or given orders with its other options."""
        return run_ledger(
            candles,
            times_of(candles),
            cash=cash,
            costs=self.costs,
            horizon=self.horizon,
            delay=self.delay,
            **vars(orders or self.orders(candles)),
        )

    def account(self) -> Account:
        """The account of the rule, before the first candle."""
        return Account(CASH, self.costs, horizon=self.horizon, delay=self.delay)


SIZINGS = (
    Sizing(),
    Sizing("fixed", 3.0),
    Sizing("fraction", 0.4),
    Sizing("confidence", 2.0, weight=0.7),
    Sizing("volatility", target_volatility=0.3, span=3),
)
COSTS = (
    Costs.flat(0.001, 0.0005),
    Costs(((0.0, 0.002), (1500.0, 0.0005)), 0.001),
    Costs(((0.0, 0.001), (4000.0, 0.0005)), volume_share=0.02),
)
#: Every rule option, alone and together.
RULES = st.builds(
    Rule,
    threshold=st.sampled_from([0.0, 0.2]),
    long_only=st.booleans(),
    sizing=st.sampled_from(SIZINGS),
    stop=st.sampled_from([None, 0.005, 0.03]),
    take_profit=st.sampled_from([None, 0.01, 0.04]),
    horizon=st.sampled_from([None, 1, 3]),
    delay=st.integers(0, 2),
    costs=st.sampled_from(COSTS),
)
MARKETS = st.integers(0, 1000).map(lambda seed: market(ROWS, seed))
