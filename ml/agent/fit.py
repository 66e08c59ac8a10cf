"""The fit of an agent of one seed, and its trades in the three parts by the ledger."""

from __future__ import annotations

from ml.agent.parts import Parts, Range, parts_of
from ml.agent.records import Fitted, Ratios, SeedRecord
from ml.agent.report import ratios_of
from ml.agent.settings import AgentSettings
from ml.agent.training import Agent, Limits, train
from ml.data.datasets import Dataset
from ml.trading.daily import daily_log_gains
from ml.trading.ledger import CASH, Ledger, run_ledger


def fit_seed(dataset: Dataset, settings: AgentSettings, seed: int, limits: Limits) -> Fitted:
    """Train an agent and trade it through the three parts.

    Raises:
        CaseError: the dataset has too few candles, or none of the features.
    """
    parts, begun = parts_of(dataset, settings), limits.clock()
    agent = train(parts, settings, seed, limits)
    seconds = limits.clock() - begun
    ledgers = {name: trade(agent, parts, getattr(parts, name)) for name in Ratios.__annotations__}
    record: SeedRecord = {
        "seed": seed,
        "ratios": ratios_of(ledgers),
        "trades": sum(trade.exit_bar is not None for trade in ledgers["validate"].trades),
        "iterations": agent.iterations,
        "played": agent.played,
        "stopped": agent.stopped,
        "seconds": round(seconds, 1),
    }
    times = parts.market.between(*parts.validate).open_time_ms
    return Fitted(record, daily_log_gains(ledgers["validate"].equity, CASH, times))


def trade(agent: Agent, parts: Parts, part: Range) -> Ledger:
    """The ledger of an agent's deterministic orders in a part."""
    market = parts.market.between(*part)
    costs = agent.settings.costs
    return run_ledger(market.candles, market.open_time_ms, agent.targets(parts, part), cash=CASH, costs=costs)
